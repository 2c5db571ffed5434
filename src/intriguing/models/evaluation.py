"""Whether every part of a network is in evaluation mode."""

from torch import nn

from intriguing.errors import InputError


def check_evaluation(network: nn.Module) -> None:
    """Refuse a network of which any part is in training mode, naming the part.

    A part of which torch forbids eval(), as of what torch.export gives, counts by what is in its
    graph: dropout or batch statistics that were exported in training mode.

    Raises:
        InputError: As said.
    """
    names = training_parts(network)
    if not names:
        return
    if "" in names:
        raise InputError("the model is in training mode; call model.eval() first")
    some = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    raise InputError(f"a part of the model is in training mode ({some}); call model.eval() first")


def evaluated(network: nn.Module) -> nn.Module:
    """The network after `eval()`, or as it is where torch forbids that, as of exported graphs."""
    try:
        return network.eval()
    except NotImplementedError:
        return network


def training_parts(network: nn.Module) -> list[str]:
    """Names of the modules in training mode, "" for the network itself.

    What has no forward of its own, such as the folders of a graph, is in no mode.
    """
    fixed = [name for name, module in network.named_modules() if forbids_eval(module)]
    names = []
    for name, module in network.named_modules():
        if any(name == path or name.startswith(f"{path}.") or not path for path in fixed):
            if name in fixed and (node := _trained_in(module)):
                raise InputError(
                    f"the model was exported in training mode ({node}); call eval() on the "
                    "original, then torch.export.export it again"
                )
        elif getattr(module, "training", False) and type(module) is not nn.Module:
            names.append(name)
    return names


def forbids_eval(module: nn.Module) -> bool:
    """Whether calling eval() of a module in training mode is refused, as of an exported graph."""
    if not getattr(module, "training", False) or "eval" not in vars(module):
        return False
    try:
        module.eval()
    except NotImplementedError:
        return True
    module.train()  # it was in training mode, and is left as it was found
    return False


def _trained_in(module: nn.Module) -> str:
    """The first operation of an exported graph that works as in training; "" without one."""
    graph = getattr(module, "graph", None)
    for node in getattr(graph, "nodes", ()):
        name = str(node.target)
        training = {"dropout": 2, "batch_norm": 5}.get(name.split(".")[1] if "." in name else "")
        if training is not None and len(node.args) > training and node.args[training] is True:
            return str(node.name)
    return ""
