"""A network is asked once about rows that are copies of the first (`rows.filled`)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.distortion.rows import WIDTH


def copies(rows: Float[Tensor, "b n"]) -> int:
    """How many of the last rows equal the first one: fewer than a width of them fill a batch up.

    >>> copies(torch.tensor([[1.0], [2.0], [1.0], [1.0]]))
    2
    """
    last = rows[1:][1 - WIDTH :]
    other = (last != rows[:1]).any(1).nonzero()
    return len(last) - 1 - int(other[-1]) if len(other) else len(last)


class Firsts(torch.autograd.Function):
    """Rows without so many last ones, which are copies of the first, as are their gradients."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, missing: int) -> Tensor:
        ctx.missing = missing
        return rows[: len(rows) - missing].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return torch.cat((gradient, gradient[:1].expand(ctx.missing, -1))), None


class Repeated(torch.autograd.Function):
    """Answers, and so many more times the first, whose copies have no say in its gradient."""

    @staticmethod
    def forward(ctx: Any, answers: Tensor, missing: int) -> Tensor:
        ctx.missing = missing
        return torch.cat((answers, answers[:1].expand(missing, -1)))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return gradient[: len(gradient) - ctx.missing], None
