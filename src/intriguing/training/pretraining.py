"""Training without labels, before the classifier's: by L-BFGS on all images at once."""

from pathlib import Path

import torch

from intriguing.data.dataset import ImageSet
from intriguing.measures import ProgressCallback
from intriguing.models.pretraining import Pretraining
from intriguing.training.lbfgs import UNTIL_CONVERGED, LBFGSConfig, minimise
from intriguing.training.report import TrainingReport


def pretrain(
    first: Pretraining,
    data: ImageSet,
    generator: torch.Generator,
    config: LBFGSConfig = UNTIL_CONVERGED,
    *,
    identity: str = "",
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> TrainingReport:
    """Minimise the loss of a pretraining, in place, and keep what was learned.

    Args:
        first: What is trained.
        data: The images, whose labels are not used.
        generator: Draws which of them are learned from, if there are more than that.
        config: When to stop.
        identity, checkpoint, progress: As in `minimise`.
    """
    weights = list(first.network.parameters())
    drawn = torch.randperm(len(data), generator=generator)[: first.images].sort().values
    images = data.images[drawn].flatten(1).to(weights[0].device, weights[0].dtype)

    def objective() -> float:
        loss = first.loss(images)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    report = minimise(
        weights, objective, config, identity=identity, checkpoint=checkpoint, stage=first.name,
        progress=progress,
    )  # fmt: skip
    first.keep()
    return report
