"""What the units of a network respond to, as a results folder keeps it: §3 on any network.

One pass ranks the images for every direction of every layer and basis; then each row's coherence,
the test of the claim, and the path from the natural basis to rotated ones.  The two long steps are
kept in the folder, so that a run that was stopped does them once.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from intriguing import __version__
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.files import write_whole
from intriguing.measures import Progress, ProgressCallback, mean_interval
from intriguing.models.weights import model_sha256
from intriguing.results.schema import Cell, ClaimRow, Stage, Unit
from intriguing.results.store import write_claims, write_coherence, write_tensors, write_tops
from intriguing.units import directions
from intriguing.units.activations import Layer, layer_features, list_layers, pieces
from intriguing.units.claim import UNITS, compare_bases
from intriguing.units.coherence import coherence
from intriguing.units.directions import Basis
from intriguing.units.measured import Measure, reinitialised, scorer
from intriguing.units.receptive_field import ReceptiveField, receptive_field
from intriguing.units.topk import TopImages, top_images

BASES = ("natural", "random", "gaussian", "pca", "kmeans")
ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
STRONGEST, NEAREST = 6, 5
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
        delta: The largest difference that counts as none.
        rotations: Random bases a network; None for what the test needs.
        untrained: How many untrained networks; 0 to test against rotation alone.
        paths: How many rotations the path Q^α is followed to; 0 for none.
        seed: Of rotations, initialisations and resampling.
    """

    layers: tuple[str, ...] = ()
    bases: tuple[str, ...] = ("natural", "random")
    k: int = 9
    directions: int | None = None
    measure: Chosen = "auto"
    delta: float = 0.05
    rotations: int | None = None
    untrained: int = 8
    paths: int = 10
    claim: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Asked:
    """A study that fits its networks and images, before any long work."""

    study: Study
    layers: tuple[Layer, ...]
    fields: tuple[ReceptiveField, ...]
    measure: Measure

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' names."""
        return tuple(layer.name for layer in self.layers)


@dataclass(frozen=True)
class Studied:
    """What a run record and the tables need besides the rows and tensors that were written."""

    cells: tuple[Cell, ...]
    stages: tuple[Stage, ...]
    notes: tuple[str, ...]


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
    unknown = [b for b in study.bases if b not in BASES and Path(b).suffix not in FILES]
    if unknown or not study.bases or len(set(study.bases)) < len(study.bases):
        raise InputError(
            f"bases {' '.join(study.bases) or '(none)'}: give each once, of {', '.join(BASES)}, or "
            "FILE.npy or FILE.safetensors with a direction a column"
        )
    shape = tuple(images.images.shape[1:])
    known = {layer.name: layer for layer in list_layers(model, shape)}
    names = study.layers or default_layers(tuple(known.values()))
    # A network with its normalisation in front is called as without it.
    inner = (f"model.{name}" for name in names)
    names = tuple(b if b in known else a for a, b in zip(names, inner, strict=True))
    for name in names:
        if name not in known:
            raise InputError(
                f"there is no layer {name!r}; `intriguing layers` lists them: "
                f"{', '.join(list(known)[:12])} …"
            )
    layers = tuple(known[name] for name in dict.fromkeys(names))
    for file in (b for b in study.bases if b not in BASES):
        for layer in layers:
            directions.load_directions(file, layer.units)
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
    return Asked(study, layers, fields, measure)


FILES = (".npy", ".safetensors")


def default_layers(layers: Sequence[Layer]) -> tuple[str, ...]:
    """The last three layers of nonlinearities; else blocks of layers, else what modules take in."""
    nonlinear = [layer.name for layer in layers if layer.kind in NONLINEARITIES]
    blocks = [x.name for x in layers[:-1] if not hasattr(nn, x.kind) and len(x.shape) == 3]
    functional = [x.name for x in layers if x.name.endswith(":input") and len(x.shape) in (1, 3)]
    found = (nonlinear or blocks or functional or [layer.name for layer in layers])[-3:]
    if not found:
        raise InputError("the network has no layers with units; name one: --layer NAME")
    return tuple(found)


def analyse(
    folder: Path,
    name: str,
    models: Sequence[nn.Module],
    images: ImageSet,
    asked: Asked,
    *,
    other: Mapping[str, Tensor] | None = None,
    progress: ProgressCallback | None = None,
) -> Studied:
    """Rank, measure and test; rows and tensors go to `folder`.

    Args:
        folder: An open results folder.
        name: Of the network, in every row.
        models: The network, and others of its shape trained from other seeds, for the test.
        images: Held-out images.
        asked: By `prepare`.
        other: Vectors of the images in another network's space, by its name.
        progress: Called within every stage.
    """
    start = time.perf_counter()
    study, model = asked.study, models[0]
    bases = {layer.name: choose_bases(study, model, layer, images) for layer in asked.layers}
    found = top_images(
        model, asked.names, images, {n: [b for b, _ in some] for n, some in bases.items()},
        k=study.k, sign="both", seed=study.seed, progress=_renamed(progress, "ranking the images"),
    )  # fmt: skip
    shown = _shown(list(found.values()))
    _write_pictures(folder, images, shown)
    tops, rows = [], []
    for layer, field in zip(asked.layers, asked.fields, strict=True):
        own = layer_features(model, layer.name, images)
        for basis, numbers in bases[layer.name]:
            top = found[layer.name, basis.name]
            tops += _top_columns(name, top, numbers, field, images)
            measured = coherence(top, images, own=own, features=other, seed=study.seed)
            rows += [
                _coherence_columns(name, top, numbers, value, responds(top))
                for value in measured.values()
            ]
    write_tops(folder, tops)
    write_coherence(folder, rows)
    strongest = _strongest(model, found, images, shown, progress)
    for layer, field in zip(asked.layers, asked.fields, strict=True):
        _write_directions(folder, layer, field, bases[layer.name], found, strongest)
    stages = [Stage("rank the images", time.perf_counter() - start, 3 * len(images))]
    cells: list[Cell] = []
    features = next(iter(other.values())) if other and asked.measure == "features" else None
    identity = " ".join(
        (*map(model_sha256, models), images.sha256, repr(study), asked.measure, *asked.names,
         __version__)
    )  # fmt: skip
    if study.claim:
        claims, stage = _test(folder, name, models, images, asked, features, identity, progress)
        write_claims(folder, claims)
        stages.append(stage)
    if study.claim and study.paths:
        curve, stage = _follow(folder, models, images, asked, features, identity, progress)
        cells += curve
        stages.append(stage)
    return Studied(tuple(cells), tuple(stages), notes(asked, images, len(models)))


def notes(asked: Asked, images: ImageSet, networks: int) -> tuple[str, ...]:
    """What a reader of the pictures and of the verdicts should know."""
    study = asked.study
    said = [
        f"Every row shows the {study.k} of {len(images):,} images that excite a direction most. "
        "The directions in a picture were not chosen for what they show: they are evenly spaced "
        "among those that respond.",
    ]
    if any(len(layer.shape) == 3 for layer in asked.layers):
        said.append(
            "In a convolutional layer a unit is a channel; its activation for an image is the "
            "largest over positions, and crops are the pixels that this position sees."
        )
    if asked.measure == "pixels":
        said.append(
            "The labels of these images cannot tell coherent rows from others, so the claim is "
            "tested by the mean cosine of pairs of images in pixels, which sees colour and layout "
            "and no meaning."
        )
    if networks == 1 and study.claim:
        said.append("The test knows one trained network: its interval says nothing of other seeds.")
    return tuple(said)


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
        else:
            basis = directions.load_directions(name, units)
        numbers = torch.arange(len(basis))
        if study.directions is not None and study.directions < len(basis):
            # Of the natural basis any; of the others, which come in an order, the first.
            order = (
                torch.randperm(len(basis), generator=generator) if name == "natural" else numbers
            )
            numbers = order[: study.directions].sort().values
        kept = Basis("k-means" if name == "kmeans" else basis.name, basis.matrix[:, numbers])
        found.append((kept, numbers.numpy()))
    return found


def responds(top: TopImages) -> Tensor:
    """Of each direction, whether its last image shown excites it more than the least exciting."""
    return top.values[:, -1].double() > top.histogram.lowest


def _labels_tell(images: ImageSet, k: int) -> bool:
    """Whether rows could be purer than chance by more than a little."""
    counts = images.labels.bincount(minlength=images.classes)
    return images.classes > 1 and int(counts.max()) >= k and int((counts > 1).sum()) > 1


def _shown(tops: Sequence[TopImages]) -> Tensor:
    """Indices of the images that any direction shows, in their order."""
    every = [r.indices.flatten() for t in tops for r in (t.ranking, t.opposite) if r is not None]
    found = np.unique(torch.cat(every).numpy())
    return torch.from_numpy(found[found >= 0])


def _write_pictures(folder: Path, images: ImageSet, shown: Tensor) -> None:
    pixels = (images.images[shown].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    metadata = {
        "kind": "unit-images",
        "title": "The images that any direction shows, in 8 bits",
        "ids": json.dumps([images.ids[i] for i in shown.tolist()], ensure_ascii=False),
        "classes": json.dumps(images.class_names, ensure_ascii=False),
        "count": str(len(images)),
    }
    tensors = {"images": pixels, "labels": images.labels[shown].cpu().numpy()}
    write_tensors(folder, "pictures", tensors, metadata)


def _top_columns(
    name: str, top: TopImages, numbers: np.ndarray, field: ReceptiveField, images: ImageSet
) -> list[dict[str, Any]]:
    labels, ids = images.labels.cpu().numpy(), np.array(images.ids, dtype=object)
    boxes = np.array([[b.top, b.left, b.bottom, b.right] for b in field.boxes])
    parts = []
    for sign, ranking in (("positive", top.ranking), ("negative", top.opposite)):
        if ranking is None:
            continue
        count, k = ranking.indices.shape
        where = ranking.indices.numpy().ravel()
        position = ranking.positions.numpy().ravel()
        box = boxes[np.clip(position, 0, len(boxes) - 1)]
        parts.append({
            "network": name, "seed": 0, "layer": top.layer, "basis": top.basis,
            "direction": np.repeat(numbers, k), "sign": sign,
            "rank": np.tile(np.arange(k), count), "image_id": ids[where].tolist(),
            "label": labels[where], "value": ranking.values.double().numpy().ravel(),
            "position": position, "top": box[:, 0], "left": box[:, 1], "bottom": box[:, 2],
            "right": box[:, 3],
        })  # fmt: skip
    return parts


def _coherence_columns(
    name: str, top: TopImages, numbers: np.ndarray, value: Any, responding: Tensor
) -> dict[str, Any]:
    return {
        "network": name, "seed": 0, "layer": top.layer, "basis": top.basis, "direction": numbers,
        "measure": value.name, "unit": value.unit, "value": value.values.double().numpy(),
        "chance": value.chance.double().numpy(), "low": float(value.low), "high": float(value.high),
        "responds": responding.numpy(),
    }  # fmt: skip


def _strongest(
    model: nn.Module,
    found: Mapping[tuple[str, str], TopImages],
    images: ImageSet,
    shown: Tensor,
    progress: ProgressCallback | None,
) -> dict[tuple[str, str], tuple[Tensor, Tensor]]:
    """Of each image shown, the directions it excites most beside what other images do.

    In standard deviations above the mean, both by the histogram of all images.
    """
    scale = {key: _mean_and_deviation(top) for key, top in found.items()}
    best: dict[tuple[str, str], list[tuple[Tensor, Tensor]]] = {key: [] for key in found}
    names = tuple(dict.fromkeys(layer for layer, _ in found))
    told = _renamed(progress, "from images to directions")
    for piece in pieces(model, names, images.images[shown], progress=told):
        for (layer, basis), top in found.items():
            phi = piece.activations[layer][: piece.count].unsqueeze(2).flatten(2)
            v = top.directions.to(phi.device, phi.dtype)
            value = torch.einsum("nup,ud->ndp", phi, v).amax(2).cpu().double()
            mean, deviation = scale[layer, basis]
            z = (value - mean) / deviation
            chosen = z.topk(min(STRONGEST, z.shape[1]), dim=1)
            best[layer, basis].append((chosen.indices, chosen.values))
    return {
        key: (torch.cat([i for i, _ in some]), torch.cat([v for _, v in some]))
        for key, some in best.items()
    }


def _mean_and_deviation(top: TopImages) -> tuple[Tensor, Tensor]:
    counts = top.histogram.counts.double()
    bins = torch.arange(counts.shape[1]) + 0.5
    middle = (top.histogram.first[:, None] + bins) * top.histogram.width[:, None]
    total = counts.sum(1).clamp_min(1)
    mean = (counts * middle).sum(1) / total
    variance = (counts * (middle - mean[:, None]).square()).sum(1) / total
    return mean, variance.sqrt().clamp_min(1e-12) + top.histogram.width * 1e-3


def _write_directions(
    folder: Path,
    layer: Layer,
    field: ReceptiveField,
    bases: Sequence[tuple[Basis, np.ndarray]],
    found: Mapping[tuple[str, str], TopImages],
    strongest: Mapping[tuple[str, str], tuple[Tensor, Tensor]],
) -> None:
    """Histograms, nearest directions and what images excite, one file a layer and basis."""
    for place, (basis, numbers) in enumerate(bases):
        others = [(i, b, n) for i, (b, n) in enumerate(bases) if i != place and len(b)]
        others = others or [(place, basis, numbers)]
        whole = Basis("others", torch.cat([b.matrix.double() for _, b, _ in others], 1))
        near, cosines = directions.nearest_directions(
            basis, basis if others[0][0] == place else whole, NEAREST
        )
        whose = np.concatenate([np.full(len(n), i) for i, _, n in others])
        which = np.concatenate([n for _, _, n in others])
        top = found[layer.name, basis.name]
        units, strength = strongest[layer.name, basis.name]
        tensors = {
            "numbers": numbers.astype(np.int64),
            "counts": top.histogram.counts.numpy(),
            "first": top.histogram.first.numpy(),
            "width": top.histogram.width.numpy(),
            "lowest": top.histogram.lowest.numpy(),
            "highest": top.histogram.highest.numpy(),
            "near_basis": whose[near.numpy()],
            "near": which[near.numpy()],
            "cosines": cosines.numpy(),
            "strongest": numbers[units.numpy()],
            "strength": strength.numpy(),
        }
        metadata = {
            "kind": "directions", "layer": layer.name, "basis": basis.name,
            "title": f"{layer.name}, {basis.name}", "type": layer.kind,
            "shape": json.dumps(layer.shape), "whole": field.whole,
            "bases": json.dumps([b.name for b, _ in bases]), "invalid": str(top.invalid),
        }  # fmt: skip
        write_tensors(folder, f"directions-{_slug(layer.name)}-{_slug(basis.name)}", tensors,
                      metadata)  # fmt: skip


def _test(
    folder: Path,
    name: str,
    models: Sequence[nn.Module],
    images: ImageSet,
    asked: Asked,
    features: Tensor | None,
    identity: str,
    progress: ProgressCallback | None,
) -> tuple[list[ClaimRow], Stage]:
    path = folder / "stages" / "claim.json"
    kept = _recall(path, identity)
    if kept is not None:
        return [ClaimRow(**row) for row in kept["claims"]], Stage("test the claim", kept["seconds"])
    start = time.perf_counter()
    study = asked.study
    claim = compare_bases(
        models, asked.names, images, measure=asked.measure, features=features, k=study.k,
        delta=study.delta, rotations=study.rotations, untrained=study.untrained, seed=study.seed,
        progress=_renamed(progress, "testing the claim"),
    )  # fmt: skip
    rows = [
        ClaimRow(
            network=name, layer=layer.layer, measure=claim.measure, k=claim.k, images=claim.images,
            networks=claim.networks, rotations=claim.rotations, untrained_networks=claim.untrained,
            units=layer.units, delta=claim.delta, level=claim.level, silent=layer.silent,
            natural=layer.natural, random=layer.random, difference=layer.difference,
            low=layer.interval[0], high=layer.interval[1], untrained=layer.untrained,
            p=layer.p_holm, p_equivalent=layer.p_equivalent_holm, verdict=layer.verdict,
            sentence=claim.sentence(layer),
        )
        for layer in claim.layers
    ]  # fmt: skip
    seconds = time.perf_counter() - start
    _remember(path, identity, {"claims": [asdict(row) for row in rows], "seconds": seconds})
    return rows, Stage("test the claim", seconds)


def _follow(
    folder: Path,
    models: Sequence[nn.Module],
    images: ImageSet,
    asked: Asked,
    features: Tensor | None,
    identity: str,
    progress: ProgressCallback | None,
) -> tuple[list[Cell], Stage]:
    """Mean coherence of Q^α for α from 0 to 1, with Student's interval over the rotations Q."""
    path = folder / "stages" / "path.json"
    kept = _recall(path, identity)
    if kept is not None:
        return _path_cells(asked, kept["values"]), Stage("follow Q^α", kept["seconds"])
    start = time.perf_counter()
    score = scorer(asked.measure, images, features)
    names, count = asked.names, asked.study.paths
    # By layer, then α: of each Q the mean over the networks.
    values = {name: [[0.0] * count for _ in ALPHAS] for name in names}
    for done, model in enumerate(models):
        for q in range(count):
            generator = torch.Generator().manual_seed(1000 * (done + 1) + q + asked.study.seed)
            ways = {layer.name: _way(layer.units, generator) for layer in asked.layers}
            found = top_images(
                model, names, images.images, ways, k=asked.study.k, sign="positive", bins=0
            )
            for name in names:
                for j, basis in enumerate(ways[name]):
                    top = found[name, basis.name]
                    coherent = score(top.indices).double().masked_fill(~responds(top), torch.nan)
                    values[name][j][q] += float(coherent.nanmean()) / len(models)
            if progress is not None:
                step = done * count + q + 1
                progress(Progress("following Q^α", step, len(models) * count))
    seconds = time.perf_counter() - start
    _remember(path, identity, {"values": values, "seconds": seconds})
    return _path_cells(asked, values), Stage("follow Q^α", seconds)


def _path_cells(asked: Asked, values: Mapping[str, Sequence[Sequence[float]]]) -> list[Cell]:
    """A row a layer; the natural basis, which is the same for every Q, has no interval."""
    units: dict[str, Unit] = {"share": "share", "bits": "bits"}
    unit = units.get(UNITS[asked.measure], "cosine")
    cells = []
    for i, layer in enumerate(asked.names):
        for j, alpha in enumerate(ALPHAS):
            some = torch.tensor(values[layer][j], dtype=torch.float64)
            low, high = mean_interval(some) if alpha and len(some) > 1 else (None, None)
            cells.append(Cell("path", layer, f"α = {alpha:g}", i, j, unit, float(some.mean()), low,
                              high, len(some), len(some)))  # fmt: skip
    return cells


def _way(units: int, generator: torch.Generator) -> list[Basis]:
    rotation = directions.haar(units, generator).matrix
    return [directions.rotation_path(rotation, alpha) for alpha in ALPHAS]


def _remember(path: Path, identity: str, content: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    write_whole(path, json.dumps({"identity": identity, **content}, ensure_ascii=False))


def _recall(path: Path, identity: str) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if content.get("identity") == identity else None


def _renamed(progress: ProgressCallback | None, stage: str) -> ProgressCallback | None:
    if progress is None:
        return None
    return lambda step: progress(replace(step, stage=stage))


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._" else "-" for c in name)
