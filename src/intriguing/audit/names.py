"""Short names for networks."""

from collections.abc import Sequence
from pathlib import Path


def names_of(specs: Sequence[str]) -> list[str]:
    """A short name for each network: of its file, or the whole where two would be equal."""
    stems = [_stem(spec) for spec in specs]
    return [
        stem if stems.count(stem) == 1 else spec for stem, spec in zip(stems, specs, strict=True)
    ]


def _stem(spec: str) -> str:
    """ "runs/fc.safetensors" is fc, "nets/mine.py:build" mine:build, "alexnet:a.pth" a.pth."""
    path, colon, function = spec.partition(".py:")
    return Path(path.removesuffix(".safetensors")).name + (f":{function}" if colon else "")
