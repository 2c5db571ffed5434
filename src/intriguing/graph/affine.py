"""Whether a network is affine: its graph must show it, operation by operation.

What cannot be traced, or is not known to be affine, is not. Almost every network that is not shows
it at three images already, of which one is the mean of the others, and is not traced at all.
"""

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from intriguing.errors import InputError
from intriguing.graph.execution import execute
from intriguing.graph.precision import in_autocast, precise_graph
from intriguing.graph.table import rule_of
from intriguing.models.classifier import Classifier

_FAR = 4.0
"""Standard deviation of the images tried: wide enough to meet the kinks of most networks."""
_ROUNDED = 1e-2
"""Share of the largest logit by which an affine network may miss its mean: float32 misses 1e-6."""


def is_affine(model: nn.Module, input_shape: tuple[int, ...]) -> bool:
    """Whether the graph of the model shows that its logits are affine in its input.

    Args:
        model: In evaluation mode.
        input_shape: Of one image.

    >>> is_affine(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval(), (1, 2, 2))
    True
    >>> is_affine(nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU()).eval(), (1, 2, 2))
    False
    """
    asked = Classifier(model)
    example = torch.full((1, *input_shape), 0.5, dtype=torch.float64, device=asked.device)
    try:
        asked.begin(input_shape)
        if asked.coarse or in_autocast(model, asked.fit(example)):
            return False  # 16 bits round what they compute, and no rounded function is affine
        if not _keeps_means(asked, example):
            return False
        graph = precise_graph(model, example)
        shown = shows_affine(graph, example)
        if shown is None:
            shown = shows_affine(precise_graph(model, example, in_place=False), example)
    except InputError:
        return False
    return bool(shown)


@torch.no_grad()
def _keeps_means(asked: Classifier, example: Tensor) -> bool:
    generator = torch.Generator().manual_seed(0)
    ends = _FAR * torch.randn((2, *example.shape[1:]), generator=generator, dtype=torch.float64)
    images = torch.cat([ends, ends.mean(0, keepdim=True)]).to(example.device)
    first, second, middle = (asked(asked.fit(image[None])).double() for image in images)
    apart = ((first + second) / 2 - middle).abs().max()
    return bool(apart <= _ROUNDED * torch.stack([first, second]).abs().max())


def shows_affine(graph: fx.GraphModule, example: Tensor) -> bool | None:
    """Whether every operation on the way from the example to the answer is affine.

    Args:
        graph: From `precise_graph`.
        example: A batch of one image.

    Returns:
        None where values are written in place, so that the graph does not tell.
    """
    affine: set[fx.Node] = set()
    for done in execute(graph, example):
        if done.changed or done.filled:
            return None
        operation, before = done.operation, all(source in affine for source in done.sources)
        if operation is None or (before and rule_of(operation).is_affine(operation)):
            affine.add(done.node)
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    given = [n for n in pytree.tree_leaves(output.args[0]) if isinstance(n, fx.Node)]
    return len(given) == 1 and given[0] in affine
