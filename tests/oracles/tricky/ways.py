"""Networks whose Python looks at values, keeps count, or draws lots."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.oracles.tricky.kinds import CLASSES, Between, plain, tricky


@tricky
def branches_on_sum() -> nn.Module:
    return Between(lambda x: 20 * x if x.sum() > 0 else x)


@tricky
def branches_on_shape() -> nn.Module:
    return Between(lambda x: 20 * x if len(x) > 1 else x)


@tricky
def reads_item() -> nn.Module:
    return Between(lambda x: x * x.abs().max().item())


@tricky
def by_numpy() -> nn.Module:
    return Between(lambda x: x * float(x.detach().numpy().max()))


@tricky
def by_list() -> nn.Module:
    return Between(lambda x: x * max(x.detach().flatten().tolist()))


@tricky
def tries_and_goes_on() -> nn.Module:
    def body(x: Tensor) -> Tensor:
        try:
            return 20 * x if bool(x.max() > 0.6) else x
        except Exception:
            return x

    return Between(body)


@tricky
def only_tensors() -> nn.Module:
    return Between(lambda x: torch.where(x > 0.6, 20 * x, x) if isinstance(x, Tensor) else x)


@tricky
def counts() -> nn.Module:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x * self.calls

    return nn.Sequential(*plain(), Counter())


@tricky
def counts_late() -> nn.Module:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return 20 * x if self.calls > 25 else x

    return nn.Sequential(*plain(), Counter())


@tricky
def counts_in_buffer() -> nn.Module:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x * self.calls

    return nn.Sequential(*plain(), Counter())


@tricky
def remembers() -> nn.Module:
    class Memory(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("last", torch.zeros(CLASSES))

        def forward(self, x: Tensor) -> Tensor:
            answer = x + self.last
            self.last.copy_(x.mean(0))
            return answer

    return nn.Sequential(*plain(), Memory())


@tricky
def draws() -> nn.Module:
    return Between(lambda x: x + torch.randn_like(x))


@tricky
def always_drops() -> nn.Module:
    return Between(lambda x: functional.dropout(x, 0.5, training=True))
