"""A search for adversarial images: its settings, the same wherever one is made, and its call."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from intriguing.distortion.attack import Attack
from intriguing.distortion.closest import ClosestConfig, search_closest
from intriguing.distortion.inputs import check_numbers
from intriguing.distortion.methods import ATTACKS, CONFIGS, METHODS, Config
from intriguing.distortion.penalty import PaperConfig, search_c
from intriguing.distortion.problem import Goal, Network, TargetedLoss, passes_to_measure
from intriguing.distortion.result import Found
from intriguing.distortion.rows import alone, filled, rows_at_once, width_of
from intriguing.errors import InputError
from intriguing.measures import Box

Report: TypeAlias = Callable[[int], None]


@dataclass(frozen=True)
class Search:
    """How to look for the nearest adversarial image, whatever network and images.

    Attributes:
        method: One of `METHODS`; see `minimum_distortion`.
        budget: Passes an image allowed, a pass being half a forward and a backward one; None takes
            the method's own.
        levels: With 256 the answer is an 8-bit image.
        seed: Draws random targets, and the noise of "noise".
        batch_size: Images under way at once; None takes as many as fit.
        config: More settings of the method; its own when None.

    Raises:
        InputError: For what the method does not know or cannot do.

    >>> Search("paper", budget=10)
    Traceback (most recent call last):
    intriguing.errors.InputError: method 'paper' has no budget: it ends when c is known; leave the \
budget out, or take another method
    """

    method: str = "closest"
    budget: int | None = None
    levels: int | None = None
    seed: int = 0
    batch_size: int | None = None
    config: Config | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(
                f"method={self.method!r} is unknown; choose one of {', '.join(METHODS)}"
            )
        wanted = CONFIGS.get(self.method)
        if self.config is not None and type(self.config) is not wanted:
            advice = f"give a {wanted.__name__}" if wanted else "leave it out"
            raise InputError(
                f"config is a {type(self.config).__name__}; with method={self.method!r} {advice}"
            )
        if self.budget is not None and self.budget < 1:
            raise InputError(f"budget={self.budget} allows no pass; give 1 or more, or None")
        if self.method == "paper" and self.budget is not None:
            raise InputError(
                "method 'paper' has no budget: it ends when c is known; leave the budget out, or "
                "take another method"
            )
        check_numbers(self.levels, self.batch_size)

    @classmethod
    def of(
        cls,
        method: "str | Search",
        *,
        budget: int | None,
        levels: int | None,
        seed: int,
        batch_size: int | None,
        config: Config | None,
    ) -> "Search":
        """A search as it is, or one of single settings.

        Raises:
            InputError: If both are given.
        """
        more = (budget, levels, seed or None, batch_size, config)
        if not isinstance(method, Search):
            return cls(method, budget, levels, seed, batch_size, config)
        if any(one is not None for one in more):
            raise InputError("give a Search or single settings, not both: replace(search, ...)")
        return method

    def check_goal(self, *, untargeted: bool) -> None:
        """Refuse a goal that the method cannot have."""
        if untargeted and self.method == "paper":
            raise InputError(
                "method 'paper' aims at one class; give targets=\"all\" (--targets all) for the "
                "nearest of all classes, or take another method"
            )

    @property
    def complete(self) -> "Search":
        """With the method's own settings where none are given; so a key knows of them too."""
        wanted = CONFIGS.get(self.method)
        return replace(self, config=wanted()) if wanted and self.config is None else self

    @property
    def of_paper(self) -> PaperConfig:
        """The settings of "paper"."""
        return self.config if isinstance(self.config, PaperConfig) else PaperConfig()

    @property
    def of_closest(self) -> ClosestConfig:
        """The settings of "closest", the budget among them."""
        chosen = self.config if isinstance(self.config, ClosestConfig) else ClosestConfig()
        return replace(chosen, budget=self.budget or chosen.budget)

    @property
    def passes(self) -> int | None:
        """Passes an image at most; None where the method ends by itself."""
        if self.method == "paper":
            return None
        return self.of_closest.budget if self.method == "closest" else (
            self.budget or ATTACKS[self.method][1]
        )  # fmt: skip

    def rows(self, images: Tensor) -> int:
        """How many images are under way at once, by what the method keeps for each."""
        if self.batch_size is not None:
            return self.batch_size
        if self.method == "paper":
            return rows_at_once(images, 4 * self.of_paper.descent.memory + 24)
        if self.method == "closest":
            return rows_at_once(images, 4 * self.of_closest.cuts)
        return 256


def search_with(
    search: Search, network: Network, images: Tensor, goal: Goal, box: Box, width: int,
    report: Report,
) -> Found:  # fmt: skip
    """Search by the method, `width` images at a time, or each alone (`rows`)."""
    width = 1 if alone(images) else width
    if search.method == "paper":
        return _paper(network, images, goal, box, search.of_paper, width, report)
    if search.method == "closest":
        return search_closest(
            network, images, goal, box, search.of_closest, search.seed, width, report
        )
    attack, usual = ATTACKS[search.method]
    return _in_batches(
        attack, network, images, goal, box, search.budget or usual, search.seed, width, report
    )


def _paper(
    network: Network,
    images: Tensor,
    goal: Goal,
    box: Box,
    config: PaperConfig,
    batch_size: int,
    report: Report,
) -> Found:
    objective = TargetedLoss(network.classifier, network.image_shape)
    units, extra = [], 0
    for rows in torch.split(torch.arange(len(images), device=images.device), batch_size):
        with torch.no_grad():
            logits = network.logits(images[rows])
        measured = goal[rows].measured(network, images[rows], logits, box)
        units.append(torch.ones_like(logits[:, 0]) if measured.unit is None else measured.unit)
        extra = 1 + passes_to_measure(logits)
    goal = Goal(goal.classes, unit=torch.cat(units))
    found = search_c(objective, images, goal, box, config, batch_size, report)
    return Found(
        points=found.points,
        claimed=found.margin > 0,
        already=found.c.isinf(),
        finite=~found.c.isnan(),
        forward=found.passes + extra,
        backward=found.passes,
        curve=found.curve,
        extra={"c": found.c, "trace": found.trace},
    )


def _in_batches(
    attack: Attack,
    network: Network,
    images: Tensor,
    goal: Goal,
    box: Box,
    budget: int,
    seed: int,
    batch_size: int,
    report: Report,
) -> Found:
    """Run an attack of fixed length on one batch after another."""
    parts = []
    for rows in torch.split(torch.arange(len(images), device=images.device), batch_size):
        every = filled(rows, width_of(images))
        x, wanted = images[every], goal[every]
        with torch.no_grad():
            logits = network.logits(x)
        finite, already = logits.isfinite().all(1), wanted.margin(logits) > 0
        wanted = wanted.measured(network, x, logits, box)
        best = attack(network.logits, wanted, x, box, budget, seed)
        points = torch.where(already[:, None], x, best.points)
        claimed = best.l2.isfinite() | already
        curve = torch.where(already[:, None], 0, best.curve)
        passes = (best.forward + 1 + passes_to_measure(logits), best.backward)
        parts.append(Found(points, claimed, already, finite, *passes, curve).first(len(rows)))
        report(int(rows[-1]) + 1)
    return Found.joined(parts)
