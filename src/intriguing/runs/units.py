"""What the units of a network respond to, as a results folder keeps it: §3 on any network.

One pass ranks the images for every direction of every layer and basis; then each row's coherence,
the test of the claim, and the path from the natural basis to rotated ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.results.parquet import write_columns
from intriguing.results.rows import CoherenceRow, TopRow
from intriguing.runs import ranked
from intriguing.runs.dictionaries import Dictionaries
from intriguing.runs.distinction import Claim, Path, followed
from intriguing.runs.expecting import tried
from intriguing.runs.ranking import Ranked, Strongest, part_size
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage, Trained
from intriguing.runs.study import LEARNED, Asked, Study, choose_bases
from intriguing.units.coherence import coherence


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
        ranked_by = Ranked.of(
            model, images, asked.names, {n: [b for b, _ in some] for n, some in bases.items()},
            study.k,
        )  # fmt: skip
        parts = run.in_parts(
            self, ranked_by.part, len(images), part_size(len(images)), summed=True,
            called="ranking the images", within="ranked",
            each=lambda: tried(ranked_by.part, len(images)),
        )  # fmt: skip
        found, own = ranked_by.joined(parts)
        parts.delete()
        shown = ranked.shown(list(found.values()))
        ranked.write_pictures(run.folder, images, shown)
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
        chosen = Strongest(model, images.images[shown], found)
        parts = run.in_parts(
            self, chosen.part, len(shown), part_size(len(shown)),
            called="from images to directions", within="strongest",
            each=lambda: tried(chosen.part, len(shown)),
        )  # fmt: skip
        strongest = {
            key: (parts.column(f"{place}/direction"), parts.column(f"{place}/strength"))
            for place, key in enumerate(found)
        }
        parts.delete()
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
