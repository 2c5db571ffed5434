"""Whether examples made for one network fool the others, beside amplified ones and equal noise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.noise import gaussian_noise
from intriguing.estimates import Rows
from intriguing.results.measured import Condition, Measurement, Metric, where
from intriguing.runs.examples import Examples
from intriguing.runs.net_transfer import Beside, Shown, net_rows
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.scale.attack import Attacked
from intriguing.transfer import amplify, misread
from intriguing.transfer.matrix import Batches

NOTES = (
    "Amplified examples are x + s·√n·(x′ − x)/‖x′ − x‖₂, of distortion s exactly. The paper prints "
    "the formula without √n, but its text and its Table 4 say that 0.1 is the standard deviation.",
    "Noise and amplified examples are not clipped to [0, 1], so that their size is exact.",
)


@dataclass(frozen=True)
class Transfer(Stage):
    """Examples of each network shown to all: as they are, made equally long, and beside noise.

    Attributes:
        networks: That are shown them.
        attacks: Of those for whom the examples are, on the same images.
        images: What the noise is added to.
        sizes: Distortions to which examples are amplified.
        seed: Draws the noise.
        most: Examples of each that are shown; None for all.
    """

    name: ClassVar[str] = "transfer"
    networks: tuple[Network, ...]
    attacks: tuple[Examples, ...]
    images: ImageSet
    sizes: tuple[float, ...]
    seed: int
    most: int | None = None

    def compute(self, run: Run) -> Made:
        """The table."""
        networks = {one.name: one.model for one in self.networks}
        outcomes: dict[str, Attacked] = {one.network.name: run.loaded(one) for one in self.attacks}
        if self.most is not None:
            outcomes = {name: one.first(self.most) for name, one in outcomes.items()}
        rows = transfer_rows(networks, outcomes, self.images, self.sizes, self.seed)
        shown = sum(row.total for row in where(rows, analysis=self.name, metric=Metric.ERROR))
        return Made(tuple(rows), passes=(shown + len(networks) * len(self.images), 0))


def transfer_rows(
    networks: Mapping[str, nn.Module],
    outcomes: Mapping[str, Attacked],
    images: ImageSet,
    stddevs: Sequence[float],
    seed: int,
) -> list[Measurement]:
    """Errors of every network on every set of distorted images, and how far the nearest ones are.

    The first noise is as large as the examples are on average, which its `reference` says. The rows
    of "transfer-net" say how much of an error is there without any change (`net_rows`).
    """
    rows = Rows("transfer", seed=seed)
    sets: dict[Shown, Batches] = {}
    kept: dict[str, Tensor] = {"": torch.ones(len(images), dtype=torch.bool)}
    for name, outcome in outcomes.items():
        rows.mean(
            Metric.MEAN_DISTORTION, "distortion", outcome.sizes, len(outcome), made_for=name,
            condition=Condition.ADVERSARIAL,
        )  # fmt: skip
        kept[name] = outcome.columns["success"]
        sets[Shown(Condition.ADVERSARIAL, name)] = _changed(outcome, None)
    mean = sum(row.value for row in rows.made) / len(rows.made) if rows.made else None
    if mean is not None:
        _add_noise(sets, images, mean, seed)
    for stddev in stddevs:
        for name, outcome in outcomes.items():
            sets[Shown(Condition.AMPLIFIED, name, stddev)] = _changed(outcome, stddev)
        _add_noise(sets, images, stddev, seed)
    clean = misread(networks, [(images.images, images.labels)])
    pairs: dict[Shown, list[Beside]] = {}
    for shown, batches in sets.items():
        places = kept[shown.made_for].nonzero()[:, 0]
        as_long = shown.condition is Condition.NOISE and shown.size == mean
        for network, wrong in misread(networks, batches).items():
            if len(wrong):
                rows.share(
                    Metric.ERROR, int(wrong.sum()), len(wrong), network=network,
                    reference=Condition.ADVERSARIAL if as_long else "", **vars(shown),
                )  # fmt: skip
                pair = Beside(network, places, wrong, clean[network][places])
                pairs.setdefault(shown, []).append(pair)
    return [*rows.made, *net_rows(rows, pairs, len(images))]


def _changed(outcome: Attacked, stddev: float | None) -> Iterator[tuple[Tensor, Tensor]]:
    for original, adversarial, labels in outcome.found():
        changed = adversarial.to(original.dtype)
        yield (changed if stddev is None else amplify(original, changed, stddev)), labels


def _add_noise(sets: dict[Shown, Batches], images: ImageSet, stddev: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    noisy = gaussian_noise(images.images, stddev, generator)
    sets[Shown(Condition.NOISE, size=stddev)] = [(noisy, images.labels)]
