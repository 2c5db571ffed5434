"""The minimum distortion as found, or as found and proved."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.data.checks import check_images
from intriguing.distortion import minimum
from intriguing.distortion.methods import Config
from intriguing.distortion.problem import Goal
from intriguing.distortion.result import Distortions
from intriguing.distortion.search import Search
from intriguing.distortion.targets import Targets
from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, Box, ProgressCallback, as_box
from intriguing.spectral.certificates.exact import Exact, seconds_of
from intriguing.spectral.certificates.exact import prove as prove_each


def minimum_distortion(
    model: nn.Module,
    images: Float[Tensor, "image ..."],
    labels: Int64[Tensor, " image"],
    targets: Targets | Int64[Tensor, " image"] = "random",
    method: str | Search = "closest",
    *,
    box: Box | Sequence[float | Tensor] = UNIT_BOX,
    levels: int | None = None,
    budget: int | None = None,
    config: Config | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    prove: bool | float = False,
    progress: ProgressCallback | None = None,
) -> Distortions:
    """Find D(x, l), the closest image to x that the model takes for l, and prove it, if asked.

    Args:
        model, images, labels, targets, method, box: as `distortion.minimum.minimum_distortion`
            has them, which searches.
        levels, budget, config, seed, batch_size, progress: likewise.
        prove: seconds of one core that each image may take besides until no example can be
            shorter by more than 1 % (True: a minute), by branch and bound over what enters the
            activations (docs/spectral.md). Statuses are then OPTIMAL where it came so far; `gap`
            says how far everywhere. Shorter examples that it meets are taken. It is for chains of
            some hundreds of units: fully connected layers and small convolutions.

    Raises:
        InputError: as the search, and before any work if the model's distances cannot be proved,
            or `prove` goes with `levels` or with targets="all".
    """
    seconds = seconds_of(prove)
    limits = as_box(box)
    network = None
    if seconds:
        if levels is not None:
            raise InputError("no distance between images of so many levels is proved; leave out "
                             "`levels` or `prove`")  # fmt: skip
        if isinstance(targets, str) and targets == "all":
            raise InputError('targets="all" proves nothing by itself; give "untargeted", which '
                             "has the same answer, or leave out `prove`")  # fmt: skip
        check_images(images, limits)
        network = Exact.of(model, images, limits)
    found = minimum.minimum_distortion(
        model, images, labels, targets, method, box=box, levels=levels, budget=budget,
        config=config, seed=seed, batch_size=batch_size, progress=progress,
    )  # fmt: skip
    if network is None:
        return found
    untargeted = isinstance(targets, str) and targets == "untargeted"
    goal = Goal(torch.as_tensor(labels).cpu() if untargeted else found.targets, not untargeted)
    return prove_each(
        network, images, goal, found, limits, seconds=seconds, progress=progress
    ).distortions
