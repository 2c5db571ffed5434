"""A strong search against what is said to be proved: certificates and upper bounds of a network.

A certificate is refuted by an image inside its radius that is classified otherwise, a bound by two
images whose logits are farther apart than it allows. Both are looked for by gradients, and judged
by the network itself, never by its graph.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from intriguing import Box, InputError, certify, lipschitz_report, minimum_distortion

IMAGES, PAIRS, STEPS, BUDGET = 6, 6, 25, 80
SLACK = 1e-6
"""Relative: lengths and logits of float32, and differences of nearby float64 logits."""
_ASTRAY = (RuntimeError, TypeError, ValueError, NotImplementedError)
"""What autograd raises of a network without gradients; then random images alone are tried."""


@dataclass(frozen=True)
class Verdict:
    """What became of one network.

    Attributes:
        outcome: "certified", "unbounded" (∞ and radius 0), "refused", or what must not be:
            "refuted", "inconsistent" or "raw error".
        detail: The refusal, or what refutes.
        tightness: Certified radius over the distance found, median; NaN where there is none.
    """

    outcome: str
    detail: str = ""
    tightness: float = math.nan

    @property
    def wrong(self) -> bool:
        """Whether the package is at fault."""
        return self.outcome in ("refuted", "inconsistent", "raw error")


def judge(
    make: Callable[[], nn.Module], shape: tuple[int, ...], domain: Box | None, seed: int,
    *, budget: int = BUDGET, semidefinite: bool = True,
) -> Verdict:  # fmt: skip
    """Ask for certificates and bounds of a network, and try to refute every one.

    Args:
        make: Builds the network, the same every time; what changes itself is thus met anew.
        shape: Of one image.
        domain: Where images lie; [0, 1] if only certificates need one.
        seed: Of images and starts.
        budget: Passes of the search for adversarial examples.
        semidefinite: As for `certify`.
    """
    try:
        return _judged(make, shape, domain, seed, budget, semidefinite)
    except InputError as refusal:
        return Verdict("refused", str(refusal))
    except Exception as error:
        return Verdict("raw error", f"{type(error).__name__}: {str(error).strip()[:300]}")


def _judged(
    make: Callable[[], nn.Module], shape: tuple[int, ...], domain: Box | None, seed: int,
    budget: int, semidefinite: bool,
) -> Verdict:  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand((IMAGES, *shape), generator=generator)
    report = lipschitz_report(
        make(), shape, data=images, domain=domain, semidefinite=semidefinite, seed=seed
    )
    apart = _farthest(make, shape, domain, generator) if math.isfinite(report.upper) else 0.0
    if apart > report.upper * (1 + SLACK):
        return Verdict("refuted", f"two images {apart:.6g} times as far, bound {report.upper:.6g}")
    network = make()
    with torch.no_grad():
        labels = network(images.clone()).argmax(1)
    made = certify(network, images.clone(), labels, semidefinite=semidefinite)
    inside = lipschitz_report(make(), shape, domain=Box(0.0, 1.0), semidefinite=False, lower=False)
    if math.isinf(inside.upper) and (made.guaranteed or made.radius.any()):
        return Verdict("inconsistent", f"bound ∞, yet certified up to {float(made.radius.max())}")
    if not made.radius.any():
        return Verdict("unbounded", " ".join(report.notes))
    fooled = _inside(make(), images, labels, made.radius, generator)
    if fooled is not None:
        return Verdict("refuted", fooled)
    found = minimum_distortion(make(), images, labels, "untargeted", budget=budget, seed=seed)
    ratio = made.radius.double() / torch.where(found.success, found.l2, torch.inf)
    if (ratio > 1 + SLACK).any():
        worst = int(ratio.argmax())
        return Verdict(
            "refuted",
            f"image {worst}: certified {made.radius[worst]:.6g}, found {found.l2[worst]:.6g}",
        )
    return Verdict("certified", "", float(ratio.median()))


def _farthest(
    make: Callable[[], nn.Module], shape: tuple[int, ...], domain: Box | None,
    generator: torch.Generator,
) -> float:  # fmt: skip
    """The largest ‖f(x) − f(y)‖/‖x − y‖ that gradient ascent on both ends finds, in float64."""
    network = make().double()
    starts = torch.rand((2 * PAIRS, *shape), generator=generator, dtype=torch.float64)
    if domain is None:  # the bound holds everywhere, far from any image, too
        starts[PAIRS:] = 4.0 * torch.randn(starts[PAIRS:].shape, generator=generator).double()
    low, high = (0.0, 1.0) if domain is None else (domain.lower, domain.upper)
    near = starts + 0.05 * torch.randn(starts.shape, generator=generator).double()
    ends = [_kept(end, domain, low, high).requires_grad_() for end in (starts, near)]
    best = _ratio(network, *ends, least=1e-6)
    try:
        optimiser = torch.optim.Adam(ends, lr=0.05)
        for _ in range(STEPS):
            optimiser.zero_grad()
            apart = (network(1.0 * ends[0]) - network(1.0 * ends[1])).flatten(1)
            stretch = (apart.square().sum(1) + 1e-300).log() - (
                (ends[0] - ends[1]).flatten(1).square().sum(1) + 1e-12
            ).log()
            (-stretch.sum()).backward()
            optimiser.step()
            with torch.no_grad():
                for end in ends:
                    end.copy_(_kept(end, domain, low, high).nan_to_num())
            best = max(best, _ratio(network, *ends, least=1e-6))
    except _ASTRAY:
        pass
    return best


def _kept(end: Tensor, domain: Box | None, low: object, high: object) -> Tensor:
    return end.detach().clone() if domain is None else end.detach().clamp(low, high)


@torch.no_grad()
def _ratio(network: nn.Module, first: Tensor, second: Tensor, least: float) -> float:
    """By single images: what a network makes of one may not depend on those beside it."""
    best = 0.0
    for x, y in zip(first, second, strict=True):
        way = float((x - y).norm())
        if way > least:
            apart = float((network(x[None].clone()) - network(y[None].clone())).norm())
            best = max(best, apart / way)
    return best


def _inside(
    network: nn.Module, images: Tensor, labels: Tensor, radius: Tensor, generator: torch.Generator
) -> str | None:
    """Says which image inside a certified ball is classified otherwise; None if none is met.

    Tried at .98 of the radius: the gradient of every lead, repeated there, and random directions;
    every image alone, and in the company of all others.
    """
    wide = torch.where(radius.isfinite(), radius, 10.0) * 0.98
    view = (-1, *[1] * (images.ndim - 1))
    for attempt in range(8):
        step = torch.randn(images.shape, generator=generator)
        if attempt < 5:
            step = _uphill(network, images, labels, step * 1e-3)
        for _ in range(3 if attempt < 5 else 1):
            length = step.flatten(1).norm(dim=1).clamp_min(1e-30).view(view)
            moved = (images + step / length * wide.view(view)).clamp(0, 1)
            if attempt < 5:
                step = _uphill(network, images, labels, moved - images)
            with torch.no_grad():
                together = network(moved.clone()).argmax(1)
                alone = torch.cat([network(one[None].clone()).argmax(1) for one in moved])
            for said in (together, alone):
                wrong = (said != labels) & (radius > 0)
                if wrong.any():
                    row = int(wrong.nonzero()[0])
                    way = float((moved[row] - images[row]).norm())
                    return f"image {row}: certified {radius[row]:.6g}, fooled at {way:.6g}"
    return None


def _uphill(network: nn.Module, images: Tensor, labels: Tensor, step: Tensor) -> Tensor:
    """Where the strongest other class gains most, from `images` + `step`."""
    point = (images + step).detach().requires_grad_()
    try:
        logits = network(1.0 * point)
        others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
        (others - logits.gather(1, labels[:, None])[:, 0]).sum().backward()
    except _ASTRAY:
        return torch.randn_like(step)
    slope = torch.zeros_like(step) if point.grad is None else point.grad.nan_to_num()
    length = slope.flatten(1).norm(dim=1).view(-1, *[1] * (step.ndim - 1))
    return torch.where(length > 0, slope, torch.randn_like(step))
