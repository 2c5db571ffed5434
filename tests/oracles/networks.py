"""Small networks with known answers, and the one digit network several tests share."""

import functools
import math

import torch
from torch import Tensor, nn

from intriguing.data.named import load_data
from intriguing.models.families.fully_connected import FullyConnected


def linear(weight: Tensor, bias: Tensor) -> nn.Module:
    """logits = weight·x + bias, in evaluation mode and in the weight's dtype."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return nn.Sequential(nn.Flatten(), layer).eval()


def hyperplane_distance(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """Distance of x to the boundary between the two classes of a linear network."""
    normal = weight[1] - weight[0]
    return ((x @ normal) + bias[1] - bias[0]).abs() / normal.norm()


@functools.cache
def digit_network(dtype: torch.dtype = torch.float32) -> nn.Module:
    """A 784-100-100-10 sigmoid network fitted to 2,000 embedded digits, quickly but well."""
    data = load_data("mnist-5k").train.first(2000)
    generator = torch.Generator().manual_seed(0)
    network = FullyConnected((784, 100, 100, 10))
    with torch.no_grad():
        for layer in network.layers:
            bound = 2 * math.sqrt(6 / sum(layer.weight.shape))
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.zero_()
    optimiser = torch.optim.LBFGS(
        network.parameters(), max_iter=120, history_size=10, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        optimiser.zero_grad()
        decay = sum(layer.weight.square().sum() for layer in network.layers)
        loss = nn.functional.cross_entropy(network(data.images), data.labels) + 1e-5 * decay
        loss.backward()
        return loss

    optimiser.step(objective)
    return network.eval().to(dtype)
