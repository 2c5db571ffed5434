"""Networks whose hooks change, read or count what passes."""

import torch
from torch import Tensor, nn

from tests.oracles.tricky.kinds import CLASSES, plain, tricky


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
