"""Networks of masks, integers and operations that nothing is known of."""

import torch
from torch import nn
from torch.nn import functional

from tests.oracles.tricky.kinds import Between, tricky


@tricky
def one_over() -> nn.Module:
    return Between(lambda x: 1 / (x.abs() + 0.01))


@tricky
def reciprocal() -> nn.Module:
    return Between(lambda x: (x.abs() + 0.01).reciprocal())


@tricky
def power() -> nn.Module:
    return Between(lambda x: 2**x - x**3)


@tricky
def divided_by_itself() -> nn.Module:
    return Between(lambda x: x / (x.norm(dim=1, keepdim=True) + 0.01))


@tricky
def step_function() -> nn.Module:
    return Between(lambda x: x + torch.sign(x))


@tricky
def rounds() -> nn.Module:
    return Between(lambda x: (10 * x).round() / 10)


@tricky
def masked() -> nn.Module:
    return Between(lambda x: x * (x > 0))


@tricky
def masked_float() -> nn.Module:
    return Between(lambda x: 5 * x * (x > 0.2).to(x.dtype))


@tricky
def where_it_jumps() -> nn.Module:
    return Between(lambda x: torch.where(x > 0.1, 20 * x, x))


@tricky
def where_of_others() -> nn.Module:
    return Between(lambda x: torch.where(x > x.flip(1), x, -x))


@tricky
def fills_a_mask() -> nn.Module:
    return Between(lambda x: x.masked_fill(x < 0, 5.0))


@tricky
def one_hot() -> nn.Module:
    return Between(lambda x: x + functional.one_hot(x.argmax(1), 6))


@tricky
def picks_by_rank() -> nn.Module:
    return Between(lambda x: x.gather(1, x.argsort(1)) + x.topk(6).values)


@tricky
def casts_to_whole_numbers() -> nn.Module:
    return Between(lambda x: (10 * x).int() / 10)


@tricky
def slices_by_shape() -> nn.Module:
    return Between(lambda x: x[:, : x.shape[1] // 2] - x[:, x.shape[1] // 2 :], 3)
