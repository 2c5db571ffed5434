"""How improbable it is that a random direction of a given length is adversarial.

Where one in a million is, sampling finds none. Importance splitting does: the event margin > 0 is
the last of nested ones margin > γ₁ > γ₂ …, each about as probable given the one before as its
quantile says, so that the probability is a product of shares that are not small (Kahn and Harris
1951; Cérou et al. 2012). Between two levels directions are moved by a Markov chain that leaves the
uniform distribution on the sphere, conditioned on the level, as it is: a Gaussian vector g becomes
(g + s·z)/√(1 + s²), and stays where the margin would fall below the level. First used on networks
by Webb et al. (ICLR 2019, arXiv:1811.07209).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.models.classifier import Classifier, Model

LEAST = 1e-200
"""What is less probable counts as this; at twice the least length MNIST's pockets come to 10⁻³⁸."""
_KEPT = 0.1
"""Of the particles, from level to level: Webb et al.'s."""
_MOVES = 20
"""Steps of the chain between two levels."""


@torch.no_grad()
def rarity(
    model: Model | nn.Module,
    image: Float[Tensor, "..."],
    label: int,
    length: float,
    generator: torch.Generator,
    particles: int = 200,
) -> float:
    """The probability that image + length·u is misread, u uniform on the sphere; at least `LEAST`.

    Args:
        model: In evaluation mode.
        image: One image, which need not be read itself.
        label: Its class.
        length: ‖r‖₂ in pixel units; images are not clipped to a box.
        generator: Of all that is drawn, on the CPU.
        particles: Directions at once. The relative standard deviation of the estimate is about
            sqrt(levels·9/particles), with one level a factor of ten: at 10⁻⁶ and 200 about a half.

    Raises:
        InputError: If `length` is not positive or `particles` fewer than 20.
    """
    if not 0 < length < math.inf or particles < 20:
        raise InputError(f"length={length}, particles={particles}; give above 0, and 20 or more")
    asked = Classifier.of(model)
    x = asked.fit(image[None])

    def margins(drawn: Tensor) -> Tensor:
        r = length * drawn / drawn.norm(dim=1, keepdim=True)
        logits = asked(x + r.to(x).view(-1, *image.shape)).cpu()
        own = logits[:, label].clone()
        logits[:, label] = -torch.inf
        return logits.amax(1) - own

    g = torch.randn(particles, image.numel(), generator=generator)
    margin = margins(g)
    probability, step = 1.0, 1.0
    while True:
        level = float(margin.quantile(1 - _KEPT))
        if level >= 0:
            share = float((margin > 0).double().mean())
            return max(probability * share, LEAST)
        kept = (margin > level).nonzero()[:, 0]
        if not len(kept):  # all alike: nothing leads any further
            return LEAST
        probability *= len(kept) / particles
        if probability <= LEAST:
            return LEAST
        again = kept[torch.randint(len(kept), (particles,), generator=generator)]
        g, margin = g[again], margin[again]
        for _ in range(_MOVES):
            moved = (g + step * torch.randn(g.shape, generator=generator)) / math.hypot(1, step)
            there = margins(moved)
            stays = there > level
            g = torch.where(stays[:, None], moved, g)
            margin = torch.where(stays, there, margin)
            accepted = float(stays.double().mean())
            # Half of the moves accepted mixes fastest, about; too long ones are all refused.
            step *= 1.1 if accepted > 0.4 else 0.85
            step = min(step, 1.0)
