"""A test that may stop whenever it likes: are at most a share q of all images too near?

Images come in random order, each too near or not: Bernoulli variables of an unknown p, whatever the
distances are distributed like, so skewed and tied ones as well. For "p is no less than q" the
likelihood of what was seen under p′ < q, divided by that under q, is a supermartingale under every
p ≥ q: its factor has the expectation p·p′/q + (1 − p)(1 − p′)/(1 − q), which is 1 at p = q and
falls as p grows. So is its average over all p′ < q, here with equal weights:

    E = 1/q ∫₀^q (p′/q)^s ((1 − p′)/(1 − q))^(n − s) dp′
      = B(s + 1, n − s + 1) · I_q(s + 1, n − s + 1) / (q · q^s (1 − q)^(n − s))

after s of n images were too near. By Ville's inequality (1939) E ever exceeds 1/level with a
probability of at most `level`, however often one looks and whenever one stops; so there is no size
to fix beforehand, and the mixture (Robbins 1970) needs no guess at how far p is from q.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from intriguing.results.gate import Near, Ruling


@dataclass(frozen=True)
class Evidence:
    """What so many images say; natural logarithms of both averages.

    Attributes:
        images: That were looked at.
        near: Of these, surely too near.
        unknown: Nobody knows of which: they count against whichever verdict is asked about.
        passing: Against "the share is q or more".
        failing: Against "the share is q or less".
    """

    images: int
    near: int
    unknown: int
    passing: float
    failing: float

    def ruling(self, level: float) -> Ruling:
        """The verdict that this is enough for."""
        enough = -math.log(level)
        if self.passing >= enough:
            return "pass"
        return "fail" if self.failing >= enough else "undecided"


@dataclass(frozen=True)
class SequentialTest:
    """Whether at most a share of all images is too near, with wrong verdicts at most this often.

    Attributes:
        share: q, above 0 and below 1.
        level: Probability of a wrong pass, and of a wrong fail, at most.

    >>> test = SequentialTest(0.5, 0.05)
    >>> [test.evidence(0, n).ruling(0.05) for n in (6, 7)], test.evidence(7, 7).ruling(0.05)
    (['undecided', 'pass'], 'fail')
    """

    share: float
    level: float

    def evidence(self, near: int, images: int, unknown: int = 0) -> Evidence:
        """What is known after so many images."""
        most = near + unknown
        passing = float(_log_mixture(most, images - most, self.share))
        failing = float(_log_mixture(images - near, near, 1 - self.share))
        return Evidence(images, near, unknown, passing, failing)

    def decided(self, seen: Sequence[Near]) -> tuple[Ruling, Evidence]:
        """The first verdict that images in their order are enough for, and where that was.

        What comes after it changes nothing.
        """
        near = np.cumsum([one == "near" for one in seen], dtype=int)
        unknown = np.cumsum([one == "unknown" for one in seen], dtype=int)
        images, enough = np.arange(1, len(seen) + 1), -math.log(self.level)
        passing = _log_mixture(near + unknown, images - near - unknown, self.share)
        failing = _log_mixture(images - near, near, 1 - self.share)
        sure = np.flatnonzero(np.maximum(passing, failing) >= enough)
        count = int(images[sure[0]]) if len(sure) else len(seen)
        at = count - 1
        evidence = self.evidence(int(near[at]), count, int(unknown[at])) if count else (
            self.evidence(0, 0)
        )  # fmt: skip
        return evidence.ruling(self.level), evidence

    def interval(self, near: int, images: int, unknown: int = 0) -> tuple[float, float]:
        """Shares that are refuted by neither average: they hold the true one with 1 − 2·level.

        This holds at every number of images at once. An interval from all of them to none, 0 to 1,
        is what no image says.
        """
        enough, most = -math.log(self.level), near + unknown
        low, high = near / max(images, 1), most / max(images, 1)

        def above(share: float) -> float:
            return float(_log_mixture(most, images - most, share)) - enough

        def below(share: float) -> float:
            return float(_log_mixture(images - near, near, 1 - share)) - enough

        edge = 1e-9
        top = optimize.brentq(above, max(high, edge), 1 - edge) if above(1 - edge) > 0 else 1.0
        bottom = optimize.brentq(below, edge, min(low, 1 - edge)) if below(edge) > 0 else 0.0
        return float(bottom), float(top)


def _log_mixture(below: ArrayLike, others: ArrayLike, share: float) -> np.ndarray:
    """log E of so many images below, and not, against a true share of `share` or more."""
    s, rest = np.asarray(below, float), np.asarray(others, float)
    with np.errstate(divide="ignore"):  # far on the other side
        inside = np.log(special.betainc(s + 1, rest + 1, share))
    at_share = (s + 1) * math.log(share) + rest * math.log1p(-share)
    return np.asarray(special.betaln(s + 1, rest + 1) + inside - at_share)
