"""Every way to search for adversarial images, by name, behind one signature."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from intriguing.distortion.attacks.cw import cw
from intriguing.distortion.attacks.ddn import ddn
from intriguing.distortion.attacks.deepfool import deepfool
from intriguing.distortion.attacks.fmn import fmn
from intriguing.distortion.attacks.noise import noise
from intriguing.distortion.attacks.pdgd import pdgd
from intriguing.distortion.closest import ClosestConfig, search_closest
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.penalty import PaperConfig, search_c
from intriguing.distortion.problem import Goal, Logits, Network, TargetedLoss, passes_to_measure
from intriguing.distortion.result import Found
from intriguing.distortion.rows import alone, filled, width_of
from intriguing.errors import InputError
from intriguing.measures import Box

Config: TypeAlias = PaperConfig | ClosestConfig
Report: TypeAlias = Callable[[int], None]


class Attack(Protocol):
    """A method of the field: at most `budget` passes for each row of a batch."""

    def __call__(
        self, logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int
    ) -> Incumbent: ...


# The budget is the method's own: what its source or its usual implementation takes.
_ATTACKS: dict[str, tuple[Attack, int]] = {
    "ddn": (ddn, 1000),
    "pdgd": (pdgd, 500),
    "fmn": (fmn, 1000),
    "cw": (cw, 9 * 1000),
    "deepfool": (deepfool, 50 * 5),  # 50 steps of one forward and nine backward passes
    "noise": (noise, 50),
}

METHODS = ("closest", "paper", *_ATTACKS)


_CONFIGS = {"closest": ClosestConfig, "paper": PaperConfig}


def default_config(method: str) -> Config | None:
    """The settings that a method takes when none are given; None if it has none but its budget."""
    wanted = _CONFIGS.get(method)
    return wanted() if wanted else None


def check_method(
    method: str,
    *,
    untargeted: bool = False,
    budget: int | None = None,
    config: Config | None = None,
) -> None:
    """Refuse, before any work, what the method does not know or cannot do.

    Raises InputError.
    """
    if method not in METHODS:
        raise InputError(f"method={method!r} is unknown; choose one of {', '.join(METHODS)}")
    wanted = _CONFIGS.get(method)
    if config is not None and type(config) is not wanted:
        advice = f"give a {wanted.__name__}" if wanted else "leave it out"
        raise InputError(f"config is a {type(config).__name__}; with method={method!r} {advice}")
    if budget is not None and budget < 1:
        raise InputError(f"budget={budget} allows no pass; give 1 or more, or None")
    if method == "paper" and budget is not None:
        raise InputError('method="paper" has no budget: it ends when c is known; leave it out')
    if method == "paper" and untargeted:
        raise InputError('method="paper" aims at one class; give targets="all" for the closest')


def search_with(
    method: str,
    network: Network,
    images: Tensor,
    goal: Goal,
    box: Box,
    *,
    budget: int | None,
    config: Config | None,
    seed: int,
    batch_size: int,
    report: Report,
) -> Found:
    """Search by the method of that name, `batch_size` images at a time, or each alone (`rows`)."""
    batch_size = 1 if alone(images) else batch_size
    if method == "paper":
        settings = config if isinstance(config, PaperConfig) else PaperConfig()
        return _paper(network, images, goal, box, settings, batch_size, report)
    if method == "closest":
        chosen = config if isinstance(config, ClosestConfig) else ClosestConfig()
        chosen = replace(chosen, budget=budget or chosen.budget)
        return search_closest(network, images, goal, box, chosen, seed, batch_size, report)
    attack, usual = _ATTACKS[method]
    return _in_batches(
        attack, network, images, goal, box, budget or usual, seed, batch_size, report
    )


def usual_batch(method: str, images: Tensor, config: Config | None) -> int:
    """How many images are searched at once, by what the method keeps for each."""
    if method == "paper":
        settings = config if isinstance(config, PaperConfig) else PaperConfig()
        return rows_at_once(images, 4 * settings.descent.memory + 24)
    if method == "closest":
        chosen = config if isinstance(config, ClosestConfig) else ClosestConfig()
        return rows_at_once(images, 4 * chosen.cuts)
    return 256


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


def rows_at_once(images: Tensor, vectors: int) -> int:
    """Images under way at once: few enough for a CPU's cache, or for about 2 GiB of vectors."""
    affordable = (2 << 30) // (vectors * images.shape[1] * images.element_size())
    usual = 256 if images.device.type == "cpu" else 8192
    return int(min(len(images), max(16, min(affordable, usual))))
