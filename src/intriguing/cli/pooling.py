"""What `intriguing train` makes of --decay, --pools, --penalty, --epochs and --rate."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from torch import nn

from intriguing.errors import InputError
from intriguing.hardening.config import PoolConfig
from intriguing.hardening.hardened import Hardened
from intriguing.hardening.places import Place, find_place
from intriguing.hardening.train import SCHEDULE
from intriguing.models.family import Family
from intriguing.models.initial import weight_layers
from intriguing.models.schedule import Schedule


def decay_of(asked: Sequence[float], family: Family, model: nn.Module) -> tuple[float, ...]:
    """One λ for each layer that is trained, from one for all or one for each; or the usual ones."""
    layers = len(weight_layers(family.head(model)))
    return _spread(asked, layers) if asked else family.decay(layers)


def _spread(decay: Sequence[float], layers: int) -> tuple[float, ...]:
    if len(decay) not in (1, layers):
        raise InputError(
            f"--decay has {len(decay)} values, but {layers} layer(s) are trained; give one for "
            f"all or {layers}"
        )
    if not all(0 <= value < float("inf") for value in decay):
        raise InputError(f"--decay {' '.join(map(str, decay))}: every λ must be 0 or more")
    return tuple(decay) if len(decay) == layers else tuple(decay) * layers


def settings(asked: Hardened) -> dict[str, Any]:
    """For the configuration of the run; empty where nothing is wanted."""
    if not asked:
        return {}
    return {
        "pools": [asdict(place) for place in asked.places],
        "pooling": asdict(asked.pools),
        "penalty": asked.penalty,
    }


def notes(asked: Hardened) -> tuple[str, ...]:
    """What a reader of the results has to know."""
    said = [
        f"Pool at {place.layer}: weight {place.weight:g}, "
        + (f"radius {place.radius:g}" if place.radius else
           f"radius {asked.pools.share:g} of the typical distance between two images there")
        for place in asked.places
    ]  # fmt: skip
    if asked.places:
        said.append(f"Pools: {asked.pools.in_words}")
    if asked.penalty:
        said.append(f"Spectral penalty: {asked.penalty:g} Σ of the layers' Lipschitz bounds")
    return tuple(f"{sentence}." for sentence in said)


def wanted(
    family: Family,
    model: nn.Module,
    pools: Sequence[str],
    radius: Sequence[float],
    weight: Sequence[float],
    config: PoolConfig,
    penalty: float,
) -> Hardened:
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
    made = Hardened(places, config, penalty)
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
