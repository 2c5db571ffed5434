"""The trainings that are compared, each with its settings, and what a search tries instead."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from intriguing.errors import InputError
from intriguing.hardening.config import PoolConfig
from intriguing.hardening.hardened import Hardened
from intriguing.hardening.places import Place
from intriguing.keys import APART
from intriguing.models.schedule import Schedule
from intriguing.training.recipe import Recipe

ARCHITECTURE = "fc100-100-10"
PLAIN = "weight-decay"
"""The regime that all others are held against."""


@dataclass(frozen=True)
class Regime:
    """One way to train the 100-100-10 network.

    Attributes:
        name: What the paper and rows of results call it.
        slug: In file names.
        schedule: Rate, dropout; its epochs are the scale's.
        decay: λ of the three layers, of λ Σ w².
        places: Where pools are; none for no pools.
        pools: How they are made and mixed.
        penalty: Weight of the spectral penalty; 0 for none.
        curve: Whether it is a point of the curve over the penalty's weight only.
    """

    name: str = field(metadata=APART)
    slug: str = field(metadata=APART)
    schedule: Schedule
    decay: tuple[float, ...]
    places: tuple[Place, ...] = ()
    pools: PoolConfig = field(default_factory=PoolConfig)
    penalty: float = 0.0
    curve: bool = field(default=False, metadata=APART)

    @property
    def recipe(self) -> Recipe:
        """As `train_network` takes it: Glorot's weights, zero biases, λ undivided."""
        return Recipe(
            self.name, self.slug, ARCHITECTURE, self.decay, "sum", gain=1.0, schedule=self.schedule
        )

    @property
    def in_words(self) -> str:
        """What a reader of the results has to know."""
        said = f"{self.schedule.in_words}, λ = {', '.join(f'{value:g}' for value in self.decay)}"
        for place in self.places:
            said += f", pool at {place.layer}: radius {place.radius:g}, weight {place.weight:g}"
        said += f" ({self.pools.in_words})" if self.places else ""
        return said + (f", spectral penalty {self.penalty:g}" if self.penalty else "")

    @property
    def hardened(self) -> Hardened:
        """What its loss has besides."""
        return Hardened(self.places, self.pools, self.penalty)

    def scaled(self, epochs: int, start: int) -> "Regime":
        """The same with so many epochs, pools beginning after `start`."""
        schedule = replace(self.schedule, epochs=epochs, warmup=min(1.0, epochs))
        return replace(self, schedule=schedule, pools=replace(self.pools, start=start))


def decays(first: float) -> tuple[float, float, float]:
    """λ of the three layers, the last a tenth, as the paper has them."""
    return first, first, first / 10


# Best by validation on 10,000 held-out training images (`reproduce hardening --search`, for one
# hidden layer's pool `benchmarks/hardening_fair.py`), like all settings of the regimes.
_FAST, _SLOW = Schedule(30, rate=1.5), Schedule(30, rate=0.5)
# Radii in L2, by the same search.
_INPUT, _FIRST, _SECOND = Place("input", 1.0), Place("1", 0.2), Place("2", 0.2)
# In a joint step three pools weigh twice as much as the images.
_ALL = (_INPUT, replace(_FIRST, weight=0.5), replace(_SECOND, weight=0.5))
_JOINT = PoolConfig(scheme="joint")
_PENALTY, _BOTH, _CHOSEN = 0.019, 0.03, 1e-4
"""Weights of the penalty: the largest that costs a point of error at most, likewise beside a pool,
and the one of least validation error at the baseline's own rate (`benchmarks/hardening_fair.py`),
where the paper's sentence on generalization is judged."""

REGIMES: tuple[Regime, ...] = (
    Regime("Weight decay", PLAIN, _FAST, decays(5e-5)),
    Regime("Dropout", "dropout", replace(_FAST, rate=1.0, input_dropout=0.1), decays(3e-5)),
    Regime("Input pool", "pool-input", _SLOW, decays(3e-5), (_INPUT,)),
    Regime("All pools, joint", "pools-joint", _SLOW, decays(5e-5), _ALL, _JOINT),
    Regime("Spectral penalty", "penalty", _SLOW, decays(5e-5), penalty=_PENALTY),
    Regime("All pools, alternating", "pools-alternating", _SLOW, decays(3e-5),
           (_INPUT, _FIRST, _SECOND)),
    Regime("Gaussian noise", "noise", _SLOW, decays(3e-5), (_INPUT,),
           PoolConfig(search="gaussian")),
    Regime("First layer's pool", "pool-1", _SLOW, decays(3e-5), (replace(_FIRST, radius=0.4),)),
    Regime("Second layer's pool", "pool-2", _SLOW, decays(5e-5), (_SECOND,)),
    Regime("Input pool + penalty", "pool-penalty", _SLOW, decays(3e-5), (_INPUT,),
           penalty=_BOTH),
    Regime("Penalty by validation", "penalty-chosen", _FAST, decays(5e-5), penalty=_CHOSEN),
)  # fmt: skip
"""In the order in which they are trained."""

CURVE = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
"""Further weights of the penalty, for its curve."""


def curve() -> Iterator[Regime]:
    """The spectral penalty at the weights of the curve."""
    base = regime("penalty")
    for weight in CURVE:
        yield replace(
            base, name=f"Penalty {weight:g}", slug=f"penalty-{weight:g}", penalty=weight, curve=True
        )


def regime(slug: str) -> Regime:
    """A regime by its slug.

    Raises:
        InputError: If there is none.
    """
    for one in REGIMES:
        if one.slug == slug:
            return one
    raise InputError(f"no regime {slug!r}; one of {', '.join(one.slug for one in REGIMES)}")


def candidates() -> Iterator[tuple[str, Regime]]:
    """What the search tries: the slug of a regime, and it with other settings."""
    for one in REGIMES:
        tried = [one]
        tried += [replace(one, decay=decays(lam)) for lam in (1e-5, 3e-5, 5e-5)]
        if not one.places and not one.penalty:
            rates = (0.5, 1.0, 1.5)
            tried += [replace(one, schedule=replace(one.schedule, rate=rate)) for rate in rates]
        if one.schedule.input_dropout:
            noisier = [replace(one.schedule, input_dropout=share) for share in (0.05, 0.15, 0.2)]
            noisier += [replace(one.schedule, dropout=share) for share in (0.05, 0.1)]
            tried += [replace(one, schedule=schedule) for schedule in noisier]
        for factor in (0.5, 1.5):
            places = tuple(
                replace(place, radius=factor * (place.radius or 1.0)) for place in one.places
            )
            tried += [replace(one, places=places)] if places else []
        if one.places:
            tried += [replace(one, pools=replace(one.pools, refresh=r)) for r in (0.1, 1.0)]
        if len(one.places) > 1:
            nearest = replace(one.pools, search="closest", budget=30)
            tried.append(replace(one, pools=nearest))
        if one.penalty:
            tried += [
                replace(one, penalty=one.penalty * factor) for factor in (1 / 3, 1.5, 2.0, 3.0)
            ]
        yield from ((one.slug, other) for other in dict.fromkeys(tried))
