"""What `intriguing train` makes of --pools and --penalty."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.hardening.config import PoolConfig
from intriguing.hardening.places import Place, find_place
from intriguing.hardening.train import SCHEDULE, hardening
from intriguing.models.family import Family
from intriguing.models.schedule import Schedule
from intriguing.training.minibatch import Extra
from intriguing.training.recipe import Hardening


@dataclass(frozen=True)
class Wanted:
    """A hardening that was asked for, checked as far as it can be without images.

    Attributes:
        places: Where pools are; none for none.
        config: How they are made and mixed.
        penalty: Weight of the spectral penalty.
    """

    places: tuple[Place, ...]
    config: PoolConfig
    penalty: float

    def __bool__(self) -> bool:
        return bool(self.places) or self.penalty > 0

    def harden(self, seed: int) -> Hardening | None:
        """For `train_network`; None where nothing is wanted."""
        return partial(_extra, self, seed) if self else None

    @property
    def settings(self) -> dict[str, Any]:
        """For the configuration of the run; empty where nothing is wanted."""
        if not self:
            return {}
        return {
            "pools": [asdict(place) for place in self.places],
            "pooling": asdict(self.config),
            "penalty": self.penalty,
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results has to know."""
        said = [
            f"Pool at {place.layer}: weight {place.weight:g}, "
            + (f"radius {place.radius:g}" if place.radius else
               f"radius {self.config.share:g} of the typical distance between two images there")
            for place in self.places
        ]  # fmt: skip
        if self.places:
            said.append(f"Pools: {self.config.in_words}")
        if self.penalty:
            said.append(f"Spectral penalty: {self.penalty:g} Σ of the layers' Lipschitz bounds")
        return tuple(f"{sentence}." for sentence in said)


def wanted(
    family: Family,
    model: nn.Module,
    pools: Sequence[str],
    radius: Sequence[float],
    weight: Sequence[float],
    config: PoolConfig,
    penalty: float,
) -> Wanted:
    """The hardening that the options ask for.

    Raises:
        InputError: For places that do not exist, or numbers that are not one for each.
    """
    for option, values in (("--radius", radius), ("--weight", weight)):
        if len(values) not in (0, 1, len(pools)):
            raise InputError(
                f"{option} has {len(values)} values for {len(pools)} pools; give one for all, one "
                "for each, or none"
            )
    if not all(0 < value < float("inf") for value in (*radius, *weight)):
        raise InputError("--radius and --weight must be above 0")
    if not 0 <= penalty < float("inf"):
        raise InputError(f"--penalty {penalty}; give a weight of 0 or more")
    places = tuple(
        Place(layer, _of(radius, i), _of(weight, i) or 1.0) for i, layer in enumerate(pools)
    )
    made = Wanted(places, config, penalty)
    if made and family.head(model) is not model:
        raise InputError(
            f"the classifier of {family.called} is trained on codes, not on images; --pools and "
            "--penalty are for networks that are trained as a whole, such as fc100-100-10"
        )
    for place in places:
        find_place(model, place.layer)
    return made


def scheduled(
    usual: Schedule | None, hardened: bool, epochs: int | None, rate: float | None
) -> Schedule | None:
    """The usual schedule with what was asked for; a hardened network always has one.

    Raises:
        InputError: If epochs or a rate are given for a training by L-BFGS.
    """
    schedule = usual or (SCHEDULE if hardened else None)
    if schedule is None:
        if epochs is not None or rate is not None:
            raise InputError(
                "--epochs and --rate are for trainings by minibatches: convolutional networks and "
                "the like, and any with --pools or --penalty"
            )
        return None
    epochs, rate = epochs or schedule.epochs, rate or schedule.rate
    return replace(schedule, epochs=epochs, rate=rate, warmup=min(schedule.warmup, epochs))


def _of(values: Sequence[float], i: int) -> float | None:
    """The i-th of the values, or the one for all; None where there are none."""
    if not values:
        return None
    return values[i] if len(values) > 1 else values[0]


def _extra(
    asked: Wanted, seed: int, model: nn.Module, images: Tensor, labels: Tensor
) -> Extra | None:
    extra, _ = hardening(
        model, images, labels, asked.places, config=asked.config, penalty=asked.penalty, seed=seed
    )
    return extra
