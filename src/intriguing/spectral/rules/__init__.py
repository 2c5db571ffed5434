"""What bounds each operation: a rule for every name and module type, and how to add one.

A rule is looked up by the exact type of a module, or by the name of a function that is torch's own;
what has no rule is unbounded. A module whose class inherits from a known one is traced through, so
that a changed `forward` is never taken for its parent's.
"""

from intriguing.spectral.rules import (
    curves,
    joins,
    linear,
    norms,
    order,
    pointwise,
    pools,
    shape,
    untied,
)

__all__ = ["curves", "joins", "linear", "norms", "order", "pointwise", "pools", "shape", "untied"]
