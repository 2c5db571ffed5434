"""The names of the methods, for the verbs' help: known without importing what they run."""

from typing import Literal, TypeAlias

Method: TypeAlias = Literal["closest", "paper", "ddn", "pdgd", "fmn", "cw", "deepfool", "noise"]

METHOD = "How the closest adversarial example is searched; see above."
TARGETS = (
    "What each image is to be taken for: random (a random wrong class, as in the paper), runner-up "
    "(the likeliest wrong class), untargeted (any wrong class: how close the nearest adversarial "
    "example is), all (every wrong class by itself, keeping the nearest), or the number of a class."
)
