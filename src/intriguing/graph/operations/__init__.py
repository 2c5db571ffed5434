"""What is known about each operation, family by family.

Each file declares rules in the table, under names of torch's functions and types of its modules. To
add an operation, write the function that bounds it under `@rule` in the file of its family, with
whatever else is known about it. A module whose class inherits from a known one is traced through,
so that a changed `forward` is never taken for its parent's.
"""

from intriguing.graph.operations import (
    activations,
    arithmetic,
    attention,
    choices,
    linear,
    normalization,
    pools,
    quocnet,
    shapes,
    statistics,
)

__all__ = [
    "activations", "arithmetic", "attention", "choices", "linear", "normalization", "pools",
    "quocnet", "shapes", "statistics",
]  # fmt: skip
