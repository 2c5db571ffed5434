"""What the ways to search are called, in the order in which they are listed.

Nothing that computes is imported here, so that help and errors can name them at once.
"""

from typing import Literal, TypeAlias, get_args

Method: TypeAlias = Literal[
    "closest",
    "paper",
    "ddn",
    "pdgd",
    "fmn",
    "cw",
    "alma",
    "apgd",
    "superdeepfool",
    "square",
    "deepfool",
    "noise",
]
"""But for the first two, each is the function of its name in the file of its name in `attacks`."""

METHODS: tuple[Method, ...] = get_args(Method)
