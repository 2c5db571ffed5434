"""Robustness as a test: a network that became easier to fool fails your CI.

from intriguing.testing import assert_min_distortion

def test_no_less_robust_than_before():
    assert_min_distortion(model, images, labels, at_least=0.02)
"""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.result import Distortions, Status
from intriguing.distortion.targets import Targets
from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, Box, median, median_interval

NAMED = 5
"""Images that a failure names."""


def assert_min_distortion(
    model: nn.Module,
    images: Float[Tensor, "image ..."],
    labels: Int64[Tensor, " image"],
    at_least: float,
    *,
    of: Literal["median", "every", "mean"] = "median",
    targets: Targets = "untargeted",
    method: str = "closest",
    budget: int = 200,
    box: Box | Sequence[float | Tensor] = UNIT_BOX,
    seed: int = 0,
    batch_size: int | None = None,
) -> Distortions:
    """Assert that no adversarial example is found nearer than `at_least`.

    The search is deterministic: the same weights and images give the same distances on the same
    machine. What it finds is an upper bound, so a pass says that this search found nothing nearer,
    not that nothing is; `certify` proves.

    Args:
        model: A classifier in evaluation mode.
        images, labels: What it is tried on, with true classes. An image that is misclassified as
            it is counts with distance 0; one for which nothing is found as infinitely far.
        at_least: The distortion sqrt(mean r²), on the scale of the pixels.
        of: "median" over the images, their "mean", or "every" one of them.
        targets, method, budget, box, seed, batch_size: As in `minimum_distortion`.

    Returns:
        What was found, should more be asked of it.

    Raises:
        AssertionError: With the distance found, the nearest images and what they become.
        InputError: If the arguments make no sense.
    """
    if not at_least > 0:
        raise InputError(f"at_least={at_least} asserts nothing; give a distortion above 0")
    if of not in ("median", "mean", "every"):
        raise InputError(f'of={of!r}; give "median", "mean" or "every"')
    found = minimum_distortion(
        model, images, labels, targets, method, box=box, budget=budget, seed=seed,
        batch_size=batch_size,
    )  # fmt: skip
    broken = int((found.status == int(Status.NOT_FINITE)).sum())
    if broken:
        raise AssertionError(
            f"the network gives NaN or infinity for {broken} of {len(found)} images, so no "
            "distance is known for them"
        )
    sizes = found.distortion.double()
    value = {"median": median, "mean": _mean, "every": _least}[of](sizes)
    if value < at_least:
        raise AssertionError(_message(found, labels, value, at_least, of, method, budget))
    return found


def _mean(sizes: Tensor) -> float:
    return float(sizes.mean())


def _least(sizes: Tensor) -> float:
    return float(sizes.min())


def _message(
    found: Distortions, labels: Tensor, value: float, at_least: float, of: str, method: str,
    budget: int,
) -> str:  # fmt: skip
    """What fell short, by how much, for which images, and what can be done."""
    sizes = found.distortion
    what = {"every": "nearest example"}.get(of, f"{of} minimum distortion")
    near = sizes.argsort()[:NAMED].tolist()
    lines = [
        f"the {what} over {len(found)} images is {value:.4g}, less than the {at_least:.4g} asked "
        f"for ({100 * (1 - value / at_least):.0f} % less)"
    ]
    if of == "median" and len(found) > 1:
        low, high = median_interval(sizes.double())
        lines.append(f"95 % interval of the median: {low:.4g} to {high:.4g}")
    under = int((sizes < at_least).sum())
    lines.append(f"{under} of {len(found)} images have an example nearer than that; the nearest:")
    for row in near:
        label, given = int(labels[row]), int(found.targets[row])
        already = int(found.status[row]) == int(Status.ALREADY)
        how = "misclassified as it is" if already else f"becomes {given}"
        lines.append(
            f"  image {row} (class {label}): distortion {float(sizes[row]):.4g}, L2 "
            f"{float(found.l2[row]):.4g}, {how}"
        )
    lines.append(
        f"searched by method={method!r} with {budget} passes an image; if this change is wanted, "
        "lower at_least; else look at what changed the weights or the preprocessing"
    )
    return "\n".join(lines)
