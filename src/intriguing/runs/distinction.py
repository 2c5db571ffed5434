"""The claim of §3 tested, and coherence followed from the natural basis to rotated ones.

Both take long, and are kept in the results folder, so that a run that was stopped does them once.
"""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from intriguing import __version__
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.estimates import Rows
from intriguing.files import read_json, write_whole
from intriguing.keys import derive_key
from intriguing.measures import Progress, ProgressCallback, mean_interval
from intriguing.results.rows import ClaimRow, Measurement, Metric, Unit
from intriguing.results.schema import Stage
from intriguing.runs.ranked import renamed, responds
from intriguing.runs.study import Asked
from intriguing.units import directions
from intriguing.units.activations import Layer
from intriguing.units.claim import UNITS, compare_bases
from intriguing.units.directions import Basis
from intriguing.units.measured import scorer
from intriguing.units.topk import top_images

ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
WIDEST = 1024
"""Units of a layer whose path is followed: finding a rotation's planes takes their cube."""


@dataclass(frozen=True)
class Case:
    """What both steps need.

    Attributes:
        folder: An open results folder.
        name: Of the network, in every row.
        models: Of one shape, trained from several seeds.
        images: Held-out images.
        asked: By `prepare`.
        features: Vectors of the images, for the measure of that name.
        progress: Called after each network, or rotation.
    """

    folder: Path
    name: str
    models: Sequence[nn.Module]
    images: ImageSet
    asked: Asked
    features: Tensor | None = None
    progress: ProgressCallback | None = None

    @property
    def key(self) -> str:
        """Of all that the outcome depends on; `name` is in the rows that are kept."""
        return derive_key(
            self.name, tuple(self.models), self.images.sha256, self.asked, self.features,
            __version__,
        )  # fmt: skip


def judge(case: Case) -> tuple[list[ClaimRow], Stage]:
    """The verdict on every layer."""
    path = case.folder / "stages" / "claim.json"
    kept = _recall(path, case.key)
    if kept is not None:
        return [ClaimRow(**row) for row in kept["claims"]], Stage("test the claim", kept["seconds"])
    start = time.perf_counter()
    asked, study = case.asked, case.asked.study
    claim = compare_bases(
        case.models, asked.names, case.images, measure=asked.measure, features=case.features,
        k=study.k, delta=study.delta, rotations=study.rotations, untrained=study.untrained,
        seed=study.seed,
        progress=renamed(case.progress, "testing the claim"),
    )  # fmt: skip
    rows = [
        ClaimRow(
            network=case.name, layer=layer.layer, measure=claim.measure, k=claim.k,
            images=claim.images, networks=claim.networks, rotations=claim.rotations,
            untrained_networks=claim.untrained,
            units=layer.units, delta=claim.delta, level=claim.level, silent=layer.silent,
            natural=layer.natural, random=layer.random, difference=layer.difference,
            low=layer.interval[0], high=layer.interval[1], untrained=layer.untrained,
            p=layer.p_holm, p_equivalent=layer.p_equivalent_holm, verdict=layer.verdict,
            sentence=claim.sentence(layer),
        )
        for layer in claim.layers
    ]  # fmt: skip
    seconds = time.perf_counter() - start
    _remember(path, case.key, {"claims": [asdict(row) for row in rows], "seconds": seconds})
    return rows, Stage("test the claim", seconds)


def follow(case: Case) -> tuple[list[Measurement], Stage]:
    """Mean coherence of Q^α for α from 0 to 1, with Student's interval over the rotations Q."""
    asked, models = case.asked, case.models
    path = case.folder / "stages" / "path.json"
    kept = _recall(path, case.key)
    if kept is not None:
        return _path_rows(case, kept["values"]), Stage("follow Q^α", kept["seconds"])
    start = time.perf_counter()
    score = scorer(asked.measure, case.images, case.features)
    layers, count = followed(asked), asked.study.paths
    names = [layer.name for layer in layers]
    # By layer, then α: of each Q the mean over the networks.
    values = {name: [[0.0] * count for _ in ALPHAS] for name in names}
    for done, model in enumerate(models):
        for q in range(count):
            generator = torch.Generator().manual_seed(1000 * (done + 1) + q + asked.study.seed)
            ways = {layer.name: _way(layer.units, generator) for layer in layers}
            found = top_images(
                model, names, case.images, ways, k=asked.study.k, sign="positive", bins=0
            )
            for name in names:
                for j, basis in enumerate(ways[name]):
                    top = found[name, basis.name]
                    coherent = score(top.indices).double().masked_fill(~responds(top), torch.nan)
                    values[name][j][q] += float(coherent.nanmean()) / len(models)
            if case.progress is not None:
                step = done * count + q + 1
                case.progress(Progress("following Q^α", step, len(models) * count))
    seconds = time.perf_counter() - start
    _remember(path, case.key, {"values": values, "seconds": seconds})
    return _path_rows(case, values), Stage("follow Q^α", seconds)


def followed(asked: Asked) -> list[Layer]:
    """The layers whose path Q^α is followed."""
    return [layer for layer in asked.layers if layer.units <= WIDEST]


def _path_rows(case: Case, values: Mapping[str, Sequence[Sequence[float]]]) -> list[Measurement]:
    """For every layer and α; the natural basis, which is the same for every Q, has no interval."""
    units: dict[str, Unit] = {"share": "share", "bits": "bits"}
    unit = units.get(UNITS[case.asked.measure], "cosine")
    rows = Rows("path", network=case.name, seed=case.asked.study.seed)
    for layer in followed(case.asked):
        for alpha, some in zip(ALPHAS, values[layer.name], strict=True):
            several = torch.tensor(some, dtype=torch.float64)
            span = mean_interval(several) if alpha and len(some) > 1 else (None, None)
            rows.add(Metric.COHERENCE, unit, float(several.mean()), len(some), len(some), span,
                     layer=layer.name, size=alpha)  # fmt: skip
    return rows.made


def _way(units: int, generator: torch.Generator) -> tuple[Basis, ...]:
    return directions.rotation_powers(directions.haar(units, generator).matrix, ALPHAS)


def _remember(path: Path, key: str, content: dict[str, Any]) -> None:
    write_whole(path, json.dumps({"key": key, **content}, ensure_ascii=False))


def _recall(path: Path, key: str) -> dict[str, Any] | None:
    with suppress(InputError):  # a damaged one is made again
        content = read_json(path, "it is made again")
        if isinstance(content, dict) and content.get("key") == key:
            return content
    return None
