"""What became of attacked images, of any number: one pass over their rows, and none is kept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intriguing.report.lengths import Lengths
from intriguing.results.parquet import stream_columns
from intriguing.results.rows import ImageRow


@dataclass(frozen=True)
class Attacked:
    """All attacked images of a folder.

    Attributes:
        images, found: How many, over all networks, methods and seeds; and with an example.
        networks: How many there are.
        distortions: Of each network's or method's images of the first seed.
        statuses: How many images of each ended how, over all seeds.
    """

    images: int
    found: int
    networks: int
    distortions: dict[str, Lengths]
    statuses: dict[str, dict[str, int]]


def read_attacked(folder: Path, series: str) -> Attacked:
    """The rows of images, put together.

    Args:
        folder: The results folder.
        series: The column that tells the lines of a chart apart.

    Raises:
        InputError: If the file is damaged.
    """
    columns = ("network", "seed", "success", "status", "distortion", series)
    images = found = 0
    networks = set[str]()
    lengths: dict[tuple[int, str], Lengths] = {}
    statuses: dict[str, dict[str, int]] = {}
    for part in stream_columns(folder, ImageRow, tuple(dict.fromkeys(columns))):
        success, names, seeds = part["success"], part[series], part["seed"]
        images, found = images + len(success), found + int(success.sum())
        networks |= set(part["network"])
        distortion = np.where(success, part["distortion"], np.nan)
        for name in dict.fromkeys(names):
            here = names == name
            ended, many = np.unique(part["status"][here].astype(str), return_counts=True)
            counts = statuses.setdefault(str(name), {})
            for status, count in zip(ended.tolist(), many.tolist(), strict=True):
                counts[status] = counts.get(status, 0) + count
            for seed in np.unique(seeds[here]).tolist():
                line = lengths.setdefault((seed, str(name)), Lengths())
                line.add(distortion[here & (seeds == seed)])
    first = min((seed for seed, _ in lengths), default=0)
    return Attacked(
        images, found, len(networks),
        {name: line for (seed, name), line in lengths.items() if seed == first},
        {name: dict(sorted(counts.items())) for name, counts in statuses.items()},
    )  # fmt: skip
