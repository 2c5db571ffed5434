"""How short the r of a method is after so many passes: what a larger budget buys."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.comparison.lengths import Lengths
from intriguing.measures import median, median_interval
from intriguing.results.rows import CurvePoint


def curve_points(
    curves: Mapping[str, Float[Tensor, "image budget"]],
    budgets: Sequence[int],
    final: Mapping[str, Float[Tensor, " image"]],
) -> list[CurvePoint]:
    """Each method at each budget, over all images: what is not found yet is infinitely far.

    So a median begins where half of the images are found, and a mean where all are; averages over
    the images found so far would rise while more difficult ones come in.

    Args:
        curves: ‖r‖₂ within each budget, as in `Distortions.curve`.
        budgets: In passes, `incumbent.BUDGETS`.
        final: ‖r‖₂ in the end, which may be after the last budget.
    """
    ends = {name: torch.minimum(final[name], curve[:, -1]) for name, curve in curves.items()}
    lengths = Lengths(ends)
    return [
        _point(method, budget, curve[:, place], lengths)
        for method, curve in curves.items()
        for place, budget in enumerate(budgets)
    ]


def _point(method: str, budget: int, reached: Tensor, lengths: Lengths) -> CurvePoint:
    exact = reached.double()
    low, high = median_interval(exact)
    reachable = lengths.shortest.isfinite()
    ratio = exact[reachable] / lengths.shortest[reachable].double()
    excess = torch.where(exact[reachable] == 0, 0.0, ratio - 1)
    return CurvePoint(
        method,
        budget,
        found=int(reached.isfinite().sum()),
        within=int(lengths.near(reached).sum()),
        images=len(reached),
        median=median(exact),
        median_low=low,
        median_high=high,
        mean=float(exact.mean()),
        excess=median(excess) if len(excess) else torch.inf,
    )
