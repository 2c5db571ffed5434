"""What an audit is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from intriguing.distortion.closest import ClosestConfig
from intriguing.distortion.methods import Config
from intriguing.distortion.search import Search
from intriguing.errors import InputError

STAGES = {
    "preflight": "Is the network fit to be judged?",
    "accuracy": "How often is it right?",
    "attack": "How close is the nearest adversarial example?",
    "target": "Can every image become one chosen class?",
    "noise": "What does noise of the same size do?",
    "transfer": "Do examples made for one network fool the others?",
    "spectrum": "Which layers can carry a change how far?",
    "certify": "How far is every image safe, proved?",
    "units": "Do single units stand out from random directions?",
}
"""The stages in their order: what is cheap and can end an audit early comes first."""

_FEW = 300
"""Passes below which the search aims at one class rather than trying several."""


def _only(*stages: str) -> Mapping[str, tuple[str, ...]]:
    """Metadata of a setting that no other stage is shown."""
    return {"stages": stages}


SEARCHED = ("attack", "noise", "transfer", "certify", "judge")
"""What depends on the search for the nearest example."""


@dataclass(frozen=True)
class AuditConfig:
    """How much an audit does.

    Attributes:
        attacked: Images that are attacked, the first ones that every network classifies correctly
            in an order drawn by `seed`; None for all of them.
        passes: Of each search, a pass being half a forward and a backward one.
        method: Of the search for the nearest example of any wrong class.
        target_passes: Of each search for `target`.
        target: A class that every image is to become as well, as an 8-bit image; None for none.
        amplified: Sizes to which examples are amplified for the transfer, as multiples of the
            largest mean distortion.
        semidefinite: Whether certificates may take minutes for tighter bounds.
        units_on: Images that the units are studied on, at most.
        rotations, untrained: Of the test of the units; as in `Study`.
        skip: Stages that are not run.
        seed: Of the draw of images, targets, noise and rotations.
        batch_size: Images under way at once; None chooses by the memory there is.
    """

    attacked: int | None = field(default=64, metadata=_only(*SEARCHED, "target"))
    passes: int = field(default=200, metadata=_only(*SEARCHED))
    method: str = field(default="closest", metadata=_only(*SEARCHED))
    target: int | None = field(default=None, metadata=_only("target"))
    target_passes: int = field(default=200, metadata=_only("target"))
    amplified: tuple[float, ...] = field(default=(1.0, 4.0), metadata=_only("transfer"))
    semidefinite: bool = field(default=True, metadata=_only("spectrum", "certify"))
    units_on: int = field(default=1000, metadata=_only("units"))
    rotations: int = field(default=39, metadata=_only("units"))
    untrained: int = field(default=2, metadata=_only("units"))
    skip: tuple[str, ...] = field(default=(), metadata=_only())
    seed: int = 0
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.attacked is not None and self.attacked < 1:
            raise InputError(f"{self.attacked} images to attack; give 1 or more")
        if unknown := [name for name in self.skip if name not in STAGES]:
            raise InputError(f"no stage {', '.join(unknown)}; one of {', '.join(STAGES)}")
        if not all(value > 0 for value in self.amplified):
            raise InputError(f"amplified {self.amplified}; give multiples above 0")
        if self.target is not None and self.target < 0:
            raise InputError(f"target {self.target}; give the number of a class, from 0")
        if self.method == "paper":
            raise InputError(
                'method "paper" aims at one class and has no limit of passes; take "closest", and '
                "`intriguing attack --method paper` for the paper's search"
            )
        Search(self.method, self.passes)
        Search("closest", self.target_passes)

    def for_stage(self, stage: str) -> "AuditConfig":
        """What one stage is given: settings of other stages are as if nobody had set them.

        So a stage is kept under all that it can see, and a change of what it cannot see does not
        make it anew. A new field is seen by every stage until its metadata say otherwise.
        """
        unseen: dict[str, Any] = {
            one.name: one.default
            for one in fields(self)
            if stage not in one.metadata.get("stages", (stage,))
        }
        return replace(self, **unseen)

    def search(self, *, targeted: bool) -> Config | None:
        """Settings of the search: with few passes there is no time to try several classes."""
        if self.method != "closest" and not targeted:
            return None
        passes = self.target_passes if targeted else self.passes
        if passes >= _FEW:
            return ClosestConfig(budget=passes)
        return ClosestConfig(budget=passes, classes=1, rivals=3)
