"""What the units of a network respond to, as a results folder keeps it: §3 on any network.

One pass ranks the images for every direction of every layer and basis; then each row's coherence,
the test of the claim, and the path from the natural basis to rotated ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.measures import ProgressCallback
from intriguing.results.parquet import write_columns
from intriguing.results.rows import CoherenceRow, TopRow
from intriguing.runs import ranked
from intriguing.runs.dictionaries import Dictionaries
from intriguing.runs.distinction import Claim, Path, followed
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage, Trained
from intriguing.runs.study import LEARNED, Asked, Study, choose_bases
from intriguing.units.activations import activations
from intriguing.units.coherence import coherence
from intriguing.units.topk import top_images


def stages_of(
    networks: Sequence[Network | Trained],
    images: ImageSet,
    asked: Asked,
    other: Mapping[str, Tensor] | None = None,
) -> list[Stage]:
    """The stages that study a network's units.

    Args:
        networks: The network, and others of its shape trained from other seeds, for the test.
        images: Held-out images.
        asked: By `prepare`.
        other: Vectors of the images in another network's space, by its name.
    """
    first, study = networks[0], asked.study
    # Of which the ranking knows nothing:
    rest = replace(study, claim=True, dictionaries=Study.dictionaries)
    shown = replace(asked, study=rest)
    stages: list[Stage] = [Ranking(first, images, shown, other)]
    if study.claim:
        features = next(iter(other.values())) if other and asked.measure == "features" else None
        both = first, tuple(networks), images, asked, features
        stages.append(Claim(*both))
        if study.paths and followed(asked):
            stages.append(Path(*both))
        if set(LEARNED) & set(study.bases):
            stages.append(Dictionaries(*both))
    return stages


@dataclass(frozen=True)
class Ranking(Stage):
    """Which images excite every direction most, and what they have in common.

    Attributes:
        network, images: Of which.
        asked: By `prepare`.
        other: Vectors of the images in another network's space, by its name.
    """

    name: ClassVar[str] = "units"
    network: Network | Trained
    images: ImageSet
    asked: Asked
    other: Mapping[str, Tensor] | None = None

    def compute(self, run: Run) -> Made:
        """Rows of tops and of coherence, pictures, and what is next to each direction."""
        asked, images, study = self.asked, self.images, self.asked.study
        name, model = self.about, run.model(self.network)
        bases = {layer.name: choose_bases(study, model, layer, images) for layer in asked.layers}
        found = top_images(
            model, asked.names, images, {n: [b for b, _ in some] for n, some in bases.items()},
            k=study.k, sign="both", seed=study.seed,
            progress=ranked.renamed(run.progress, "ranking the images"),
        )  # fmt: skip
        shown = ranked.shown(list(found.values()))
        ranked.write_pictures(run.folder, images, shown)
        own = _own_spaces(model, asked.names, images, run.progress)
        # Labels that no two images share say nothing of any row.
        alone = int(images.labels.bincount().max()) == 1
        constant = ("purity", "entropy") if alone else ()
        tops, rows = [], []
        for layer, field in zip(asked.layers, asked.fields, strict=True):
            for basis, numbers in bases[layer.name]:
                top = found[layer.name, basis.name]
                tops += ranked.top_columns(name, top, numbers, field, images)
                measured = coherence(
                    top, images, own=own[layer.name], features=self.other, seed=study.seed
                )
                rows += [
                    ranked.coherence_columns(name, top, numbers, value, ranked.responds(top))
                    for value in measured.values()
                    if value.name not in constant
                ]
        write_columns(run.folder, TopRow, tops)
        write_columns(run.folder, CoherenceRow, rows)
        strongest = ranked.strongest(model, found, images, shown, run.progress)
        for layer, field in zip(asked.layers, asked.fields, strict=True):
            ranked.write_directions(run.folder, layer, field, bases[layer.name], found, strongest)
        return Made(notes=self._notes(), passes=(2 * len(images) + len(shown), 0))

    @property
    def title(self) -> str:
        return "rank the images"

    def _notes(self) -> tuple[str, ...]:
        """What a reader of the pictures should know."""
        said = [
            f"Every row shows the {self.asked.study.k} of {len(self.images):,} images that excite "
            "a direction most. The directions in a picture were not chosen for what they show: "
            "they are evenly spaced among those that respond.",
        ]
        if any(len(layer.shape) == 3 for layer in self.asked.layers):
            said.append(
                "In a convolutional layer a unit is a channel; its activation for an image is the "
                "largest over positions, and crops are the pixels that this position sees."
            )
        if set(LEARNED) & set(self.asked.study.bases):
            said.append(
                "A direction of sae is what a feature of a sparse autoencoder reads, which was "
                "learned from a random half of these images; sae-frozen is the same with a decoder "
                "that was left as drawn. Features that are never active on the other half are left "
                "out."
            )
        return tuple(said)


def _own_spaces(
    model: nn.Module, names: Sequence[str], images: ImageSet, progress: ProgressCallback | None
) -> dict[str, Tensor]:
    """The images in every layer's own space, averaged over positions, from one pass."""
    told = ranked.renamed(progress, "reading the layers")
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    for phi in activations(model, names, images, progress=told):
        for name, one in phi.items():
            parts[name].append(one.unsqueeze(2).flatten(2).mean(2).cpu())
    return {name: torch.cat(some) for name, some in parts.items()}
