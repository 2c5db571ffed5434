"""Networks of shared and attending modules, and those that mix the images of a batch."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.oracles.tricky.kinds import CLASSES, Between, tricky

# Modules that are shared, called twice, or attend


@tricky
def shared() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 6), layer, nn.Tanh(), layer, nn.Linear(6, CLASSES)
    )


@tricky
def called_twice() -> nn.Module:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.after = nn.Linear(16, 16), nn.Linear(16, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(1)
            return self.after(self.layer(torch.relu(self.layer(x))) - self.layer(x))

    return Twice()


@tricky
def tied_weights() -> nn.Module:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.after = nn.Linear(16, 6), nn.Linear(16, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            y = torch.relu(self.layer(x.flatten(1)))
            return self.after(functional.linear(y, self.layer.weight.T))

    return Tied()


class Attends(nn.Module):
    """Four rows of four pixels attend to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.after = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        rows = x.flatten(1, 2)
        return self.after(self.attention(rows, rows, rows)[0].flatten(1))


@tricky
def attention() -> nn.Module:
    return Attends()


@tricky
def attention_function() -> nn.Module:
    def body(x: Tensor) -> Tensor:
        rows = x.view(-1, 3, 2)
        return functional.scaled_dot_product_attention(rows, 2 * rows, rows).flatten(1)

    return Between(body)


@tricky
def encoder_layer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    return nn.Sequential(nn.Flatten(1, 2), layer, nn.Flatten(), nn.Linear(16, CLASSES))


# Images of a batch that are not left alone


@tricky
def subtracts_mean_of_batch() -> nn.Module:
    return Between(lambda x: x - 0.9 * x.mean(0))


@tricky
def batch_statistics() -> nn.Module:
    norm = nn.BatchNorm1d(6, track_running_stats=False)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 6), norm, nn.Linear(6, CLASSES))


@tricky
def softmax_over_batch() -> nn.Module:
    return Between(lambda x: torch.softmax(x, 0))


@tricky
def attends_to_batch() -> nn.Module:
    class Batch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.rest = nn.MultiheadAttention(16, 2), nn.Linear(16, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            rows = x.flatten(1)
            return self.rest(self.attention(rows, rows, rows)[0])

    return Batch()


@tricky
def sorts_the_batch() -> nn.Module:
    return Between(lambda x: x.sort(0).values)


@tricky
def normalises_by_largest() -> nn.Module:
    return Between(lambda x: x / (x.abs().max() + 1))


@tricky
def rolls_the_batch() -> nn.Module:
    return Between(lambda x: x + x.roll(1, 0))
