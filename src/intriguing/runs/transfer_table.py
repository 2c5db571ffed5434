"""Whether examples made for one network fool the others, beside amplified ones and equal noise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.data.streamed import as_names, unreadable
from intriguing.distortion.noise import gaussian_noise
from intriguing.estimates import Rows
from intriguing.keys import derive_seed
from intriguing.results.measured import Condition, Measurement, Metric, where
from intriguing.runs import expecting
from intriguing.runs.attacking import usual_part
from intriguing.runs.examples import Examples
from intriguing.runs.net_transfer import Beside, Shown, net_rows
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.scale.attack import Attacked
from intriguing.scale.finished import Shards
from intriguing.scale.shards import Columns
from intriguing.transfer import amplify, misread

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
        images: That the examples are shown of, and that noise is added to.
        sizes: Distortions to which examples are amplified.
        seed: Draws the noise.
    """

    name: ClassVar[str] = "transfer"
    networks: tuple[Network, ...]
    attacks: tuple[Examples, ...]
    images: ImageSet
    sizes: tuple[float, ...]
    seed: int

    def compute(self, run: Run) -> Made:
        """The table.

        The first noise is as large as the examples are on average, which its `reference` says. The
        rows of "transfer-net" say how much of an error is there without any change (`net_rows`).
        """
        outcomes: dict[str, Attacked] = {one.network.name: run.loaded(one) for one in self.attacks}
        showing = _Showing(
            {one.name: one.model for one in self.networks}, outcomes, self.images, (), self.seed
        )
        rows = Rows("transfer", seed=self.seed)
        for name, outcome in outcomes.items():
            own = showing.rows[name]
            own = own[own >= 0]
            rows.mean(
                Metric.MEAN_DISTORTION, "distortion", outcome.distortion[own][outcome.success[own]],
                len(own), made_for=name, condition=Condition.ADVERSARIAL,
            )  # fmt: skip
        mean = sum(row.value for row in rows.made) / len(rows.made) if rows.made else None
        showing = replace(showing, sets=_sets(list(outcomes), mean, self.sizes))
        parts = run.in_parts(
            self, showing, len(self.images), usual_part(self.images), given_up=showing.nothing,
            each=lambda: (1 + len(showing.sets)) * expecting.shown(
                showing.networks.values(), self.images
            ),
        )  # fmt: skip
        made = _rows(rows, showing, parts, mean)
        shown = sum(row.total for row in where(made, analysis=self.name, metric=Metric.ERROR))
        lost = int((parts.column(_column(0, 0)) == _NOT_SHOWN).sum())
        return Made(
            tuple(made), notes=_left_out(lost),
            passes=(shown + len(self.networks) * (len(self.images) - lost), 0),
        )  # fmt: skip


_RIGHT, _WRONG, _NOT_SHOWN = range(3)
"""What becomes of an image that a network is shown."""


def _column(place: int, network: int) -> str:
    """Of one set shown to one network; the set at place 0 is the images as they are."""
    return f"{place}/{network}"


def _sets(made_for: Sequence[str], mean: float | None, sizes: Sequence[float]) -> list[Shown]:
    """All that networks are shown, in the order of the rows."""
    found = [Shown(Condition.ADVERSARIAL, name) for name in made_for]
    if mean is not None:
        found.append(Shown(Condition.NOISE, size=mean))
    for size in sizes:
        found += [Shown(Condition.AMPLIFIED, name, size) for name in made_for]
        found.append(Shown(Condition.NOISE, size=size))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class _Showing:
    """Shows some of the images, and all that is made of them, to every network.

    Attributes:
        networks, outcomes: By name.
        images: All of them; examples may be of fewer, under the same ids.
        sets: What is made of them.
        seed: Of noise.
    """

    networks: Mapping[str, nn.Module]
    outcomes: Mapping[str, Attacked]
    images: ImageSet
    sets: Sequence[Shown]
    seed: int

    @cached_property
    def rows(self) -> dict[str, Tensor]:
        """Of each image its row among the examples made for a network; -1 where it has none."""
        wanted, found = as_names(self.images.ids), {}
        for name, outcome in self.outcomes.items():
            if len(outcome) == len(self.images):
                found[name] = torch.arange(len(outcome))
                continue
            rows = pc.index_in(wanted, value_set=as_names(outcome.images.ids))
            found[name] = torch.from_numpy(pc.fill_null(rows, -1).to_numpy().astype(np.int64))
        return found

    def __call__(self, items: slice, report: Callable[[int], None]) -> Columns:
        """What each network makes of each set: right, wrong, or not shown."""
        pixels, labels = self.images.images[items], self.images.labels[items]
        columns, good = dict(self.nothing(items)), ~unreadable(pixels)
        for place, shown in enumerate([None, *self.sets]):
            kept, changed = good, pixels
            if shown is not None:
                kept, changed = self._changed(shown, items, pixels, good)
            seen = kept.nonzero()[:, 0]
            for number, wrong in enumerate(
                misread(self.networks, [(changed[seen], labels[seen])]).values()
            ):
                columns[_column(place, number)][seen] = wrong.to(torch.uint8)
            report(len(pixels) * (place + 1) // (len(self.sets) + 1))
        return columns

    def _changed(
        self, shown: Shown, items: slice, pixels: Tensor, good: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Which of the images are shown, and all of them as they are shown."""
        if shown.condition is Condition.NOISE:
            assert shown.size is not None
            # Drawn by parts, so that a part needs none of the others.
            seed = derive_seed("transfer", self.seed, items.start)
            generator = torch.Generator().manual_seed(seed)
            return good, gaussian_noise(pixels, shown.size, generator)
        outcome, rows = self.outcomes[shown.made_for], self.rows[shown.made_for][items]
        kept = good & (rows >= 0)
        kept &= outcome.success[rows.clamp_min(0)]
        here = kept.nonzero()[:, 0]
        examples = outcome.columns["adversarial"][rows[here]].to(pixels.dtype)
        if shown.size is not None:
            examples = amplify(pixels[here], examples, shown.size)
        return kept, pixels.index_copy(0, here, examples.to(pixels.device))

    def nothing(self, items: slice) -> dict[str, Tensor]:
        """Where networks fail on images: no set is shown."""
        none = torch.full((items.stop - items.start,), _NOT_SHOWN, dtype=torch.uint8)
        return {
            _column(place, network): none.clone()
            for place in range(len(self.sets) + 1) for network in range(len(self.networks))
        }  # fmt: skip


def _rows(rows: Rows, showing: _Showing, parts: Shards, mean: float | None) -> list[Measurement]:
    """Errors of every network on every set, what of them is there without, and the difference."""
    pairs: dict[Shown, list[Beside]] = {}
    for place, shown in enumerate(showing.sets, 1):
        as_long = shown.condition is Condition.NOISE and shown.size == mean
        for number, network in enumerate(showing.networks):
            became, plain = (parts.column(_column(one, number)) for one in (place, 0))
            places = (became != _NOT_SHOWN).nonzero()[:, 0]
            if len(places):
                wrong, clean = (one[places] == _WRONG for one in (became, plain))
                rows.share(
                    Metric.ERROR, int(wrong.sum()), len(wrong), network=network,
                    reference=Condition.ADVERSARIAL if as_long else "", **vars(shown),
                )  # fmt: skip
                pairs.setdefault(shown, []).append(Beside(network, places, wrong, clean))
    return [*rows.made, *net_rows(rows, pairs, len(showing.images))]


def _left_out(lost: int) -> tuple[str, ...]:
    if not lost:
        return ()
    return (
        f"{lost:,} images were shown to no network, because they cannot be read or a network fails "
        "on them.",
    )
