"""The claim of §3 tested, and coherence followed from the natural basis to rotated ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.estimates import Rows
from intriguing.measures import mean_interval
from intriguing.results.measured import Measurement, Metric, Unit
from intriguing.results.rows import ClaimRow
from intriguing.runs.expecting import of_images
from intriguing.runs.ranked import responds
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage, Trained
from intriguing.runs.study import Asked
from intriguing.scale.shards import Columns
from intriguing.units import directions
from intriguing.units.activations import Layer
from intriguing.units.claim import LEVEL, UNITS, Comparison
from intriguing.units.directions import Basis
from intriguing.units.inference import MeasuredLayer
from intriguing.units.measured import Tables, scorer
from intriguing.units.topk import top_images

ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
WIDEST = 1024
"""Units of a layer whose path is followed: finding a rotation's planes takes their cube."""


@dataclass(frozen=True)
class Claim(Stage):
    """Do single units stand out from random directions?

    Attributes:
        network: Whose name the rows bear.
        networks: Of one shape, trained from several seeds.
        images: Held-out images.
        asked: By `prepare`.
        features: Vectors of the images, for the measure of that name.
    """

    name: ClassVar[str] = "claim"
    network: Network | Trained
    networks: tuple[Network | Trained, ...]
    images: ImageSet
    asked: Asked
    features: Tensor | None = None

    def compute(self, run: Run) -> Made:
        """The verdict on every layer."""
        asked, study = self.asked, self.asked.study
        models = [run.model(one) for one in self.networks]
        comparison = Comparison.of(
            models, asked.names, self.images, measure=asked.measure,
            features=self.features, k=study.k, delta=study.delta, rotations=study.rotations,
            untrained=study.untrained, seed=study.seed,
        )  # fmt: skip
        parts = run.in_parts(
            self, partial(_measured, comparison.tables), len(comparison.tables.parts),
            called="testing the claim", summed=True,
            each=lambda: of_images(
                lambda rows: comparison.tables.on(rows).measured(0), self.images, study.k
            ),
        )  # fmt: skip
        claim = comparison.judged(_layers_of(columns, asked.names) for columns in parts)
        rows = tuple(
            ClaimRow(
                network=self.about, layer=layer.layer, measure=claim.measure, k=claim.k,
                images=claim.images, networks=claim.networks, rotations=claim.rotations,
                untrained_networks=claim.untrained,
                units=layer.units, delta=claim.delta, level=claim.level, silent=layer.silent,
                natural=layer.natural, random=layer.random, difference=layer.difference,
                low=layer.interval[0], high=layer.interval[1], untrained=layer.untrained,
                p=layer.p_holm, p_equivalent=layer.p_equivalent_holm, verdict=layer.verdict,
                sentence=claim.sentence(layer),
            )
            for layer in claim.layers
        )  # fmt: skip
        return Made(rows, notes=self._notes())

    @property
    def title(self) -> str:
        return "test the claim"

    def _notes(self) -> tuple[str, ...]:
        """What a reader of the verdicts should know."""
        study, said = self.asked.study, []
        if self.asked.measure == "pixels":
            said.append(
                "The labels of these images cannot tell coherent rows from others, so the claim is "
                "tested by the mean cosine of pairs of images in pixels, which sees colour and "
                "layout and no meaning."
            )
        if study.rotations is not None:
            least = 2 * len(self.asked.layers) / (study.rotations + 1) ** len(self.networks)
            if least > LEVEL:
                said.append(
                    f"{study.rotations} rotations are too few to find any difference: the smallest "
                    f"p-value that they allow is {min(least, 1):.2g}. Leave --rotations out for "
                    "enough."
                )
        if len(self.networks) == 1:
            said.append(
                "The test knows one trained network: its interval says nothing of other seeds."
            )
        return tuple(said)


def _measured(tables: Tables, items: slice, report: Callable[[int], None]) -> Columns:
    """A piece of the test as tensors, of layers by their places."""
    (part,) = range(items.start, items.stop)
    columns = {}
    for place, layer in enumerate(tables.measured(part).values()):
        columns[f"natural/{place}"] = layer.natural
        columns[f"random/{place}"] = layer.random
    return columns


def _layers_of(columns: Columns, names: Sequence[str]) -> dict[str, MeasuredLayer]:
    return {
        name: MeasuredLayer(columns[f"natural/{place}"], columns[f"random/{place}"])
        for place, name in enumerate(names)
    }


@dataclass(frozen=True)
class Path(Stage):
    """How coherence goes from the natural basis to rotated ones: of Q^α, for α from 0 to 1."""

    name: ClassVar[str] = "path"
    network: Network | Trained
    networks: tuple[Network | Trained, ...]
    images: ImageSet
    asked: Asked
    features: Tensor | None = None

    def compute(self, run: Run) -> Made:
        """Mean coherence, with Student's interval over the rotations Q."""
        asked, models = self.asked, [run.model(one) for one in self.networks]
        layers, count = followed(asked), asked.study.paths
        work = partial(_followed, asked, models, self.images, self.features)

        def on(rows: Tensor) -> Columns:
            features = None if self.features is None else self.features[rows]
            some = self.images.subset(rows)
            return _followed(asked, models, some, features, slice(0, 1), lambda done: None)

        parts = run.in_parts(
            self, work, len(models) * count, called="following Q^α",
            each=lambda: of_images(on, self.images, asked.study.k),
        ).column("coherent")  # fmt: skip
        # By layer, then α: of each Q the mean over the networks.
        means = parts.view(len(models), count, len(layers), len(ALPHAS)).mean(0).permute(1, 2, 0)
        values = {layer.name: some.tolist() for layer, some in zip(layers, means, strict=True)}
        wide = [layer.name for layer in asked.layers if layer not in layers]
        note = (
            f"The path from the natural basis to rotated ones is not followed in {', '.join(wide)},"
            f" of more than {WIDEST:,} units."
        )
        return Made(tuple(self._rows(values)), notes=(note,) if wide else ())

    @property
    def title(self) -> str:
        return "follow Q^α"

    def _rows(self, values: Mapping[str, Sequence[Sequence[float]]]) -> list[Measurement]:
        """For every layer and α; the natural basis, the same for every Q, has no interval."""
        units: dict[str, Unit] = {"share": "share", "bits": "bits"}
        unit = units.get(UNITS[self.asked.measure], "cosine")
        rows = Rows(self.name, network=self.about, seed=self.asked.study.seed)
        for layer in followed(self.asked):
            for alpha, some in zip(ALPHAS, values[layer.name], strict=True):
                several = torch.tensor(some, dtype=torch.float64)
                span = mean_interval(several) if alpha and len(some) > 1 else (None, None)
                rows.add(Metric.COHERENCE, unit, float(several.mean()), len(some), len(some), span,
                         layer=layer.name, size=alpha)  # fmt: skip
        return rows.made


def _followed(
    asked: Asked, models: Sequence[nn.Module], images: ImageSet, features: Tensor | None,
    items: slice, report: Callable[[int], None],
) -> Columns:  # fmt: skip
    """Mean coherence of every layer and α, for some rotations Q of some of the networks."""
    score = scorer(asked.measure, images, features)
    layers, means = followed(asked), []
    names = [layer.name for layer in layers]
    for item in range(items.start, items.stop):
        network, q = divmod(item, asked.study.paths)
        generator = torch.Generator().manual_seed(1000 * (network + 1) + q + asked.study.seed)
        ways = {layer.name: _way(layer.units, generator) for layer in layers}
        found = top_images(
            models[network], names, images, ways, k=asked.study.k, sign="positive", bins=0
        )
        for name in names:
            for basis in ways[name]:
                top = found[name, basis.name]
                coherent = score(top.indices).double().masked_fill(~responds(top), torch.nan)
                means.append(coherent.nanmean())
    return {"coherent": torch.stack(means).view(-1, len(layers), len(ALPHAS))}


def followed(asked: Asked) -> list[Layer]:
    """The layers whose path Q^α is followed."""
    return [layer for layer in asked.layers if layer.units <= WIDEST]


def _way(units: int, generator: torch.Generator) -> tuple[Basis, ...]:
    return directions.rotation_powers(directions.haar(units, generator).matrix, ALPHAS)
