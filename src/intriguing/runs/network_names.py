"""Short names for networks."""

from collections.abc import Sequence
from pathlib import Path

from intriguing.names import readable


def names_of(specs: Sequence[str]) -> list[str]:
    """A name for each network, no two alike: short, of its file, or the whole where need be."""
    stems = [_stem(spec) for spec in specs]
    names: list[str] = []
    for stem, spec in zip(stems, specs, strict=True):
        name = free = readable(stem if stems.count(stem) == 1 else spec)
        again = 2
        while free in names:
            free, again = f"{name} ({again})", again + 1
        names.append(free)
    return names


def _stem(spec: str) -> str:
    """ "runs/fc.safetensors" is fc, "nets/mine.py:build" mine:build, "alexnet:a.pth" a.pth."""
    path, colon, function = spec.partition(".py:")
    return Path(path.removesuffix(".safetensors")).name + (f":{function}" if colon else "")
