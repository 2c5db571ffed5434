"""Blind spots in weight space: the smallest change of the weights that changes an answer."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from intriguing.models.initial import weight_layers
from intriguing.paper.claims.asking import error, median_length, nearest, read_by_all, wrong
from intriguing.paper.claims.claim import Claim, less_than, more_than
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.results.measured import Condition, Metric
from intriguing.results.verdicts import Source

_BITS = (8, 6, 4, 3)
"""To which weights are rounded."""
_ROUNDS = 30
"""Linearised steps; most images need three to six."""
_OVER = 1.02
"""Of each step over what the linear model asks, so that it arrives (DeepFool's overshoot)."""
_MOST = 30
"""Images whose weights are searched, each with a copy of them all."""


@dataclass(frozen=True)
class Weights(Topic):
    """D(x, l) of weights, and what rounding them does."""

    name: ClassVar[str] = "weights"
    question: ClassVar[str] = "Do blind spots lie in the weights?"
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim(
            "weights-nearer", Source.READERS, "a reader's note",
            "Blind spots lie in the weights.",
            "A smaller relative change of the weights than of the pixels changes an answer.",
            "median ‖r‖/‖x‖ over median ‖ΔW‖/‖W‖, the smallest that were found", "ratio",
            more_than(1.0), "weights of another scale: ReLU networks have many for one function",
            "Both are upper bounds of the least; the pixels' search is the better one, which "
            "works against the claim.", across="layer that may change",
        ),
        Claim(
            "weights-first", Source.READERS, "a reader's note",
            "Blind spots lie in the weights: combinations left unseen.",
            "The last layer is more fragile than the first: a smaller change of it is enough.",
            "median ‖ΔW‖/‖W‖ of the first layer alone over that of the last alone", "ratio",
            more_than(1.0), "deeper networks", "Biases stay as they are.",
        ),
        Claim(
            "weights-discrete", Source.READERS, "a reader's note",
            "The weights' discreteness matters.",
            "Rounding weights to 4 bits moves the nearest examples by a tenth at least.",
            "median over images of the relative difference of the two distances, in percent",
            "% more", more_than(10.0), "fewer bits: at 3 the network itself errs",
            "Uniform levels a layer, symmetric, no retraining.", across="bits a weight",
        ),
        Claim(
            "weights-rounded", Source.READERS, "a reader's note",
            "Coarser weights have other blind spots.",
            "Most examples do not fool the network with weights rounded to 8 bits.",
            "share of examples, made a tenth longer, that fool the rounded network", "%",
            less_than(50.0), "fewer bits", "A tenth longer than the least, so that rounding the "
            "image is no reason.", across="bits a weight",
        ),
    )  # fmt: skip

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        return {"base": Wanted("fc100-100-10")}

    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        model = models["base"]
        some = read_by_all([model], self.test, min(_MOST, self.scale.attacked))
        made = nearest(model, some, self.scale)
        pixels = float((made.l2 / some.images.flatten(1).norm(dim=1)).median())
        layers = [name for name, _ in model.named_parameters() if name.endswith("weight")]
        relative = {}
        for place, names in enumerate([layers, *([name] for name in layers)]):
            lengths = least_weight_change(model, some.images, some.labels, names)
            norm = sum(float(model.get_parameter(n).detach().square().sum()) for n in names) ** 0.5
            relative[place] = float((lengths / norm).median())
            found.point("weights-nearer", Metric.MEDIAN_L2, "ratio", relative[place],
                        size=float(place))  # fmt: skip
        found.add(Metric.MEDIAN_L2, "ratio", pixels, images="relative to the image")
        found.effect("weights-nearer", pixels / relative[0])
        found.effect("weights-first", relative[1] / relative[len(layers)])
        self._rounded(model, found)

    def _rounded(self, model: nn.Module, found: Record) -> None:
        some = read_by_all([model], self.test, self.scale.attacked)
        made = nearest(model, some, self.scale)
        longer = some.images + 1.1 * (made.adversarial - some.images)
        for bits in _BITS:
            coarse = rounded(model, bits)
            away = nearest(coarse, some, self.scale)
            moved = 100 * ((away.l2 - made.l2).abs() / made.l2).median()
            fooled = wrong(coarse, longer, some.labels)
            at = float(bits)
            found.point("weights-discrete", Metric.RELATIVE_DIFFERENCE, "% more", float(moved),
                        size=at)  # fmt: skip
            found.point("weights-rounded", Metric.FOOLED, "%", 100 * float(fooled.float().mean()),
                        size=at)  # fmt: skip
            found.add(Metric.ERROR, "%", error(coarse, self.test), setting=f"{bits} bits",
                      condition=Condition.CLEAN)  # fmt: skip
            found.add(Metric.MEDIAN_L2, "l2", median_length(away), setting=f"{bits} bits")
            if bits == 4:
                found.effect("weights-discrete", float(moved))
            if bits == 8:
                found.share_effect("weights-rounded", int(fooled.sum()), len(fooled))


def rounded(model: nn.Module, bits: int) -> nn.Module:
    """A copy whose weights take 2^bits − 1 values a layer, evenly spaced around 0."""
    coarse = copy.deepcopy(model)
    with torch.no_grad():
        for layer in weight_layers(coarse):
            step = layer.weight.abs().max() / (2 ** (bits - 1) - 1)
            layer.weight.copy_((layer.weight / step).round() * step)
    return coarse


def least_weight_change(
    model: nn.Module, images: Tensor, labels: Tensor, names: list[str]
) -> Float[Tensor, " image"]:
    """‖ΔW‖ of a change of these parameters that makes each image misread, as small as steps find.

    DeepFool (Moosavi-Dezfooli et al. 2016) in the weights: each step goes to where the linearised
    margin to the nearest other class is 0. Infinite where the answer stays what it is.
    """
    fixed = {n: p.detach() for n, p in model.named_parameters() if n not in names}
    start = {n: model.get_parameter(n).detach() for n in names}

    def margin(weights: dict[str, Tensor], image: Tensor, label: Tensor, other: Tensor) -> Tensor:
        logits = functional_call(model, {**fixed, **weights}, (image[None],))[0]
        ahead: Tensor = logits.gather(0, other[None])[0] - logits.gather(0, label[None])[0]
        return ahead

    slopes = vmap(grad_and_value(margin), in_dims=(0, 0, 0, 0))
    least = torch.full((len(images),), torch.inf)
    with torch.no_grad():
        order = model(images).argsort(1, descending=True)
    # Of the likeliest wrong classes one is nearly always the nearest.
    for rank in range(1, min(4, order.shape[1])):
        other = order[:, rank]
        moved = {n: w.expand(len(images), *w.shape).clone() for n, w in start.items()}
        for _ in range(_ROUNDS):
            slope, value = slopes(moved, images, labels, other)
            squares = sum(s.flatten(1).square().sum(1) for s in slope.values())
            length = torch.stack(
                [(moved[n] - start[n]).flatten(1).square().sum(1) for n in names]
            ).sum(0)
            done = value > 0
            least = torch.where(done, torch.minimum(least, length.sqrt()), least)
            if bool(done.all()):
                break
            step = torch.where(done, 0.0, (_OVER * -value + 1e-6) / (squares + 1e-20))
            for n in names:
                moved[n] = moved[n] + step.view(-1, *[1] * start[n].ndim) * slope[n]
    return least
