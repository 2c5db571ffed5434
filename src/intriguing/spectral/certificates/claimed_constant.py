"""Is a stated Lipschitz constant one? Refuted by two images, or proved by a bound, or neither."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from intriguing.errors import InputError
from intriguing.graph.batch_independence import exact_logits
from intriguing.graph.precision import answer
from intriguing.measures import Box, ProgressCallback, as_box
from intriguing.spectral.certificates.lipschitz import analyse, lipschitz_report

PAIRS, STEPS, RATE, APART = 16, 80, 0.05, 0.01
"""Pairs that climb at once, Adam's steps, their length, and how far apart pairs begin."""
WIDE = 4.0
"""Deviation of half of the starts, where there is no domain."""
POWERS = 8
"""Power steps by which each pair first finds the direction that grows most."""
ROUNDING = 2.0**-40
"""Of the largest output: some thousand times the rounding of one operation in float64."""
INWARD = 1.0 - 1e-9
"""As far down as upper bounds are rounded up."""


@dataclass(frozen=True)
class ClaimedConstant:
    """What is known of a stated constant L: ‖f(x) − f(y)‖ ≤ L‖x − y‖ for all x and y.

    Attributes:
        claimed: L.
        verdict: "refuted" if `reached` is above it, "proved" if `upper` is not, else "undecided".
        upper: Proved; infinite where no bound is known.
        reached: The quotient of the witness pair, less what rounding can add to it.
        witness: x and y, in float64.
    """

    claimed: float
    verdict: Literal["refuted", "proved", "undecided"]
    upper: float
    reached: float
    witness: Float[Tensor, "2 ..."]

    def __str__(self) -> str:
        """In a sentence.

        >>> print(ClaimedConstant(2.0, "undecided", 3.0, 1.5, torch.zeros(2, 1)))
        a Lipschitz constant of 2 is neither proved nor refuted: it is between 1.5 and 3
        """
        said = f"a Lipschitz constant of {self.claimed:.6g} is"
        if self.verdict == "refuted":
            return f"{said} refuted: two images are {self.reached:.6g} times as far apart behind it"
        if self.verdict == "proved":
            return f"{said} proved: {self.upper:.6g} is one"
        return (
            f"{said} neither proved nor refuted: it is between {self.reached:.6g} and "
            f"{self.upper:.6g}"
        )


def check_constant(
    model: nn.Module,
    input_shape: tuple[int, ...],
    claimed: float,
    *,
    data: Float[Tensor, "batch ..."] | None = None,
    domain: Box | Sequence[float | Tensor] | None = None,
    semidefinite: bool = True,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> ClaimedConstant:
    """Prove or refute that a network's logits move at most `claimed` times as far as its image.

    A pair starts along the direction in which the network grows most near an image, and both ends
    climb the quotient's logarithm by Adam, in float64 and inside the domain.

    Args:
        model, input_shape, data, domain, semidefinite, seed, progress: As `lipschitz_report`.
        claimed: In L2, above 0.

    Raises:
        InputError: As `lipschitz_report`, and if `claimed` is no length.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False)).eval()
    >>> _ = net[1].weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    >>> [check_constant(net, (2,), constant).verdict for constant in (2.9, 3.1)]
    ['refuted', 'proved']
    """
    if not 0.0 < claimed < math.inf:
        raise InputError(f"a Lipschitz constant of {claimed:g} is no claim; give one above 0")
    report = lipschitz_report(
        model, input_shape, data=data, domain=domain, semidefinite=semidefinite, seed=seed,
        progress=progress,
    )  # fmt: skip
    box = None if domain is None else as_box(domain)
    analysed = analyse(model, input_shape, box, data)
    generator = torch.Generator().manual_seed(seed)

    def logits(images: Tensor) -> Tensor:
        return exact_logits(analysed.graph, images).flatten(1)

    reached, witness = _farthest(_differentiable(analysed.graph), logits, input_shape, data, box,
                                 generator)  # fmt: skip
    upper = report.upper if report.guaranteed else math.inf
    verdict: Literal["refuted", "proved", "undecided"] = "undecided"
    if reached > claimed:
        verdict = "refuted"
    elif upper <= claimed:
        verdict = "proved"
    return ClaimedConstant(claimed, verdict, upper, reached, witness)


def _differentiable(graph: fx.GraphModule) -> Callable[[Tensor], Tensor]:
    """Many images at once, or each by itself where the graph is for one image only."""

    def rows(images: Tensor) -> Tensor:
        try:
            return answer(graph, images).flatten(1)
        except Exception:  # whatever a graph for one image raises of several
            return torch.cat([answer(graph, image[None]).flatten(1) for image in images])

    return rows


def _farthest(
    function: Callable[[Tensor], Tensor], logits: Callable[[Tensor], Tensor],
    shape: tuple[int, ...], data: Tensor | None, box: Box | None, generator: torch.Generator,
) -> tuple[float, Tensor]:  # fmt: skip
    """The largest quotient that is met, and where."""
    low, high = (0.0, 1.0) if box is None else (box.lower, box.upper)
    start = torch.rand((PAIRS, *shape), generator=generator, dtype=torch.float64)
    start = low + start * (high - low)
    if box is None:  # a constant holds far from any image, too
        start[::2] = WIDE * torch.randn(start[::2].shape, generator=generator, dtype=start.dtype)
    if data is not None:
        known = data[: PAIRS // 2].detach().cpu().double()
        start[1 : 2 * len(known) : 2] = known

    def kept(images: Tensor) -> Tensor:
        return images if box is None else box.clamp(images)

    away = torch.randn(start.shape, generator=generator, dtype=torch.float64)
    for _ in range(POWERS):
        away = away / _lengths(away)
        ends = start.clone().requires_grad_()
        moved = function(start + APART * away) - function(start)
        pulled = torch.autograd.grad((function(ends) * moved.detach()).sum(), ends)[0]
        away = torch.where(_lengths(pulled) > 0, pulled, away)
    away = away / _lengths(away)
    pair = [kept(start + side * APART * away).requires_grad_() for side in (1.0, -1.0)]
    best, witness = 0.0, torch.stack([start[0], start[0]])
    optimiser = torch.optim.Adam(pair, lr=RATE * APART)
    for step in range(STEPS + 1):
        apart = (function(pair[0]) - function(pair[1])).square().sum(1)
        length = (pair[0] - pair[1]).flatten(1).square().sum(1)
        score = torch.where(length > 0, apart, 0.0) / length.clamp_min(1e-300)
        now = score.detach().nan_to_num(-1.0)
        row = int(now.argmax())
        if step % 10 == 0 or float(now[row]) > best**2 * 1.01:
            found = _quotient(logits, pair[0][row].detach(), pair[1][row].detach())
            if found > best:
                best = found
                witness = torch.stack([pair[0][row].detach(), pair[1][row].detach()])
        if step == STEPS:
            break
        optimiser.zero_grad()
        (-(score + 1e-300).log().sum()).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            for end in pair:
                end.copy_(kept(end.nan_to_num()))
    return best, witness


def _lengths(images: Tensor) -> Tensor:
    lengths = torch.linalg.vector_norm(images.flatten(1), dim=1)
    shaped: Tensor = lengths.view(-1, *[1] * (images.ndim - 1))
    return shaped


def _quotient(logits: Callable[[Tensor], Tensor], one: Tensor, two: Tensor) -> float:
    """‖f(x) − f(y)‖/‖x − y‖ from below."""
    outputs = logits(torch.stack([one, two])).cpu()
    size = float(outputs.norm(dim=1).max())
    moved = float((outputs[0] - outputs[1]).norm()) - 2.0 * ROUNDING * size
    length = float((one - two).norm())
    return max(0.0, moved / length * INWARD) if length > 0 and math.isfinite(moved) else 0.0
