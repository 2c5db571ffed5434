"""What is asked about the units of a network, and whether it fits the network and its images."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.units import directions
from intriguing.units.activations import Layer, list_layers
from intriguing.units.dictionaries import FEWEST, halves
from intriguing.units.dictionary import OVERCOMPLETE, layer_vectors, learn_dictionary
from intriguing.units.directions import Basis
from intriguing.units.measured import Measure, reinitialised
from intriguing.units.receptive_field import ReceptiveField, receptive_field

LEARNED = ("sae", "sae-frozen")
BASES = ("natural", "random", "gaussian", "pca", "kmeans", *LEARNED)
FILES = (".npy", ".safetensors")
NONLINEARITIES = (
    "ReLU",
    "ReLU6",
    "LeakyReLU",
    "ELU",
    "GELU",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "Softplus",
)

Chosen: TypeAlias = Literal["auto", "purity", "pixels", "features"]


@dataclass(frozen=True)
class Study:
    """What is asked about the units.

    Attributes:
        layers: Names; none for the last three nonlinearities.
        bases: Of `BASES`, or files with a matrix.
        k: Images a row.
        directions: At most so many of each basis are shown; all are tested.
        measure: Of the claim; "auto" is purity where the labels can tell, else pixels.
        delta: The largest difference that counts as none; None for what the measure has.
        rotations: Random bases a network; None for what the test needs.
        untrained: How many untrained networks; 0 to test against rotation alone.
        paths: How many rotations the path Q^α is followed to; 0 for none.
        dictionary: Features of a learned dictionary; None for twice as many as units.
        dictionaries: How many are learned, each with its control, to compare them with other bases.
        seed: Of rotations, initialisations and resampling.
    """

    layers: tuple[str, ...] = ()
    bases: tuple[str, ...] = ("natural", "random")
    k: int = 9
    directions: int | None = None
    measure: Chosen = "auto"
    delta: float | None = None
    rotations: int | None = None
    untrained: int = 8
    paths: int = 10
    claim: bool = True
    seed: int = 0
    dictionary: int | None = None
    dictionaries: int = 5


@dataclass(frozen=True)
class Asked:
    """A study that fits its networks and images, before any long work.

    `files` are digests of the bases that are files, whose names say nothing of what is in them.
    """

    study: Study
    layers: tuple[Layer, ...]
    fields: tuple[ReceptiveField, ...]
    measure: Measure
    files: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' names."""
        return tuple(layer.name for layer in self.layers)


def prepare(
    study: Study, model: nn.Module, images: ImageSet, features: Tensor | None = None
) -> Asked:
    """Check a study against a network and its images.

    Raises:
        InputError: If there is no such layer or basis, or the images are too few.
    """
    if not 2 <= study.k <= len(images):
        raise InputError(f"k={study.k} of {len(images)} images; give 2 … {len(images)}")
    if study.directions is not None and study.directions < 1:
        raise InputError(f"{study.directions} directions; give 1 or more")
    if study.delta is not None and not study.delta > 0:
        raise InputError(f"delta={study.delta:g}; give the largest difference that counts as none")
    if study.rotations is not None and study.rotations < 2:
        raise InputError(f"{study.rotations} rotations; give 2 or more, or leave it out")
    if study.untrained < 0 or study.untrained == 1 or study.paths < 0:
        raise InputError(
            f"untrained={study.untrained}, paths={study.paths}; give 0 for none of them, and 2 or "
            "more untrained networks, whose spread the test needs"
        )
    _check_dictionaries(study, len(images))
    unknown = [b for b in study.bases if b not in BASES and Path(b).suffix not in FILES]
    if unknown or not study.bases or len(set(study.bases)) < len(study.bases):
        raise InputError(
            f"bases {' '.join(study.bases) or '(none)'}: give each once, of {', '.join(BASES)}, or "
            "FILE.npy or FILE.safetensors with a direction a column"
        )
    called = [_called(basis) for basis in study.bases]
    if twice := [name for name in dict.fromkeys(called) if called.count(name) > 1]:
        raise InputError(
            f"bases {' '.join(study.bases)}: two would be called {twice[0]!r}; rename a file"
        )
    shape = tuple(images.images.shape[1:])
    known = {layer.name: layer for layer in list_layers(model, shape)}
    names = study.layers or default_layers(tuple(known.values()))
    # A network with its normalisation in front is called as without it.
    inner = (f"model.{name}" for name in names)
    names = tuple(
        b if a not in known and b in known else a for a, b in zip(names, inner, strict=True)
    )
    for name in names:
        if name not in known:
            raise InputError(
                f"there is no layer {name!r}; `intriguing layers` lists them: "
                f"{', '.join(list(known)[:12])}{' …' if len(known) > 12 else ''}"
            )
    layers = tuple(known[name] for name in dict.fromkeys(names))
    files = [basis for basis in study.bases if basis not in BASES]
    for file in files:
        for layer in layers:
            try:
                directions.load_directions(file, layer.units)
            except InputError as error:
                raise InputError(f"{file} for {layer.name}: {error}") from error
    measure: Measure
    if study.measure == "auto":
        measure = "purity" if _labels_tell(images, study.k) else "pixels"
    else:
        measure = study.measure
    if (measure == "features") and features is None:
        raise InputError("the measure features needs another network; give --other MODEL")
    if study.claim and study.untrained:
        try:
            reinitialised(model, 0)
        except InputError as error:
            raise InputError(
                f"{str(error).partition(';')[0]}; test the claim against rotation alone: "
                "--untrained 0"
            ) from error
    fields = tuple(receptive_field(model, layer.name, shape) for layer in layers)
    digests = (hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files)
    return Asked(study, layers, fields, measure, tuple(digests))


def _check_dictionaries(study: Study, images: int) -> None:
    """Refuse numbers that nothing can be learned with."""
    if not set(LEARNED) & set(study.bases):
        return
    if images // 2 < study.k:
        raise InputError(
            f"a dictionary is learned from half of the images, and k={study.k} of the other half "
            f"are ranked; give {2 * study.k} images or more"
        )
    if study.dictionary is not None and study.dictionary < 3:
        raise InputError(f"a dictionary of {study.dictionary} features; give 3 or more")
    if study.claim and study.dictionaries < FEWEST:
        raise InputError(
            f"{study.dictionaries} dictionaries have no interval; give {FEWEST} or more, or "
            "--no-claim"
        )


def _called(basis: str) -> str:
    """What a basis is called in rows and tables: a file by its stem."""
    return {"kmeans": "k-means"}.get(basis, basis if basis in BASES else Path(basis).stem)


def default_layers(layers: Sequence[Layer]) -> tuple[str, ...]:
    """The last three layers of nonlinearities; else blocks of layers, else what modules take in."""
    nonlinear = [layer.name for layer in layers if layer.kind in NONLINEARITIES]
    blocks = [x.name for x in layers[:-1] if not hasattr(nn, x.kind) and len(x.shape) == 3]
    functional = [x.name for x in layers if x.name.endswith(":input") and len(x.shape) in (1, 3)]
    found = (nonlinear or blocks or functional or [layer.name for layer in layers])[-3:]
    if not found:
        raise InputError("the network has no layers with units; name one: --layer NAME")
    return tuple(found)


def choose_bases(
    study: Study, model: nn.Module, layer: Layer, images: ImageSet
) -> list[tuple[Basis, np.ndarray]]:
    """The bases of a layer, each with the numbers of the directions that are kept of it."""
    units = layer.units
    found = []
    for name in study.bases:
        generator = torch.Generator().manual_seed(study.seed)
        few = min(units, study.directions or units)
        if name == "natural":
            basis = directions.natural(units)
        elif name == "random":
            basis = directions.haar(units, generator)
        elif name == "gaussian":
            basis = directions.gaussian(units, few, generator)
        elif name == "pca":
            basis = directions.pca(model, layer.name, images)
        elif name == "kmeans":
            count = max(2, min(few, len(images) // 4))
            basis = directions.kmeans(model, layer.name, images, count, seed=study.seed)
        elif name in LEARNED:
            basis = _learn(study, model, layer, images, name)
        else:
            basis = directions.load_directions(name, units)
        numbers = torch.arange(len(basis))
        if study.directions is not None and study.directions < len(basis):
            # Of the natural basis any; of the others, which come in an order, the first.
            order = (
                torch.randperm(len(basis), generator=generator) if name == "natural" else numbers
            )
            numbers = order[: study.directions].sort().values
        kept = Basis(_called(name), basis.matrix[:, numbers])
        found.append((kept, numbers.numpy()))
    return found


def _learn(study: Study, model: nn.Module, layer: Layer, images: ImageSet, name: str) -> Basis:
    """The first of the dictionaries that are compared, or its control."""
    seen, ranked = (images.subset(half) for half in halves(images, study.seed))
    vectors, held_out = (
        layer_vectors(model, layer.name, some, len(some), study.seed) for some in (seen, ranked)
    )
    count = OVERCOMPLETE * layer.units if study.dictionary is None else study.dictionary
    return learn_dictionary(
        vectors, held_out, count, frozen=name == "sae-frozen", seed=study.seed
    ).basis(name)


def _labels_tell(images: ImageSet, k: int) -> bool:
    """Whether rows could be purer than chance by more than a little."""
    counts = images.labels.bincount(minlength=images.classes)
    return images.classes > 1 and int(counts.max()) >= k and int((counts > 1).sum()) > 1
