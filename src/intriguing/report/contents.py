"""What a report needs of a results folder, read once."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intriguing.report.figures import Panel, as_pictures
from intriguing.report.tables import Table, gather
from intriguing.results.schema import RunRecord
from intriguing.results.store import list_tensors, read_cells, read_images, read_run, read_tensors

COLUMNS = ("network", "seed", "success", "status", "distortion")


@dataclass(frozen=True)
class TensorFile:
    """One file of tensors with its metadata."""

    name: str
    tensors: dict[str, np.ndarray]
    metadata: dict[str, str]


@dataclass(frozen=True)
class Contents:
    """A results folder in memory: its record, tables, one array an image column, and pictures."""

    folder: Path
    run: RunRecord
    tables: dict[str, Table]
    images: dict[str, np.ndarray]
    files: tuple[TensorFile, ...]

    def of_kind(self, kind: str) -> list[TensorFile]:
        """Tensor files whose metadata say `kind`, in the order of their names."""
        return [file for file in self.files if file.metadata.get("kind") == kind]

    def distortions(self) -> dict[str, np.ndarray]:
        """Distortions of every network's images, first seed, NaN where none was found."""
        if not len(self.images["network"]):
            return {}
        first = self.images["seed"] == self.images["seed"].min()
        networks = dict.fromkeys(self.images["network"][first])
        found = np.where(self.images["success"], self.images["distortion"], np.nan)
        return {str(n): found[first & (self.images["network"] == n)] for n in networks}

    def statuses(self) -> dict[str, dict[str, int]]:
        """How many images of each network ended with each status, all seeds."""
        counts: dict[str, dict[str, int]] = {}
        for network in dict.fromkeys(self.images["network"]):
            names, many = np.unique(
                self.images["status"][self.images["network"] == network].astype(str),
                return_counts=True,
            )
            counts[str(network)] = dict(zip(names.tolist(), many.tolist(), strict=True))
        return counts


def read_contents(folder: Path) -> Contents:
    """Read a results folder.

    Raises:
        InputError: If it is none, damaged, or of another schema version.
    """
    run = read_run(folder)
    return Contents(
        folder=folder,
        run=run,
        tables={table.name: table for table in gather(read_cells(folder))},
        images=read_images(folder, COLUMNS),
        files=tuple(TensorFile(name, *read_tensors(folder, name)) for name in list_tensors(folder)),
    )


def panel(file: TensorFile) -> Panel:
    """The pairs of images in a "panel" or "gallery" file."""
    letter = file.metadata.get("letter", "")
    title = file.metadata.get("title", file.name)
    return Panel(
        title=f"({letter}) {title}" if letter else title,
        original=as_pictures(file.tensors["original"]),
        distorted=as_pictures(file.tensors["distorted"]),
        words=tuple(json.loads(file.metadata.get("words", "[]"))),
    )
