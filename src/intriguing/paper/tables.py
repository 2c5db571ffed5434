"""Tables 1 to 4: errors, distortions, and how far examples of one network fool the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.noise import gaussian_noise
from intriguing.estimates import Rows
from intriguing.measures import distortion
from intriguing.paper.networks import draw
from intriguing.results.measured import Condition, Measurement, Metric, where
from intriguing.runs.examples import Examples
from intriguing.runs.net_transfer import Beside, Shown, net_rows
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Stage
from intriguing.runs.training import Training
from intriguing.scale.attack import Attacked
from intriguing.transfer.amplify import amplify
from intriguing.transfer.matrix import count_errors, misread

if TYPE_CHECKING:
    from intriguing.paper.materials import Materials

Networks: TypeAlias = Mapping[str, nn.Module]
Attacks: TypeAlias = Mapping[str, Attacked]
"""For each network, by its name in the paper, the images distorted for it."""
Changed: TypeAlias = Iterable[tuple[Tensor, Tensor, Tensor]]
"""Originals x, changed images x′ and true labels, piece by piece."""
Change: TypeAlias = tuple[Condition, float]

# Sizes as standard deviations of a pixel, in the order of the paper's rows.
TABLE2: tuple[Change, ...] = ((Condition.NOISE, 0.1), (Condition.NOISE, 0.3))
# Likewise.
TABLE4: tuple[Change, ...] = (
    (Condition.NOISE, 0.06), (Condition.AMPLIFIED, 0.1), (Condition.NOISE, 0.1),
)  # fmt: skip


@dataclass(frozen=True)
class Summary(Stage):
    """Tables 1 and 3: errors on images as they are, and how little they have to be changed.

    Attributes:
        table: The analysis.
        attacks: On every network.
        sets: What errors are of: "train", "test", "P1", "P2".
        attacked: Which set was attacked.
        seed: Of the networks.
    """

    name: ClassVar[str] = "summary"
    question: ClassVar[str] = "How small a change fools a network that classifies well?"
    table: str
    attacks: tuple[Examples, ...]
    sets: Mapping[str, ImageSet]
    attacked: str
    seed: int

    def compute(self, run: Run) -> Made:
        """The table of one seed."""
        networks, attacks = _done(run, self.attacks)
        rows = summary(self.table, networks, self.sets, attacks, self.attacked, self.seed)
        return _made(rows)

    @property
    def identity(self) -> tuple[str, ...]:
        return self.table, f"seed {self.seed}"


@dataclass(frozen=True)
class Across(Stage):
    """Tables 2 and 4: every network shown the examples made for each, and what else is changed.

    Attributes:
        table: The analysis.
        attacks: On every network.
        images: Those attacked, which noise is added to.
        attacked: Which set they are of.
        changes: What is shown besides the examples, and of which size, in this order.
        seed: Of the networks; draws noise.
    """

    name: ClassVar[str] = "across"
    question: ClassVar[str] = "Do examples made for one network fool others?"
    table: str
    attacks: tuple[Examples, ...]
    images: ImageSet
    attacked: str
    changes: tuple[Change, ...]
    seed: int

    def compute(self, run: Run) -> Made:
        """The table of one seed."""
        networks, attacks = _done(run, self.attacks)
        generator = torch.Generator().manual_seed(draw("noise", self.table, self.seed))
        about = Rows(self.table, images=self.attacked, seed=self.seed)
        return _made(across(about, networks, self.images, attacks, self.changes, generator))

    @property
    def identity(self) -> tuple[str, ...]:
        return self.table, f"seed {self.seed}"


def make_table1(given: "Materials") -> list[Stage]:
    """Of the networks that are trained on the whole training set, one a seed."""
    return [
        Summary("table1", given.whole(seed), {"train": one.train, "test": one.test}, "train", seed)
        for seed, one in enumerate(given.sets)
    ]


def make_table2(given: "Materials") -> list[Stage]:
    """Of the same networks."""
    return [
        Across("table2", given.whole(seed), one.attacked["train"], "train", TABLE2, seed)
        for seed, one in enumerate(given.sets)
    ]


def make_table3(given: "Materials") -> list[Stage]:
    """Of the networks that are trained on disjoint halves, one a seed."""
    return [
        Summary(
            "table3", given.halves(seed), {"P1": one.p1, "P2": one.p2, "test": one.test}, "test",
            seed,
        )
        for seed, one in enumerate(given.sets)
    ]  # fmt: skip


def make_table4(given: "Materials") -> list[Stage]:
    """Of the same networks."""
    return [
        Across("table4", given.halves(seed), one.attacked["test"], "test", TABLE4, seed)
        for seed, one in enumerate(given.sets)
    ]


def _done(run: Run, attacks: Sequence[Examples]) -> tuple[Networks, Attacks]:
    """Networks and their examples by the paper's names."""
    networks, examples = {}, {}
    for one in attacks:
        assert isinstance(one.network, Training)
        name = one.network.recipe.name
        networks[name], examples[name] = run.model(one.network), run.loaded(one)
    return networks, examples


def _made(rows: Sequence[Measurement]) -> Made:
    table = rows[0].analysis  # of which others may be made, as its net rows are
    shown = sum(row.total for row in where(rows, analysis=table, metric=Metric.ERROR))
    return Made(tuple(rows), passes=(shown, 0))


def summary(
    table: str,
    networks: Networks,
    sets: Mapping[str, ImageSet],
    attacks: Attacks,
    attacked: str,
    seed: int,
) -> list[Measurement]:
    """Errors, and the average minimum distortion of the images for which an example was found."""
    rows = Rows(table, seed=seed)
    for which, images in sets.items():
        for name, error in count_errors(networks, [(images.images, images.labels)]).items():
            rows.share(Metric.ERROR, error.count, error.total, network=name, images=which,
                       condition=Condition.CLEAN)  # fmt: skip
    for name, one in attacks.items():
        found = one.distortion[one.success]
        rows.mean(Metric.MEAN_DISTORTION, "distortion", found, len(one), network=name,
                  images=attacked)  # fmt: skip
    return rows.made


def across(
    rows: Rows,
    networks: Networks,
    images: ImageSet,
    attacks: Attacks,
    changes: Sequence[Change],
    generator: torch.Generator,
) -> list[Measurement]:
    """Error of every network on the images distorted for each, then under each of `changes`.

    Only images for which an adversarial one was found are shown.  Neither noise nor amplified
    images are clipped to the box, so that their distortion is as stated. Then come the rows of what
    there is without any change (`net_rows`).
    """
    places = {name: one.success.nonzero()[:, 0] for name, one in attacks.items()}
    places[""] = torch.arange(len(images))
    plain = ((batch.images, batch.labels) for batch in images.batches(10_000))
    clean = misread(networks, plain)
    pairs: dict[Shown, list[Beside]] = {}

    def show(changed: Changed, total: int, shown: Shown) -> None:
        some = places[shown.made_for]
        for name, wrong in _shown(rows, networks, changed, total, shown).items():
            pair = Beside(name, some, wrong, clean[name][some])
            pairs.setdefault(shown, []).append(pair)

    for name, one in attacks.items():
        show(one.found(), len(one), Shown(Condition.ADVERSARIAL, name))
    for condition, size in changes:
        if condition is Condition.NOISE:
            noisy = (
                (batch.images, gaussian_noise(batch.images, size, generator), batch.labels)
                for batch in images.batches(10_000)
            )
            show(noisy, len(images), Shown(condition, size=size))
            continue
        for name, one in attacks.items():
            longer = ((x, amplify(x, far, size), labels) for x, far, labels in one.found())
            show(longer, len(one), Shown(condition, name, size))
    return [*rows.made, *net_rows(rows, pairs, len(images))]


def _shown(
    rows: Rows, networks: Networks, changed: Changed, total: int, shown: Shown
) -> dict[str, Tensor]:
    """Every network's error on changed images and their mean change; which it misreads."""
    sizes = [torch.empty(0)]

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        for x, x_changed, labels in changed:
            sizes.append(distortion(x, x_changed))
            yield x_changed, labels

    misreads = misread(networks, batches())
    judged = {name: wrong for name, wrong in misreads.items() if len(wrong)}
    for name, wrong in judged.items():
        rows.share(Metric.ERROR, int(wrong.sum()), len(wrong), network=name, **vars(shown))
    rows.mean(Metric.MEAN_DISTORTION, "distortion", torch.cat(sizes), total, **vars(shown))
    return judged
