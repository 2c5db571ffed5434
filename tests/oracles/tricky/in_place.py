"""Networks that write values in place, where a graph may not see it."""

import torch
from torch import Tensor, nn

from tests.oracles.tricky.kinds import CLASSES, Between, plain, tricky


@tricky
def through_view() -> nn.Module:
    def body(x: Tensor) -> Tensor:
        x = 1.0 * x
        x.view(-1).mul_(20)
        return x

    return Between(body)


@tricky
def through_data() -> nn.Module:
    def body(x: Tensor) -> Tensor:
        x = 1.0 * x
        x.data.mul_(20)
        return x

    return Between(body)


@tricky
def through_detach() -> nn.Module:
    def body(x: Tensor) -> Tensor:
        x = 1.0 * x
        x.detach().square_()
        return x

    return Between(body)


@tricky
def by_item() -> nn.Module:
    def body(x: Tensor) -> Tensor:
        y = 1.0 * x
        y[:, :2] = 20 * x[:, 2:4]
        return y

    return Between(body)


@tricky
def by_item_of_constant() -> nn.Module:
    def body(x: Tensor) -> Tensor:
        y = torch.zeros(len(x), 6, dtype=x.dtype)
        y[:, :3] = 20 * x[:, :3]
        return y

    return Between(body)


@tricky
def by_floor_division() -> nn.Module:
    def body(x: Tensor) -> Tensor:
        y = 4.0 * x
        y //= 0.5
        return y

    return Between(body)


@tricky
def into_out() -> nn.Module:
    def body(x: Tensor) -> Tensor:
        y = 1.0 * x
        torch.mul(x, 20, out=y)
        return y

    return Between(body)


@tricky
def into_buffer() -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Identity(), nn.Linear(6, CLASSES))
    buffer = torch.zeros(())

    class Kept(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kept", buffer.clone())

        def forward(self, x: Tensor) -> Tensor:
            torch.mul(x.sum(), 20, out=self.kept)
            return x + self.kept

    network[2] = Kept()
    return network


@tricky
def by_copy() -> nn.Module:
    def body(x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        y.copy_(20 * x)
        return y

    return Between(body)


@tricky
def by_scatter() -> nn.Module:
    def body(x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        return y.scatter(1, torch.zeros_like(x).long(), x, reduce="add")

    return Between(body)


@tricky
def changes_its_input() -> nn.Module:
    class Scales(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rest = plain()

        def forward(self, x: Tensor) -> Tensor:
            x.mul_(2)
            return self.rest(x)

    return Scales()
