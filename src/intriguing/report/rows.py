"""The rows of a unit analysis put together again: each direction with its images and coherence."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from intriguing.report.contents import Contents, TensorFile
from intriguing.report.figures import as_pictures


@dataclass(frozen=True)
class Pictures:
    """The images that any direction shows, 8-bit, in the order of `ids`."""

    pixels: np.ndarray
    ids: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    place: dict[str, int]
    total: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.pixels.shape[-2:]
        return height, width

    def drawn(self, which: Sequence[int] | np.ndarray) -> np.ndarray:
        """Some of them in [0, 1], as matplotlib wants them."""
        return np.asarray(as_pictures(self.pixels[np.asarray(which)]) / 255.0)


@dataclass(frozen=True)
class Measured:
    """One measure of every direction of a group, beside chance."""

    name: str
    unit: str
    values: np.ndarray
    chance: np.ndarray
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """The directions of one basis of one layer.

    Attributes:
        file: Histograms and neighbours.
        numbers: Of the directions in their basis; of the natural one, the units.
        images, values, boxes: By sign ("positive", "negative"): (direction, k) places in the
            pictures and activations, (direction, k, 4) boxes in pixels.
        responds: Which directions respond to k images at least.
    """

    layer: str
    basis: str
    file: TensorFile
    numbers: np.ndarray
    images: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    boxes: dict[str, np.ndarray]
    responds: np.ndarray
    measures: tuple[Measured, ...]

    @property
    def word(self) -> str:
        """What one of them is called."""
        return "unit" if self.basis == "natural" else "direction"

    def measure(self, name: str) -> Measured | None:
        """One of the measures, by name."""
        return next((one for one in self.measures if one.name == name), None)

    def crops(self, size: tuple[int, int]) -> bool:
        """Whether positions see less than the whole image."""
        box = self.boxes["positive"].reshape(-1, 4)
        sides = np.stack([box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]])
        return bool((sides < np.array(size)[:, None]).all())


def read_pictures(contents: Contents) -> Pictures | None:
    """The images of a unit analysis; None where there is none."""
    files = contents.of_kind("unit-images")
    if not files:
        return None
    file = files[0]
    ids = tuple(json.loads(file.metadata["ids"]))
    classes = tuple(json.loads(file.metadata["classes"]))
    place = {name: i for i, name in enumerate(ids)}
    total = int(file.metadata.get("count", len(ids)))
    return Pictures(file.tensors["images"], ids, file.tensors["labels"], classes, place, total)


def read_groups(contents: Contents) -> list[Group]:
    """Every layer and basis, in the order in which they were asked for."""
    pictures = read_pictures(contents)
    tops = contents.tops
    if pictures is None or not len(tops.get("rank", ())):
        return []
    files = {(f.metadata["layer"], f.metadata["basis"]): f for f in contents.of_kind("directions")}
    groups = []
    layers, bases = tops["layer"].astype(str), tops["basis"].astype(str)
    for layer in dict.fromkeys(layers):
        for basis in dict.fromkeys(bases[layers == layer]):
            if (layer, basis) in files:
                here = (layers == layer) & (bases == basis)
                file = files[layer, basis]
                groups.append(_group(contents, pictures, layer, basis, here, file))
    return groups


def words(group: Group, direction: int, pictures: Pictures) -> str:
    """What the top images of a direction share: unit 7: “3” ×8, “5”."""
    number = int(group.numbers[direction])
    counts = Counter(pictures.labels[group.images["positive"][direction]].tolist())
    common = counts.most_common(3)
    if common[0][1] == 1 and len(common) > 1:
        return f"{group.word} {number}"
    said = ", ".join(
        f"“{short(pictures.classes[label])}”" + (f" ×{count}" if count > 1 else "")
        for label, count in common
    )
    return f"{group.word} {number}: {said}"


def short(name: str) -> str:
    """A class name without what names files."""
    stem = name.rpartition("/")[2]
    if len(stem) > 10 and stem[0] == "n" and stem[1:9].isdigit():
        stem = stem[10:]
    return stem.replace("_", " ")


def _group(
    contents: Contents, pictures: Pictures, layer: str, basis: str, here: np.ndarray,
    file: TensorFile,
) -> Group:  # fmt: skip
    tops, numbers = contents.tops, file.tensors["numbers"]
    signs = tops["sign"][here].astype(str)
    images, values, boxes = {}, {}, {}
    for sign in ("positive", "negative"):
        one = np.flatnonzero(here)[signs == sign]
        if not len(one):
            continue
        places = np.array([pictures.place[name] for name in tops["image_id"][one]])
        images[sign] = places.reshape(len(numbers), -1)
        values[sign] = tops["value"][one].reshape(len(numbers), -1)
        sides = [tops[side][one] for side in ("top", "left", "bottom", "right")]
        boxes[sign] = np.stack(sides, 1).reshape(len(numbers), -1, 4)
    rows = contents.coherence
    mine = (rows["layer"].astype(str) == layer) & (rows["basis"].astype(str) == basis)
    names = rows["measure"][mine].astype(str)
    measures = []
    for name in dict.fromkeys(names):
        at = np.flatnonzero(mine)[names == name]
        measures.append(
            Measured(
                str(name), str(rows["unit"][at[0]]), rows["value"][at], rows["chance"][at],
                float(rows["low"][at[0]]), float(rows["high"][at[0]]),
            )
        )  # fmt: skip
    first = np.flatnonzero(mine)[names == names[0]]
    return Group(
        str(layer), str(basis), file, numbers, images, values, boxes, rows["responds"][first],
        tuple(measures),
    )  # fmt: skip
