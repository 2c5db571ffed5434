"""Networks that are not what their graph, their types or one look at them says.

`TRICKY` has a maker for each kind; called with a seed it gives the same network every time. To add
a kind, write a function from a base network's random weights to a module and decorate it.
"""

import functools
import types
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

SHAPE = (1, 4, 4)
CLASSES = 3
TRICKY: dict[str, Callable[[int], nn.Module]] = {}

_Maker = Callable[[], nn.Module]


def tricky(make: _Maker) -> _Maker:
    """Add a kind of network; its weights are drawn from torch's generator, seeded anew."""

    @functools.wraps(make)
    def seeded(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return make().eval()

    TRICKY[make.__name__] = seeded
    return make


def plain() -> nn.Sequential:
    """Sixteen pixels, a hidden layer of six, three logits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, CLASSES))


class Between(nn.Module):
    """`body` between a linear layer and the logits."""

    def __init__(self, body: Callable[[Tensor], Tensor], width: int = 6) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(16, 6), nn.Linear(width, CLASSES)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.after(self.body(self.before(x.flatten(1))))


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, body: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """What the function says."""
        return self.body(x)


# Hooks


@tricky
def hook_multiplies() -> nn.Module:
    network = plain()
    network[1].register_forward_hook(lambda module, args, output: 20 * output)
    return network


@tricky
def hook_on_activation() -> nn.Module:
    network = plain()
    network[2].register_forward_hook(lambda module, args, output: output**2)
    return network


@tricky
def hook_on_root() -> nn.Module:
    network = plain()
    network.register_forward_hook(lambda module, args, output: 20 * output)
    return network


@tricky
def hook_on_container() -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Sequential(*plain()[1:]))
    network[1].register_forward_hook(lambda module, args, output: output * output.abs())
    return network


@tricky
def hook_in_place() -> nn.Module:
    network = plain()

    def hook(module: nn.Module, args: object, output: Tensor) -> None:
        output.mul_(20)

    network[1].register_forward_hook(hook)
    return network


@tricky
def hook_by_data() -> nn.Module:
    network = plain()

    def hook(module: nn.Module, args: object, output: Tensor) -> None:
        output.data.mul_(20)

    network[1].register_forward_hook(hook)
    return network


@tricky
def pre_hook_multiplies() -> nn.Module:
    network = plain()
    network[3].register_forward_pre_hook(lambda module, args: (20 * args[0],))
    return network


@tricky
def pre_hook_in_place() -> nn.Module:
    network = plain()

    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        args[0].mul_(20)

    network[3].register_forward_pre_hook(hook)
    return network


@tricky
def hook_for_some_images() -> nn.Module:
    network = plain()

    def hook(module: nn.Module, args: object, output: Tensor) -> Tensor | None:
        return 20 * output if bool(output.max() > 0.6) else None

    network[1].register_forward_hook(hook)
    return network


@tricky
def hook_for_tensors_above() -> nn.Module:
    network = plain()

    def hook(module: nn.Module, args: object, output: Tensor) -> Tensor | None:
        if isinstance(output, Tensor) and output.amax() > 0.6:
            return 20 * output
        return None

    network[1].register_forward_hook(hook)
    return network


@tricky
def hook_selects() -> nn.Module:
    network = plain()
    network[1].register_forward_hook(
        lambda module, args, output: torch.where(output > 0.6, 20 * output, output)
    )
    return network


@tricky
def hook_sets_weight() -> nn.Module:
    network = plain()

    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        module.bias.data = 20 * args[0].mean(0)[:CLASSES]

    network[3].register_forward_pre_hook(hook)
    return network


@tricky
def hook_counts() -> nn.Module:
    network, state = plain(), {"calls": 0}

    def hook(module: nn.Module, args: object, output: Tensor) -> Tensor:
        state["calls"] += 1
        return output * state["calls"]

    network[1].register_forward_hook(hook)
    return network


@tricky
def hook_reads() -> nn.Module:
    network, seen = plain(), []
    network[1].register_forward_hook(lambda module, args, output: seen.append(output.shape))
    return network


@tricky
def hook_keeps() -> nn.Module:
    network, seen = plain(), {}

    def hook(module: nn.Module, args: object, output: Tensor) -> None:
        seen["output"] = output.detach()

    network[2].register_forward_hook(hook)
    return network


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


# Values written in place


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


# Masks, integers, unknown operations


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


# Python that looks at values, keeps count, or draws lots


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
