"""How large the logits of a network are, and how far from 0: neither decides a class."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

from intriguing.models.warning import ModelWarning

USUAL = (2.0**-2, 2.0**9)
"""How far apart the logits of an image are in networks: .6 under weight decay of 1, 10 to 60."""

# Wider than the usual: a network that is not trained is no finding.
_SUSPICIOUS = (2.0**-7, 2.0**14)
_LOST = 1e-5
"""Share of the logits' distances that rounding may take: some hundred of float32's last units."""
_FAR = 30
"""Logits so many times as large as the distances between them count as far from 0."""


def spread(logits: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """How far apart the logits of each row are."""
    return logits.amax(1) - logits.amin(1)


def logit_scale(logits: Float[Tensor, "b k"], eps: float) -> Iterator[ModelWarning]:
    """Logits of an unusual size, or so far from 0 that rounding by `eps` blurs them."""
    logits = logits.detach()
    apart = float(spread(logits).median())
    if not apart > 0:
        return
    if not _SUSPICIOUS[0] <= apart < _SUSPICIOUS[1]:
        yield ModelWarning(
            "unusual logits",
            f"the logits of an image are {apart:.2g} apart; in networks it is .5 to 100",
            "classes and distances do not depend on it, but a softmax does: confidence and "
            "cross-entropies say nothing, and ddn, pdgd, cw and paper search as if they were 16 "
            f"apart; multiply the logits by {16 / apart:.1g}",
        )
    largest = float(logits.abs().amax(1).median())
    lost = eps * largest / apart
    if largest > _FAR * apart and lost > _LOST:
        yield ModelWarning(
            "logits far from 0",
            f"the logits of an image are about {largest:.2g} and only {apart:.2g} apart: rounding "
            f"takes {lost:.1g} of the difference",
            "margins are known no better than that, so that distances come out too long and "
            "gradients may be rounded, too; subtract what is common to all logits, such as the "
            "mean of the last layer's biases, or run the network in float64",
        )
