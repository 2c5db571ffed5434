"""The study: every regime trained for every seed, judged, and laid out; resumable at any moment."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.distortion.search import Search
from intriguing.measures import ProgressCallback
from intriguing.paper.hardening import timing
from intriguing.paper.hardening.claims import differences
from intriguing.paper.hardening.config import BUDGET, SCALES, HardeningConfig, Trial, trials
from intriguing.paper.hardening.judging import Certified, Judged, Masked
from intriguing.paper.hardening.measured import Erring, Measured, measurements, searched
from intriguing.paper.hardening.regimes import PLAIN, REGIMES
from intriguing.paper.networks import draw
from intriguing.results.measured import Measurement, Metric
from intriguing.runs.attacking import Plan
from intriguing.runs.examples import Examples
from intriguing.runs.request import Request, Work
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Stage
from intriguing.runs.training import Training

MAY_DIFFER = ("seeds", "data_root")
"""What may change between two runs in one folder."""
SHARD = 250
"""Images of an attack between two saves: a network's are lost in a minute at most."""


def make(config: HardeningConfig, progress: ProgressCallback | None = None) -> Work:
    """Train and judge every regime, or with `config.search` try settings on held-out images.

    Raises:
        InputError: If the data cannot be had.
    """
    train, judged_by = _images(config, progress)
    found = {trial: _training(trial, train, judged_by, config) for trial in trials(config)}
    trainings = tuple(found.values())
    asked = Request(
        "hardening", asdict(config), MAY_DIFFER, images=(train, judged_by),
        tables=("settings",) if config.search else ("hardening",),
        seeds=tuple(range(config.seeds)), notes=_notes(config), device=torch.device(config.device),
        required_bytes=50_000_000 + 4 * train.images.numel() + 3_000_000 * len(found),
    )  # fmt: skip
    if config.search:
        tried = [*trainings, Settings(tuple(found), trainings)]
        return Work(asked, tried, trainings, f"train {len(trainings)} networks")
    judged = {trial: _judged(one, judged_by, config) for trial, one in found.items()}
    stages = [*trainings, *_tables(judged, train, config)]
    called = f"train and attack {len(judged)} networks"
    return Work(asked, stages, tuple(judged.values()), called, steps=3)


@dataclass(frozen=True)
class Settings(Stage):
    """Errors of every setting on held-out images.

    Attributes:
        trials: What was tried.
        networks: Its trainings, in the same order.
    """

    name: ClassVar[str] = "settings"
    question: ClassVar[str] = "Which settings does each regime need?"
    trials: tuple[Trial, ...]
    networks: tuple[Training, ...]

    def compute(self, run: Run) -> Made:
        """A row a setting."""
        pairs = zip(self.trials, self.networks, strict=True)
        return Made(tuple(searched([Erring(trial, *_wrong(run, one)) for trial, one in pairs])))


@dataclass(frozen=True)
class Times(Stage):
    """What each regime's training takes beside plain training.

    Attributes:
        trials: One a regime.
        images: What they learn from.
        device: Where.
        rounds: Of measuring; the least counts.
    """

    name: ClassVar[str] = "times"
    question: ClassVar[str] = "What does hardening cost?"
    trials: tuple[Trial, ...]
    images: ImageSet
    device: str
    rounds: int

    def compute(self, run: Run) -> Made:
        """A row a regime, which is told by its slug."""
        regimes = [trial.regime for trial in self.trials]
        seconds = timing.training_seconds(
            regimes, self.images, self.device, rounds=self.rounds, progress=run.progress
        )
        return Made(
            tuple(
                Measurement(
                    self.name, Metric.TIME_RATIO, "ratio", one / seconds[PLAIN], method=slug
                )
                for slug, one in seconds.items()
            )
        )


@dataclass(frozen=True)
class Buys(Stage):
    """What each training buys, at what price; the penalty's curve; whether gradients hide anything.

    Attributes:
        trials: All.
        judged: Their networks, in the same order.
        masked: Of those that are compared.
        times: What each takes.
    """

    name: ClassVar[str] = "hardening"
    question: ClassVar[str] = "What does each way of training buy?"
    trials: tuple[Trial, ...]
    judged: tuple[Judged, ...]
    masked: tuple[Masked, ...]
    times: Times

    def compute(self, run: Run) -> Made:
        """All rows of the study but its claims."""
        tried = {one.network.key: run.keep(one).made.measured for one in self.masked}
        measured = []
        for trial, one in zip(self.trials, self.judged, strict=True):
            measured.append(
                Measured(
                    trial, *_wrong(run, one.network), run.loaded(one.attack).distortion,
                    run.loaded(one.certified), tried.get(one.network.key, ()),
                )
            )  # fmt: skip
        times = {row.method: row.value for row in run.keep(self.times).made.measured}
        rows = measurements(measured, times)
        return Made(tuple(rows))


@dataclass(frozen=True)
class Claims(Stage):
    """Each sentence of the paper on hardening as a difference of test errors.

    Attributes:
        trials: Of the regimes that are compared.
        networks: Their trainings, in the same order.
    """

    name: ClassVar[str] = "claims"
    question: ClassVar[str] = "Which sentences of the paper on hardening hold?"
    trials: tuple[Trial, ...]
    networks: tuple[Training, ...]

    def compute(self, run: Run) -> Made:
        """A row a sentence."""
        errors: dict[str, list[float]] = {}
        for trial, one in zip(self.trials, self.networks, strict=True):
            error = Erring(trial, *_wrong(run, one)).error
            errors.setdefault(trial.regime.name, []).append(error)
        return Made(tuple(differences(errors)))


def _images(
    config: HardeningConfig, progress: ProgressCallback | None = None
) -> tuple[ImageSet, ImageSet]:
    """What is trained on, and what judges."""
    scale = SCALES[config.scale]
    data = load_data(scale.data, config.data_root, progress)
    if not config.search:
        return data.train, data.test
    generator = torch.Generator().manual_seed(draw("held out", data.name))
    held_out, train = data.train.split(scale.held_out, generator)
    return train, held_out


def _training(trial: Trial, train: ImageSet, test: ImageSet, config: HardeningConfig) -> Training:
    regime = trial.regime
    return Training(
        regime.name, trial.seed, regime.recipe, train, trial.draw("training"), config.device,
        regime.hardened, {"test_error": test},
    )  # fmt: skip


def _judged(network: Training, test: ImageSet, config: HardeningConfig) -> Judged:
    some = test.first(SCALES[config.scale].attacked)
    search = Search("closest", budget=BUDGET)
    attack = Examples(network, Plan(some, "untargeted", some.classes), search, SHARD)
    return Judged(network, attack, Certified(network, test))


def _tables(
    judged: Mapping[Trial, Judged], train: ImageSet, config: HardeningConfig
) -> list[Stage]:
    """Attacks, whose images have rows, and what all comes to."""
    compared = {trial: one for trial, one in judged.items() if not trial.regime.curve}
    plain = {t.seed: one.attack for t, one in compared.items() if t.regime.slug == PLAIN}
    masked = tuple(
        Masked(one.network, one.attack, plain[trial.seed], trial.draw("noise"))
        for trial, one in compared.items()
    )
    once = tuple(trial for trial in compared if trial.seed == 0)
    times = Times(once, train, config.device, timing.ROUNDS)
    return [
        *(one.attack for one in compared.values()),
        Buys(tuple(judged), tuple(judged.values()), masked, times),
        Claims(tuple(compared), tuple(one.network for one in compared.values())),
    ]


def _wrong(run: Run, network: Training) -> tuple[int, int]:
    """How many of the images that judge it a network has wrong, and of how many."""
    (record,) = run.keep(network).made.models
    total = len(network.judged["test_error"])
    return round((record.test_error or 0.0) * total), total


def _notes(config: HardeningConfig) -> tuple[str, ...]:
    scale = SCALES[config.scale]
    said = [scale.remark] if scale.remark else []
    if config.search:
        return (
            *said,
            f"Settings are judged by {scale.held_out:,} training images that were held out of the "
            "training; the test images have no part in it.",
        )
    said += [
        f"{regime.name}: {regime.scaled(scale.epochs, scale.start).in_words}." for regime in REGIMES
    ]
    return (
        *said,
        "Weight decay is λ Σ w², undivided; biases do not decay. All regimes of a seed start from "
        "the same weights and see the images in the same order.",
        "A distortion is that of the nearest adversarial example of any wrong class that `closest` "
        f"finds in {BUDGET} passes; a misclassified image has 0. No pool was made by it.",
        "Time over plain compares whole trainings, pools included, by epochs measured in turn, the "
        f"least of {timing.ROUNDS} rounds, in one thread.",
    )
