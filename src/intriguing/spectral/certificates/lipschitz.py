"""How far a network can carry a small change: a bound for every layer, and one for the whole."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from intriguing.errors import InputError, UnsoundBound
from intriguing.graph.batch_independence import batch_mixing, check_own
from intriguing.graph.execution import fills_constants
from intriguing.graph.precision import answer, precise_graph
from intriguing.measures import Box, Progress, ProgressCallback, as_box
from intriguing.models.classifier import Classifier, unwrapped
from intriguing.spectral.certificates.feed_forward import chain_of
from intriguing.spectral.certificates.jacobian import jacobian_norm
from intriguing.spectral.certificates.layer_size import describe
from intriguing.spectral.certificates.step import Step, Walk, between, fused_map
from intriguing.spectral.certificates.walk import walk
from intriguing.spectral.norms.convolution_layer import Convolution
from intriguing.spectral.norms.equation import convolution_spectrum
from intriguing.spectral.norms.linear_map import Matrix
from intriguing.spectral.semidefinite.chain import chain_bound

_POINTS = 8
"""Images near which a network's Jacobian is taken: the largest of more is hardly larger."""
_JITTER = 1e-4
"""Noise on images, off the kinks that exact zeros sit on, and too small to be seen."""


@dataclass(frozen=True)
class LayerBound:
    """One layer: its upper Lipschitz bound L_k of §4.3, and how much of it is attained.

    Attributes:
        name: Where it is in the network; a batch norm is added to the layer it is fused with.
        kind: "convolution", "linear", "pool", "normalization", "activation", "scale", "join",
            "shape" or "other".
        size: As in Table 5: inputs × kernel × outputs, "–" where there is none.
        stride: "–" where there is none.
        upper: ‖φ(x) − φ(x + r)‖ ≤ upper·‖r‖ for all x and r; infinite if no bound is known.
        lower: Attained near some image; NaN where it was not measured.
        formula: How upper came about.
        guaranteed: Whether it is proved.
        note: What a reader needs besides.
    """

    name: str
    kind: str
    size: str
    stride: str
    upper: float
    lower: float
    formula: str
    guaranteed: bool
    note: str = ""


@dataclass(frozen=True)
class LipschitzReport:
    """What `lipschitz_report` finds.

    Attributes:
        layers: In the order of execution.
        upper: Of the whole network, from images to logits; infinite if an operation is unknown.
        lower: Attained near one of the images.
        guaranteed: Whether `upper` is proved.
        product: The bound by layers and joins alone, as in §4.3; `upper` is never above it.
        formula: How `upper` came about.
        notes: What a reader needs, unknown operations first.
    """

    layers: tuple[LayerBound, ...]
    upper: float
    lower: float
    guaranteed: bool
    product: float
    formula: str
    notes: tuple[str, ...] = ()


def lipschitz_report(
    model: nn.Module,
    input_shape: tuple[int, ...],
    *,
    data: Float[Tensor, "batch ..."] | None = None,
    domain: Box | Sequence[float | Tensor] | None = None,
    semidefinite: bool = True,
    lower: bool = True,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> LipschitzReport:
    """Upper Lipschitz bounds of every layer and of the whole network, and lower ones beside them.

    All norms are L2. The network's graph is walked from the image to the logits (§4.3 with Eq. 1
    corrected; docs/spectral.md has the proofs). What is unknown is infinite, never 1.

    Args:
        model: In evaluation mode, from images to one tensor; anything `torch.fx` or `torch.export`
            can follow.
        input_shape: Of one image, without the batch.
        data: Images near which lower bounds are taken, the first few of them; noise in the domain
            when not given.
        domain: Where images lie, as a Box or a pair of bounds. Only products of two tensors that
            both depend on the image (gates, attention) need it; their bounds then hold there.
        semidefinite: Also bound a feed-forward network as a whole, tighter than any product.
        lower: Whether to take lower bounds; they cost some passes a layer.
        seed: Draws the starts of the lower bounds.
        progress: Called layer by layer.

    Raises:
        InputError: If the model is in training mode or cannot be traced, or the shape or data do
            not fit it; if its graph is not all that it does.
        UnsoundBound: If a lower bound is above an upper one. Both are rounded to the safe side, by
            a billionth of themselves, so that no rounding can make them cross.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    >>> report = lipschitz_report(net, (1, 2, 2))
    >>> report.lower <= report.upper <= report.product, report.guaranteed
    (True, True)
    """
    domain = None if domain is None else as_box(domain)
    analysed = analyse(model, input_shape, domain, data)
    generator = torch.Generator().manual_seed(seed)
    points = _points(data, input_shape, domain, analysed.example, generator)
    steps = [s for s in analysed.walk.steps if _has_row(s)]
    rows = []
    values = [_values(analysed.walk, point) for point in points[:2]] if lower else []
    for done, step in enumerate(steps):
        attained = _attained(step, values, generator) if lower else math.nan
        _check_order(step.name, attained, step.own.upper)
        rows.append(_row(step, attained))
        if progress is not None:
            progress(Progress("layers", done + 1, len(steps), step.name))
    whole = 0.0 if lower and not analysed.walk.steps else math.nan
    for done, point in enumerate(points if lower and analysed.walk.steps else ()):
        here = jacobian_norm(
            lambda image: answer(analysed.graph, image), (point,), generator, iterations=12
        )
        whole = here if math.isnan(whole) else max(whole, here)
        if progress is not None:
            progress(Progress("gradients", done + 1, len(points)))
    upper, formula = analysed.walk.upper, "layer by layer"
    layers = chain_of(analysed.walk) if semidefinite else None
    if layers is not None and math.isfinite(upper):
        together = chain_bound(layers, progress=progress).upper
        if together < upper:
            upper, formula = together, "semidefinite-quality bound of all layers together"
    _check_order("the whole network", whole, upper)
    proved = analysed.walk.guaranteed and math.isfinite(upper) and analysed.mixing is None
    notes = _notes(analysed.walk)
    if analysed.mixing is not None:
        notes = (f"{analysed.mixing}; the bound is of one image alone", *notes)
    return LipschitzReport(tuple(rows), upper, whole, proved, analysed.walk.upper, formula, notes)


def _check_order(name: str, lower: float, upper: float) -> None:
    if lower > upper:
        raise UnsoundBound(
            f"{name}: some change becomes {lower:.6g} times as long, but the upper bound says at "
            f"most {upper:.6g}: that bound is wrong, and what rests on it is not proved; if you "
            "registered it, mend it, else please report this network"
        )


def layer_spectra(
    model: nn.Module, input_shape: tuple[int, ...]
) -> dict[str, Float[Tensor, " values"]]:
    """Singular values, largest first, of every fully connected and convolutional layer by its name.

    Those of a convolution are taken over a grid of frequencies, as if it had no border. A batch
    norm is fused with the layer before it.

    Args:
        model, input_shape: As for `lipschitz_report`.

    Raises:
        InputError: As `lipschitz_report`.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    >>> {name: len(values) for name, values in layer_spectra(net, (1, 2, 2)).items()}
    {'1': 3}
    """
    spectra = {}
    for step in analyse(model, input_shape, None).walk.steps:
        map = fused_map(step)
        if step.fused or map is None:
            continue
        if isinstance(map, Matrix):
            spectra[step.name] = torch.linalg.svdvals(map.weight).cpu()
        elif isinstance(map, Convolution):
            spectra[step.name] = convolution_spectrum(
                map.weight, stride=map.stride, dilation=map.dilation, groups=map.groups,
            ).cpu()  # fmt: skip
    return spectra


@dataclass(frozen=True)
class Analysed:
    """A network's graph in float64, the example it was run on, and the walk through it.

    `mixing` says that it mixes the images of a batch, if it does; bounds are then of single ones.
    """

    graph: fx.GraphModule
    example: Float[Tensor, "1 ..."]
    walk: Walk
    mixing: str | None = None


def analyse(
    model: nn.Module,
    input_shape: tuple[int, ...],
    domain: Box | Sequence[float | Tensor] | None,
    images: Float[Tensor, "n ..."] | None = None,
) -> Analysed:
    """Trace a network in float64, make sure that the graph is the network, and walk through it.

    Args:
        images: Some that the network is going to be asked about; others are drawn.

    Raises:
        InputError: As `lipschitz_report` says.
    """
    asked = Classifier.of(unwrapped(model))
    model = asked.network
    if not input_shape or any(int(size) < 1 for size in input_shape):
        raise InputError(
            f"input shape {input_shape}; give that of one image, such as (3, 224, 224)"
        )
    if images is not None and tuple(images.shape[1:]) != tuple(input_shape):
        raise InputError(
            f"the data are images of shape {tuple(images.shape[1:])}, not {input_shape}"
        )
    domain = None if domain is None else as_box(domain)
    example = _centre(domain, input_shape).to(asked.device)
    graph = precise_graph(model, example)
    if fills_constants(graph, example):
        graph = precise_graph(model, example, in_place=False)
    walked = walk(graph, example, domain)
    asked.begin(input_shape)
    mixing = batch_mixing(asked, graph, example, domain, images)
    if mixing is None and math.isfinite(walked.upper):
        check_own(asked, graph, example if images is None else images[:_POINTS])
    return Analysed(graph, example, walked, mixing)


def _centre(domain: Box | None, shape: tuple[int, ...]) -> Tensor:
    if domain is None:
        return torch.full((1, *shape), 0.5, dtype=torch.float64)
    low, high = (torch.as_tensor(b, dtype=torch.float64) for b in (domain.lower, domain.upper))
    return ((low + high) / 2).expand(1, *shape).clone()


def _points(
    data: Tensor | None, shape: tuple[int, ...], domain: Box | None, like: Tensor,
    generator: torch.Generator,
) -> list[Tensor]:  # fmt: skip
    """A few images, each a batch of 1, moved off the kinks that exact zeros sit on."""
    box = domain or Box(0.0, 1.0)
    if data is None or not len(data):
        noise = torch.rand((_POINTS, *shape), generator=generator, dtype=torch.float64)
        low, high = (torch.as_tensor(b, dtype=torch.float64) for b in (box.lower, box.upper))
        images = low + (high - low) * noise
    else:
        images = data[:_POINTS].detach().cpu().double()
        images = images + _JITTER * torch.randn(images.shape, generator=generator).double()
    images = images if domain is None else domain.clamp(images)
    return [image[None].to(like) for image in images]


def _values(walked: Walk, point: Tensor) -> dict[Step, Any]:
    """What every step gives for an image; nothing of those past one that cannot take it."""
    values: dict[Step, Any] = {}
    with torch.no_grad():
        for step in walked.steps:
            try:
                values[step] = (
                    point
                    if step.operation is None
                    else step.operation.again(*(values[parent] for parent in step.parents))
                )
            except (RuntimeError, LookupError, TypeError, ValueError):
                values[step] = None
    return values


def _has_row(step: Step) -> bool:
    """Whether a table has a row for it: not for what only passes values on."""
    passes_on = step.kind == "shape" and step.own.upper <= 1.0
    return step.operation is not None and not step.fused and not step.inner and not passes_on


def _attained(step: Step, values: list[dict[Step, Any]], generator: torch.Generator) -> float:
    """The largest Jacobian norm of a layer at what reaches it; of a linear one, one is enough."""
    if step.since is not None:
        origin = step.since
        norms = [
            jacobian_norm(lambda x: between(origin, step, x), [known[origin]], generator)
            for known in values
        ]
        return max(norms, default=math.nan)
    chain = [step]
    while chain[0].parents and chain[0].parents[0].fused:
        chain.insert(0, chain[0].parents[0])

    def layer(*inputs: Tensor) -> Tensor:
        assert chain[0].operation is not None
        value: Tensor = chain[0].operation.again(*inputs)
        for after in chain[1:]:
            assert after.operation is not None
            value = after.operation.again(value)
        return value

    best = math.nan
    for known in values[:1] if step.piece is not None else values:
        inputs = [known[parent] for parent in chain[0].parents]
        if any(not isinstance(x, Tensor) for x in inputs):
            return math.nan
        here = jacobian_norm(layer, inputs, generator)
        best = here if math.isnan(best) else max(best, here)
    return best


def _row(step: Step, lower: float) -> LayerBound:
    size, stride = describe(step)
    return LayerBound(
        step.name, step.kind, size, stride, step.own.upper, lower, step.own.formula,
        step.own.guaranteed and math.isfinite(step.own.upper), step.own.note,
    )  # fmt: skip


def _notes(walked: Walk) -> tuple[str, ...]:
    others = tuple(
        f"{s.name}: {s.own.note}" for s in _shown(walked) if math.isfinite(s.own.upper)
        if s.own.note
    )  # fmt: skip
    return tuple(dict.fromkeys(unknown_notes(walked) + others))


def unknown_notes(walked: Walk) -> tuple[str, ...]:
    """Why a network has no bound: a sentence for each operation that has none."""
    unknown = (s.own.note for s in _shown(walked) if math.isinf(s.own.upper))
    return tuple(dict.fromkeys(note for note in unknown if note))


def _shown(walked: Walk) -> list[Step]:
    return [step for step in walked.steps if not step.fused and not step.inner]
