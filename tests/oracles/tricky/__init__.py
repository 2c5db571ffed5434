"""Networks that are not what their graph, their types or one look at them says.

`TRICKY` has a maker for each kind; called with a seed it gives the same network every time.
"""

from tests.oracles.tricky import batches, hooks, in_place, replaced, values, ways
from tests.oracles.tricky.kinds import CLASSES, SHAPE, TRICKY, Between, plain

__all__ = [
    "CLASSES",
    "SHAPE",
    "TRICKY",
    "Between",
    "batches",
    "hooks",
    "in_place",
    "plain",
    "replaced",
    "values",
    "ways",
]
