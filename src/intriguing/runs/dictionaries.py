"""Dictionaries learned on a network's layers, beside its units and beside their own control."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.estimates import Rows, spread
from intriguing.measures import mean_interval
from intriguing.results.measured import Measurement, Metric, Unit
from intriguing.runs.expecting import shown
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage, Trained
from intriguing.runs.study import Asked
from intriguing.scale.shards import Columns
from intriguing.units.claim import DELTAS, UNITS
from intriguing.units.dictionaries import DictionaryStudy, Lead, LearnedLayer, OneLearned

_BESIDE = {
    "sae-frozen": "than its control with a frozen decoder", "natural": "than units",
    "random": "than random directions",
}  # fmt: skip


_BASES, _LEARNED = ("natural", "random", "sae", "sae-frozen"), ("sae", "sae-frozen")


_PASSES = 2
"""Of all images, for a dictionary: what is learned from, and what is ranked, and a margin."""


def _learned(compared: DictionaryStudy, items: slice, report: Callable[[int], None]) -> Columns:
    """One dictionary and its control, as numbers."""
    (index,) = range(items.start, items.stop)
    made = compared.learn(index)
    report(1)
    return {
        "coherence": _doubles(made.coherence[name] for name in _BASES),
        "units": _doubles(made.units),
        "explained": _doubles(made.explained[name] for name in _LEARNED),
        "dead": torch.tensor([[made.dead[name] for name in _LEARNED]]),
        "features": torch.tensor([made.features]),
    }


def _doubles(values: Iterable[float]) -> Tensor:
    return torch.tensor([[*values]], dtype=torch.float64)


def _read(columns: Columns) -> OneLearned:
    """What these numbers say."""
    (coherence,), (units,), (explained,), (dead,), (features,) = (
        columns[name].tolist() for name in ("coherence", "units", "explained", "dead", "features")
    )
    return OneLearned(
        dict(zip(_BASES, coherence, strict=True)), tuple(units),
        dict(zip(_LEARNED, explained, strict=True)),
        dict(zip(_LEARNED, dead, strict=True)), features,
    )  # fmt: skip


@dataclass(frozen=True)
class Dictionaries(Stage):
    """Does a sparse autoencoder find directions that are more coherent than others?

    Attributes:
        network: Whose name the rows bear.
        networks: Of one shape, trained from several seeds.
        images: Half to learn from, half to rank.
        asked: By `prepare`.
        features: Vectors of the images, for the measure of that name.
    """

    name: ClassVar[str] = "dictionaries"
    network: Network | Trained
    networks: tuple[Network | Trained, ...]
    images: ImageSet
    asked: Asked
    features: Tensor | None = None

    def compute(self, run: Run) -> Made:
        """Coherence by basis, what dictionaries explain, and their leads."""
        asked, study = self.asked, self.asked.study
        delta = DELTAS[asked.measure] if study.delta is None else study.delta
        compared = DictionaryStudy(
            tuple(run.model(one) for one in self.networks), tuple(asked.names), self.images,
            asked.measure, delta, self.features, study.k, study.dictionary, study.dictionaries,
            seed=study.seed,
        )  # fmt: skip
        parts = run.in_parts(
            self, partial(_learned, compared), len(compared), called="learning dictionaries",
            alike=False,
            each=lambda: compared.seconds()
            + _PASSES * len(self.images) * shown([compared.models[0]], self.images),
        )  # fmt: skip
        found = compared.joined([_read(columns) for columns in parts])
        rows = [row for layer in found for row in self._rows(layer)]
        leads = [row for layer in found for row in self._leads(layer)]
        one = "dictionaries of this one network, beside its units over both"
        whose = "networks" if len(self.networks) > 1 else one
        said = (
            f"Dictionaries were learned from half of the images, {study.dictionaries} a network, "
            f"and rows are of the other half. Intervals are over {whose}, and hold for all layers "
            f"together; a lead of less than {delta:g} counts as no better.",
            *(self._sentence(layer, lead) for layer in found for lead in layer.leads),
        )
        return Made((*rows, *leads), remarks={self.name: said})

    @property
    def title(self) -> str:
        return "learn dictionaries"

    @property
    def _unit(self) -> Unit:
        units: dict[str, Unit] = {"share": "share", "bits": "bits"}
        return units.get(UNITS[self.asked.measure], "cosine")

    def _rows(self, layer: LearnedLayer) -> list[Measurement]:
        """Means over dictionaries, with Student's interval where they differ."""
        rows = Rows(self.name, network=self.about, layer=layer.layer, seed=self.asked.study.seed)

        def add(metric: Metric, unit: Unit, values: Sequence[float], method: str) -> None:
            mean = float(torch.tensor(values, dtype=torch.float64).mean())
            span = spread(mean_interval(values)) if len(set(values)) > 1 else (None, None)
            rows.add(metric, unit, mean, len(values), len(values), span, method=method)

        for method in layer.learned[0].coherence:
            add(Metric.COHERENCE, self._unit, [x.coherence[method] for x in layer.learned], method)
            if method in layer.learned[0].explained:
                add(Metric.EXPLAINED, "%", [100 * x.explained[method] for x in layer.learned],
                    method)  # fmt: skip
                dead = [100 * x.dead[method] / layer.features for x in layer.learned]
                add(Metric.DEAD, "%", dead, method)
        return rows.made

    def _leads(self, layer: LearnedLayer) -> list[Measurement]:
        rows = Rows("dictionary-leads", network=self.about, layer=layer.layer, method="sae",
                    seed=self.asked.study.seed)  # fmt: skip
        for lead in layer.leads:
            rows.add(
                Metric.COHERENCE_DIFFERENCE, self._unit, lead.difference, len(layer.learned),
                len(layer.learned), (lead.low, lead.high), reference=lead.reference,
            )  # fmt: skip
        return rows.made

    def _sentence(self, layer: LearnedLayer, lead: Lead) -> str:
        beside = _BESIDE[lead.reference]
        words = {
            "better": f"more coherent {beside}", "no better": f"no more coherent {beside}",
            "not decided": f"not decided whether more coherent {beside}",
        }[lead.verdict]  # fmt: skip
        return (
            f"{layer.layer}, {layer.features:,} features: {words}: {self.asked.measure} "
            f"{lead.difference:+.3f} [{lead.low:+.3f}, {lead.high:+.3f}]."
        )
