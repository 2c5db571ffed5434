"""What each regime costs beside plain training, measured side by side in one run."""

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

from intriguing.data.dataset import ImageSet
from intriguing.measures import Progress, ProgressCallback
from intriguing.paper.hardening.regimes import Regime
from intriguing.training.recipe import train_network

ROUNDS = 2
"""Of measuring; what else the machine does seldom befalls a regime in both."""


def training_seconds(
    regimes: Sequence[Regime],
    data: ImageSet,
    device: str,
    *,
    images: int | None = None,
    rounds: int = 1,
    progress: ProgressCallback | None = None,
) -> Mapping[str, float]:
    """About how long each regime's training takes, by its slug.

    Each is trained for three epochs, on the first so many `images` or on all: one without pools,
    one before which the whole pools are made, one before which a part of them is replaced. The
    shortest of several rounds of each is multiplied by how often the regime has it. Families take
    turns, so that whatever else the machine does befalls all alike.
    """
    some = data.first(min(images or len(data), len(data)))
    least: dict[str, list[float]] = {}
    for done in range(rounds):
        for turn, one in enumerate(regimes, 1):
            seconds = _epochs(one, some, device)
            before = least.get(one.slug, seconds)
            least[one.slug] = [min(pair) for pair in zip(before, seconds, strict=True)]
            if progress is not None:
                step = done * len(regimes) + turn
                total = rounds * len(regimes)
                progress(Progress("measure what each training costs", step, total))
    share = len(data) / len(some)
    return {one.slug: share * _whole(one, least[one.slug]) for one in regimes}


def _epochs(regime: Regime, data: ImageSet, device: str) -> list[float]:
    """Seconds of each of three epochs: clean, filling, replacing."""
    ends = [time.perf_counter()]

    def note(step: Progress) -> None:
        if step.done % (step.total // 3) == 0:
            ends.append(time.perf_counter())

    short = regime.scaled(3, 1)
    train_network(short.recipe, data, device=device, harden=short.hardened.extra(0), progress=note)
    return [later - earlier for earlier, later in pairwise(ends)]


def _whole(regime: Regime, seconds: Sequence[float]) -> float:
    """Of all its epochs, at the size of the sample."""
    epochs, start = regime.schedule.epochs, regime.pools.start
    if not regime.places:
        return epochs * min(seconds)
    clean, filling, replacing = seconds
    return start * clean + filling + (epochs - start - 1) * replacing
