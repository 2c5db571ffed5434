"""Networks whose methods or types are replaced, and those whose weights are computed on the way."""

import types

import torch
from torch import Tensor, nn

from tests.oracles.tricky.kinds import CLASSES, plain, tricky

# Methods replaced


@tricky
def forward_is_lambda() -> nn.Module:
    network = plain()
    network[2].forward = lambda x: 20 * torch.relu(x)
    return network


@tricky
def forward_is_method() -> nn.Module:
    network = plain()
    original = type(network[1]).forward
    network[1].forward = types.MethodType(lambda self, x: 20 * original(self, x), network[1])
    return network


@tricky
def call_is_replaced() -> nn.Module:
    network = plain()
    network[2]._call_impl = lambda x: 20 * torch.relu(x)
    return network


@tricky
def helper_is_replaced() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, CLASSES))
    original = network[0]._conv_forward
    network[0]._conv_forward = lambda *given: 20 * original(*given)
    return network


@tricky
def root_is_replaced() -> nn.Module:
    network = plain()
    network.forward = types.MethodType(
        lambda self, x: 20 * nn.Sequential.forward(self, x).square(), network
    )
    return network


class LoudReLU(nn.ReLU):
    """A ReLU by name."""

    def forward(self, x: Tensor) -> Tensor:
        """Twenty times."""
        return 20 * torch.relu(x)


class LoudLinear(nn.Linear):
    """A linear layer by name."""

    def forward(self, x: Tensor) -> Tensor:
        """Squared."""
        return 20 * super().forward(x).square()


class LoudSequential(nn.Sequential):
    """A chain by name."""

    def forward(self, x: Tensor) -> Tensor:
        """Twenty times."""
        return 20 * super().forward(x)


@tricky
def subclass_of_relu() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 6), LoudReLU(), nn.Linear(6, CLASSES))


@tricky
def subclass_of_linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), LoudLinear(16, 6), nn.ReLU(), nn.Linear(6, CLASSES))


@tricky
def subclass_of_sequential() -> nn.Module:
    return LoudSequential(*plain())


@tricky
def parametrised_subclass() -> nn.Module:
    layer = nn.utils.parametrizations.weight_norm(LoudLinear(16, 6))
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), nn.Linear(6, CLASSES))


# Weights computed on the way, which is as it should be


@tricky
def weight_norm() -> nn.Module:
    network = plain()
    nn.utils.parametrizations.weight_norm(network[1])
    return network


@tricky
def orthogonal() -> nn.Module:
    network = plain()
    nn.utils.parametrizations.orthogonal(network[1])
    return network


@tricky
def spectral_norm() -> nn.Module:
    network = plain()
    nn.utils.parametrizations.spectral_norm(network[1])
    return network
