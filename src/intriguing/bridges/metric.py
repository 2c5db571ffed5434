"""The minimum distortion as a metric of torchmetrics."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from intriguing.distortion.minimum import minimum_distortion
from intriguing.errors import InputError


def distortion_metric(
    model: nn.Module, of: Literal["median", "mean"] = "median", **settings: Any
) -> Any:
    """A `torchmetrics.Metric` whose update takes images and labels, and attacks them.

    It adds up over batches and over processes as metrics do. An image without an example counts as
    infinitely far.

    Args:
        model: In evaluation mode.
        of: The median of all distortions, or their mean.
        settings: As `minimum_distortion` takes them; any wrong class, and a budget of 200 passes,
            where nothing is said.

    Raises:
        InputError: Without torchmetrics, or for another `of`.
    """
    try:
        from torchmetrics import Metric
    except ImportError:
        raise InputError("distortion_metric needs torchmetrics: pip install torchmetrics") from None
    if of not in ("median", "mean"):
        raise InputError(f'of={of!r}; give "median" or "mean"')
    asked = {"targets": "untargeted", "budget": 200, **settings}

    class MinimumDistortionMetric(Metric):  # type: ignore[misc,unused-ignore]
        """The median, or mean, distortion of the nearest examples of all images so far."""

        higher_is_better, is_differentiable, full_state_update = True, False, False
        distances: list[Tensor]

        def __init__(self) -> None:
            super().__init__()
            self.add_state("distances", default=[], dist_reduce_fx="cat")

        def update(self, images: Tensor, labels: Tensor) -> None:
            """Attack a batch."""
            found = minimum_distortion(model, images, labels, **asked)
            self.distances.append(found.distortion.to(images.device))

        def compute(self) -> Tensor:
            """Over all images."""
            joined = self.distances
            every = torch.cat(list(joined)) if isinstance(joined, list) else joined
            if of == "mean":
                return every.mean()
            ordered = every.sort().values
            return (ordered[(len(every) - 1) // 2] + ordered[len(every) // 2]) / 2

    return MinimumDistortionMetric()
