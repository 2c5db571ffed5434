"""Lines that a curve or a window stays between."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Lines:
    """y ≥ below·z + under and y ≤ above·z + over, for every y and the z that it is made of."""

    below: Float[Tensor, " inputs"]
    under: Float[Tensor, " units"]
    above: Float[Tensor, " inputs"]
    over: Float[Tensor, " units"]
