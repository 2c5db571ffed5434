"""What bounds each operation: a rule for every name and module type, and how to add one.

A rule is looked up by the exact type of a module, or by the name of a function that is torch's own;
what has no rule is unbounded. A module whose class inherits from a known one is traced through, so
that a changed `forward` is never taken for its parent's.
"""

from intriguing.graph.operations import (
    curves,
    joins,
    linear,
    normalization,
    order_statistics,
    pointwise,
    pools,
    quocnet,
    shape,
)

__all__ = [
    "curves", "joins", "linear", "normalization", "order_statistics", "pointwise", "pools",
    "quocnet", "shape",
]  # fmt: skip
