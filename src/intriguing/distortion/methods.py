"""Every way to search for adversarial images, by name; a new one is one line here."""

from typing import Protocol, TypeAlias

from torch import Tensor

from intriguing.distortion.attacks.cw import cw
from intriguing.distortion.attacks.ddn import ddn
from intriguing.distortion.attacks.deepfool import deepfool
from intriguing.distortion.attacks.fmn import fmn
from intriguing.distortion.attacks.noise import noise
from intriguing.distortion.attacks.pdgd import pdgd
from intriguing.distortion.closest import ClosestConfig
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.penalty import PaperConfig
from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box

Config: TypeAlias = PaperConfig | ClosestConfig


class Attack(Protocol):
    """A method of the field: at most `budget` passes for each row of a batch."""

    def __call__(
        self, logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int
    ) -> Incumbent: ...


ATTACKS: dict[str, tuple[Attack, int]] = {
    "ddn": (ddn, 1000),
    "pdgd": (pdgd, 500),
    "fmn": (fmn, 1000),
    "cw": (cw, 9 * 1000),
    "deepfool": (deepfool, 50 * 5),  # 50 steps of one forward and nine backward passes
    "noise": (noise, 50),
}
"""Each with a budget of its own: what its source or its usual implementation takes."""

METHODS = ("closest", "paper", *ATTACKS)

CONFIGS = {"closest": ClosestConfig, "paper": PaperConfig}
"""Methods that have more settings than a budget."""
