"""Rows that toys measure."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from intriguing.data.dataset import ImageSet
from intriguing.results.measured import Measurement, Metric
from intriguing.results.rows import ImageRow


def row(analysis: str, network: str, value: float) -> Measurement:
    """One value."""
    return Measurement(analysis, Metric.ERROR, "%", value, count=1, total=1, network=network)


def image_row(
    kind: type, network: str, images: ImageSet, values: np.ndarray
) -> Iterator[Mapping[str, Any]]:
    """A row an image."""
    if kind is ImageRow:
        none = np.full(len(images), np.nan)
        yield {
            "network": network, "seed": 0, "method": "toy", "image_id": list(images.ids),
            "label": images.labels.numpy(), "target": 0, "success": True, "status": "FOUND",
            "distortion": values, "l2": values, "c": none, "gap": none, "local_gap": none,
            "forward_passes": 1, "backward_passes": 0,
        }  # fmt: skip
