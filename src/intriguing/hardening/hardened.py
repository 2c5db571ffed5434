"""What hardens a network while it is trained: pools of adversarial examples, and a penalty."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor, nn

from intriguing.hardening.config import PoolConfig
from intriguing.hardening.places import Place
from intriguing.hardening.train import hardening
from intriguing.training.minibatch import Extra


@dataclass(frozen=True)
class Hardened:
    """What the loss of a training has besides that of the images; by default nothing.

    Attributes:
        places: Where pools are (§4.2).
        pools: How they are made and mixed.
        penalty: Weight of the layers' Lipschitz bounds (§4.3).
    """

    places: tuple[Place, ...] = ()
    pools: PoolConfig = field(default_factory=PoolConfig)
    penalty: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.places) or self.penalty > 0

    def extra(self, seed: int) -> Callable[[nn.Module, Tensor, Tensor], Extra | None] | None:
        """As `train_network` takes it, with a seed of all that is drawn; None for nothing."""
        return partial(_extra, self, seed) if self else None


def _extra(
    asked: Hardened, seed: int, model: nn.Module, images: Tensor, labels: Tensor
) -> Extra | None:
    extra, _ = hardening(
        model, images, labels, asked.places, config=asked.pools, penalty=asked.penalty, seed=seed
    )
    return extra
