"""What a run record says of networks, images, versions and the machine."""

import os
import platform
from typing import Any

import numpy as np
import torch
from torch import nn

from intriguing import __version__
from intriguing.data.dataset import ImageSet
from intriguing.models.weights import model_sha256
from intriguing.results.schema import DataRecord, ModelRecord


def record_model(name: str, model: nn.Module, seed: int = 0, **more: Any) -> ModelRecord:
    """A network; `more` are further fields of `ModelRecord`."""
    describe = getattr(model, "describe", None)
    return ModelRecord(
        name=name,
        seed=seed,
        sha256=model_sha256(model),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        architecture=describe() if callable(describe) else type(model).__name__,
        **more,
    )


def record_data(images: ImageSet) -> DataRecord:
    """A set of images."""
    return DataRecord(images.name, len(images), images.sha256)


def versions() -> dict[str, str]:
    """Of everything that the numbers may depend on."""
    return {
        "python": platform.python_version(),
        "intriguing": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def machine(device: torch.device) -> dict[str, Any]:
    """Where it ran, without naming the machine."""
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }
