"""The part of a network above a place: from activations there to logits, weights shared."""

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from intriguing.errors import InputError
from intriguing.graph.tracing import symbolic_graph
from intriguing.hardening.places import IMAGES, Range, range_of
from intriguing.models.classifier import Classifier
from intriguing.models.interpreted import Interpreted
from intriguing.units.activations import INPUT, activations


def network_above(
    model: nn.Module, place: str, images: Float[Tensor, "image ..."]
) -> tuple[nn.Module, Range]:
    """What `model` makes of activations at `place`, and the range that these lie in.

    The network is traced and all below the place left out. Where that fails, the whole of it is
    run on a blank image, and the activations put in on the way: dearer, with the same result.

    Args:
        model: In evaluation mode, or in training mode for a network to train.
        place: From `find_place`.
        images: A few, to make sure that the part gives what the whole does.

    Raises:
        InputError: If more than this place's output reaches the logits: a shortcut passes it by.

    >>> net = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2)).eval()
    >>> above, limits = network_above(net, "2:input", torch.rand(5, 4))
    >>> above(torch.zeros(1, 3)).shape, limits.in_words
    (torch.Size([1, 2]), 'sigmoid lies in [0, 1]')
    """
    if place == IMAGES:
        return model, Range(source="")
    mode = model.training
    try:
        part, limits = _traced(model, place)
    except Exception:  # what a tracer cannot follow raises anything
        part, limits = None, Range()
    if part is not None and not _agrees(model, part, place, images):
        part, limits = None, Range()
    if part is None:
        part = _Replaced(model, place, torch.zeros_like(images[:1]))
        if not _agrees(model, part, place, images):
            raise InputError(
                f"more than the output of {place!r} reaches the logits, by a shortcut past it; "
                "choose a layer that everything passes through, such as the end of a block"
            )
    model.train(mode)
    part.training = mode
    return part, limits


def _traced(model: nn.Module, place: str) -> tuple[nn.Module | None, Range]:
    """The graph from the place on; None where the images are needed besides."""
    module = model.get_submodule(place.removesuffix(INPUT))
    part, tracer = symbolic_graph(model, module)
    graph, path = part.graph, tracer.path_of_module(module)
    value = tracer.taken[path] if place.endswith(INPUT) else tracer.given[path]
    limits = range_of(value, dict(model.named_modules()))
    (image, *_) = (node for node in graph.nodes if node.op == "placeholder")
    with graph.inserting_before(image):
        phi = graph.placeholder("phi")
    value.replace_all_uses_with(phi)
    (output,) = (node for node in graph.nodes if node.op == "output")
    needed = {phi, *_ancestors(output)}
    if any(node.op == "placeholder" and node is not phi for node in needed):
        return None, Range()
    for node in reversed(graph.nodes):
        if node not in needed:
            graph.erase_node(node)
    return Interpreted(model, graph), limits


def _ancestors(node: fx.Node) -> set[fx.Node]:
    """A node and all that it is computed from."""
    found, waiting = {node}, [node]
    while waiting:
        new = set(waiting.pop().all_input_nodes) - found
        found |= new
        waiting += new
    return found


class _Replaced(nn.Module):
    """The whole network on a blank image, with a layer's values put in on the way."""

    def __init__(self, model: nn.Module, place: str, blank: Tensor) -> None:
        super().__init__()
        self.whole = (model,)  # in a tuple: not a module of this one
        self.place, self.blank = place, blank

    def forward(self, phi: Tensor) -> Tensor:
        (model,) = self.whole
        module = model.get_submodule(self.place.removesuffix(INPUT))
        if self.place.endswith(INPUT):
            handle = module.register_forward_pre_hook(lambda _, given: (phi, *given[1:]))
        else:
            handle = module.register_forward_hook(lambda *_: phi)
        try:
            logits: Tensor = model(self.blank.to(phi).expand(len(phi), *self.blank.shape[1:]))
        finally:
            handle.remove()
        return logits


@torch.no_grad()
def _agrees(model: nn.Module, part: nn.Module, place: str, images: Tensor) -> bool:
    """Whether activations made of images give the logits of the images."""
    model.eval()
    asked = Classifier(model)
    probes = asked.fit(images[:8])
    whole = asked.answer(probes)
    (values,) = activations(model, place, probes, batch_size=16)
    try:
        ours = part(values[place])
    except Exception:  # of a part that was cut out wrongly, or of the network itself
        return False
    # Other batches and kernels round otherwise; a part that was cut wrongly differs in all digits.
    return bool(torch.allclose(ours, whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max())))
