"""Whether a network answers every image alone, whatever stands beside it in the batch.

A certificate is about one image, and its bound about a batch of one. A network that lets the images
of a batch act on each other has no answer to one image. It is found out by what acts: each
operation of the graph is run on two batches that share their first image only; and by the answers:
alone and in company, and by the gradient of one image's logits for the other images, which is 0.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from intriguing.errors import InputError
from intriguing.graph.precision import answer, arithmetic
from intriguing.graph.tracing import MIXED, agree, first_line
from intriguing.measures import Box
from intriguing.models.backward import gradient
from intriguing.models.classifier import Classifier, device_of

_BATCH = 5
"""Images of a batch that is tried: odd, so that the others are no mirror of each other."""
_TOGETHER = 64
"""Images whose exact logits are computed at a time, for memory's sake."""
_SEED = 5
"""Of the noise, the same in every run."""
_WIDE = 4.0
"""Standard deviation of images far from the domain, among which some of the batches are."""
_ALIKE = 4.0
"""What rounding does in company, in what it does alone."""
ROUNDED = (
    "rounding takes more than half of the digits of the network's logits, so that they depend on "
    "the images beside it: they are small differences of large sums; give it in float64 (.double())"
)


def batch_mixing(
    asked: Classifier, graph: fx.GraphModule, example: Tensor, domain: Box | None,
    images: Tensor | None = None,
) -> str | None:  # fmt: skip
    """That a network mixes the images of a batch, in a sentence; None if it does not.

    Args:
        asked: The network itself.
        graph: Of it, in float64.
        example: A batch of one.
        domain: Where images lie.
        images: Some that it is going to be asked about.

    Raises:
        InputError: If the network takes no batch.
    """
    for batch in _batches(example, domain, images):
        where = _mixing(graph, batch)
        together, alone = _answers(asked, asked.fit(batch))
        apart = not agree(together, alone, asked.eps)
        if where is not None or _pulls(asked, asked.fit(batch)):
            at = f" at {where}" if where else ""
            return f"the network mixes the images of a batch{at}, {MIXED}"
        if apart and _by_rounding(graph, batch, together, alone):
            return ROUNDED
        if apart:
            return f"the network mixes the images of a batch, {MIXED}"
    return None


@torch.no_grad()
def _answers(asked: Classifier, batch: Tensor) -> tuple[Tensor, Tensor]:
    """The network's answers to a batch, and to its images one by one."""
    alone = torch.cat([asked.answer(image[None]) for image in batch])
    try:
        return asked.answer(batch), alone
    except InputError as error:
        raise InputError(
            f"the network takes one image but not {len(batch)} at once ({first_line(error)}); give "
            "one that takes any number"
        ) from error


@torch.no_grad()
def check_own(asked: Classifier, graph: fx.GraphModule, images: Tensor) -> None:
    """Refuse a network whose own arithmetic gives other logits than its graph in float64.

    Raises:
        InputError: As said.
    """
    check_logits(asked.answer(asked.fit(images)), graph, images, asked.eps)


@torch.no_grad()
def check_logits(
    logits: Float[Tensor, "n ..."], graph: fx.GraphModule, images: Float[Tensor, "n ..."],
    eps: float,
) -> None:  # fmt: skip
    """Refuse logits that are not those of the graph, to half the digits that they have.

    Args:
        logits: By the network's own arithmetic.
        graph: In float64.
        images: Whose logits they are.
        eps: The last digit of 1 in that arithmetic.

    Raises:
        InputError: As said.
    """
    exact = exact_logits(graph, images).to(logits.device)
    known = logits.isfinite()
    apart = torch.where(known, logits.double() - exact, 0.0).abs().flatten(1).amax(1)
    scale = float(exact[known].abs().amax()) if known.any() else 0.0
    allowed = math.sqrt(eps) * scale
    if bool((apart > allowed).any() | apart.isnan().any()):
        worst = int(apart.nan_to_num(nan=torch.inf).argmax())
        raise InputError(
            f"the network's graph gives other logits than the network: of image {worst} "
            f"{_some(exact[worst])} against {_some(logits[worst])}; nothing can be proved of it by "
            "its graph"
        )


@torch.no_grad()
def exact_logits(graph: fx.GraphModule, images: Float[Tensor, "n ..."]) -> Tensor:
    """The graph's answers; image by image where it is for one image only, as of torch.export."""
    images = images.detach().to(device_of(graph), torch.float64)

    def answers(size: int) -> Tensor:
        parts = (images[start : start + size].clone() for start in range(0, len(images), size))
        return torch.cat([answer(graph, part) for part in parts])

    try:
        return answers(_TOGETHER)
    except Exception:
        return answers(1)


def _by_rounding(graph: fx.GraphModule, batch: Tensor, together: Tensor, alone: Tensor) -> bool:
    """Whether answers alone are as far from those in float64 as they are from those together."""
    exact = exact_logits(graph, batch).to(alone.device)
    if exact.shape != alone.shape or not bool((alone.isfinite() & together.isfinite()).all()):
        return False
    off = float((alone.double() - exact).abs().amax())
    return float((together.double() - alone.double()).abs().amax()) <= _ALIKE * off


def _some(logits: Tensor) -> str:
    return f"({', '.join(f'{value:.4g}' for value in logits.flatten()[:3].tolist())}, …)"


def _pulls(asked: Classifier, batch: Tensor) -> bool:
    """Whether the first image's logits have a gradient for another image."""
    with torch.enable_grad():
        point = batch.clone().requires_grad_()
        try:
            logits = asked.answer(1.0 * point)[0]
            weights = torch.linspace(1.0, 2.0, logits.numel()).to(logits)
            slope = gradient((logits.flatten() * weights).sum(), point)
        except (RuntimeError, InputError):  # no gradient at all, or none past an operation
            return False
    return slope is not None and bool((slope[1:].nan_to_num() != 0).any())


def _mixing(graph: fx.GraphModule, batch: Tensor) -> str | None:
    """The first operation whose values for one image change with the others; None if none does."""
    # In the same order in memory: convolutions sum pixels that lie otherwise in another order.
    other = batch.clone()
    other[1:] = batch[1:].flip(0) * 0.5 + 0.25 * batch[:1]
    try:
        first, second = dict(_values(graph, batch)), dict(_values(graph, other))
    except Exception:  # a graph of torch.export may be for one image only
        return None
    for node in _needed(graph):
        for mine, theirs in zip(first.get(node, ()), second.get(node, ()), strict=False):
            if mine.shape == theirs.shape and mine.numel():
                same = int(((mine == theirs) | ((mine != mine) & (theirs != theirs))).sum())
                if same * len(batch) < mine.numel():
                    return str(node.target if node.op == "call_module" else node.name)
    return None


def _values(graph: fx.GraphModule, batch: Tensor) -> Iterator[tuple[fx.Node, list[Tensor]]]:
    found: list[tuple[fx.Node, list[Tensor]]] = []

    class Kept(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            tensors = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
            found.append((n, [tensor.clone() for tensor in tensors]))
            return value

    with torch.no_grad(), arithmetic(graph):
        Kept(graph).run(batch.clone())
    yield from found


def _needed(graph: fx.GraphModule) -> list[fx.Node]:
    """What the answer depends on, in the order of execution."""
    needed: set[fx.Node] = set()
    for node in reversed(graph.graph.nodes):
        if node.op == "output" or node in needed:
            needed |= {node, *node.all_input_nodes}
    return [node for node in graph.graph.nodes if node in needed and node.op != "output"]


def _batches(example: Tensor, domain: Box | None, images: Tensor | None) -> Iterator[Tensor]:
    """Images given, noise in the domain, and, where there is none, noise all over space."""
    generator = torch.Generator().manual_seed(_SEED)
    shape = (_BATCH, *example.shape[1:])
    box = domain or Box(0.0, 1.0)
    low, high = (torch.as_tensor(b, dtype=torch.float64) for b in (box.lower, box.upper))
    noise = torch.rand(shape, generator=generator, dtype=torch.float64)
    yield (low.cpu() + (high - low).cpu() * noise).to(example)
    if images is not None and len(images) > 1:
        yield images[:_BATCH].detach().to(example)
    if domain is None:
        wide = torch.randn(shape, generator=generator, dtype=torch.float64)
        yield (_WIDE * wide).to(example)
