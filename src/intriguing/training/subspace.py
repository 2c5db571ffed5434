"""The directions in which pieces of images vary, and filters confined to them.

An optimiser that scales each weight's step by itself, as Adam does, also moves a filter where what
it sees never varies: the objective neither asks for that nor takes it back.  The network answers
images almost as before without it, but is open to attacks there, and a picture of the filter shows
little else.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from intriguing.models.whitening import random_patches


@torch.no_grad()
def directions(
    x: Float[Tensor, "b channel h w"],
    field: int,
    share: float,
    generator: torch.Generator,
    each: int = 10,
) -> Float[Tensor, "weight kept"]:
    """The fewest principal directions of square fields that hold a share of their energy.

    Args:
        x: What filters see.
        field: The side of theirs.
        share: Of E|p|² over fields p, above 0 and at most 1.
        generator: Draws where fields lie.
        each: Fields of one image.

    Returns:
        Orthonormal columns over (row, column, channel), as a filter's weights are laid out.
    """
    pieces = random_patches(x.cpu(), field, each, generator).permute(0, 2, 3, 1).flatten(1).double()
    values, vectors = torch.linalg.eigh(pieces.T @ pieces / len(pieces))
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    kept = 1 + int((values.cumsum(0) < share * values.sum()).sum())
    found: Tensor = vectors[:, :kept].to(x)
    return found


@torch.no_grad()
def confine(weight: nn.Parameter, along: Float[Tensor, "weight kept"]) -> None:
    """Take from untied filters (row, column, map, i, j, channel) all but some directions.

    Every place by itself, so that a process may call this with the rows it holds.
    """
    local = weight.to_local() if isinstance(weight, DTensor) else weight
    flat = local.flatten(3)
    local.copy_((flat @ along @ along.T).view_as(local))
