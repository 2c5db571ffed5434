"""Originals beside adversarial images, as a report keeps them: small, and exact in 8 bits."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.results.store import write_tensors

Made: TypeAlias = Literal["nearest", "target"]


@dataclass(frozen=True)
class Words:
    """What is said of one pair: its id, its class, what the network says, and how far apart."""

    id: str
    label: str
    says: str
    distortion: float
    note: str = ""


def write_pairs(
    folder: Path,
    name: str,
    title: str,
    originals: Float[Tensor, "n channel height width"],
    adversarial: Float[Tensor, "n channel height width"],
    words: Sequence[Words],
    *,
    network: str = "",
    made: Made = "nearest",
) -> None:
    """Write tensors/NAME.safetensors of kind "pairs"; `network` is whom the examples are for.

    Tensors: `original` in 8 bits; `change`, a signed byte a pixel, and `scale`, one an image, so
    that the adversarial image is original / 255 + change / scale: exactly, where it is an 8-bit
    image, else to 1/254 of the largest change.  The metadata say for which `network` they were
    made, and whether they are the nearest of any class or all of one ("target").
    """
    change = (adversarial - originals).double().cpu()
    largest = change.flatten(1).abs().amax(1).clamp_min(1e-12)
    levels = 255 * change
    whole = (levels - levels.round()).flatten(1).abs().amax(1) < 1e-3
    scale = torch.where(whole & (255 * largest < 127.5), 255.0, 127 / largest)
    tensors: dict[str, np.ndarray] = {
        "original": (255 * originals.cpu().double()).round().clamp(0, 255).numpy().astype(np.uint8),
        "change": (change * scale.view(-1, 1, 1, 1)).round().numpy().astype(np.int8),
        "scale": scale.numpy().astype(np.float32),
    }
    said = json.dumps([asdict(one) for one in words], ensure_ascii=False)
    metadata = {
        "kind": "pairs", "title": title, "words": said, "network": network, "made": made
    }  # fmt: skip
    write_tensors(folder, name, tensors, metadata)
