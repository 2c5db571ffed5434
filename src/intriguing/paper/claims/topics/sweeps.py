"""One thing at a time: width, depth, training images, weight decay, wrong labels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from intriguing.models.initial import weight_layers
from intriguing.paper.claims.asking import (
    error,
    median_length,
    nearest,
    noisy,
    read_by_all,
    toward_random,
    wrong,
)
from intriguing.paper.claims.claim import Claim, more_than
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.results.measured import Condition, Metric
from intriguing.results.verdicts import Source

_TENTH = 1.1
"""A tenth more: less is no difference that a reader would act on."""
_DECAYS = (0.0, 1e-4, 1e-3, 1e-2)
"""From none to as much as costs accuracy."""
_WRONG = (0, 20, 40)
"""Percent of the labels that are drawn anew."""
_JACOBIANS = 20
"""Images at which a gain is reached."""
_TWICE = 2.0
"""Lengths of transferred examples over the least: at the least few transfer."""


@dataclass(frozen=True)
class Sweeps(Topic):
    """Distances, errors and transfer along five axes."""

    name: ClassVar[str] = "sweeps"
    question: ClassVar[str] = "What makes examples nearer or farther?"
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim(
            "tiny-farther", Source.READERS, "a reader's note",
            "Tiny networks have fewer blind spots.",
            "Examples of the narrowest network are farther, by a tenth at least.",
            "median distance of the narrowest over that of the widest network of one hidden layer",
            "ratio", more_than(_TENTH), "widths at equal test error, which cannot be had here",
            "The narrowest errs more: distances are of images that the network itself reads, the "
            "easy ones.", across="hidden units",
        ),
        Claim(
            "tiny-transfer", Source.READERS, "a reader's note",
            "Tiny networks have fewer blind spots.",
            "Fewer of their examples fool a network that differs in the seed, by five points.",
            "net transfer between two of the widest less that between two of the narrowest, at "
            "twice the length, in points", "% more", more_than(5.0), "other lengths",
            "Noise that is as long is taken off.",
        ),
        Claim(
            "deep-nearer", Source.READERS, "a reader's note",
            "Deeper networks are more confused.",
            "By distance: examples of the deepest network are nearer, by a tenth at least.",
            "median distance with one hidden layer over that with the most", "ratio",
            more_than(_TENTH), "residual networks, or another width", "ReLU, 100 units a layer, "
            "every depth trained alike.", across="hidden layers",
        ),
        Claim(
            "deep-gain", Source.READERS, "a reader's note",
            "Deeper networks are more confused.",
            "By gain: the deepest network carries a small change farther, twice at least.",
            "largest singular value of Jacobians at test images, deepest over one layer", "ratio",
            more_than(2.0), "normalisation, which these have none of",
            "The scale of logits grows with depth; distances, not gains, are what fools.",
            across="hidden layers",
        ),
        Claim(
            "deep-bound", Source.PAPER, "§4.3",
            "Instability grows with the layers: bounds multiply.",
            "The product of the layers' bounds grows faster with depth than what is reached.",
            "growth of the product over the growth of the gain reached, from one layer to the most",
            "ratio", more_than(2.0), "bounds of the whole network, which are tighter than products",
            "Bounds are exact spectral norms of the matrices; ReLU does not lengthen.",
            across="hidden layers",
        ),
        Claim(
            "more-images-farther", Source.READERS, "a reader's note",
            "More training images help.",
            "By distance: examples are farther after training on all images than on the fewest, by "
            "a tenth at least.",
            "median distance after all images over that after the fewest", "ratio",
            more_than(_TENTH), "still more images", "As many steps for every size; images that "
            "both networks read.", across="training images",
        ),
        Claim(
            "more-images-transfer", Source.READERS, "a reader's note",
            "More training images help.",
            "By transfer: fewer examples fool a network of another seed, by five points.",
            "net transfer between two networks of the fewest images less that between two of all, "
            "at twice the length, in points", "% more", more_than(5.0), "disjoint sets of images",
            "Both of a pair learn from the same images.",
        ),
        Claim(
            "decay-strongest", Source.SUCCESSORS, "Galloway et al. 2018",
            "Weight decay removes the strongest adversarial examples.",
            "The nearest tenth of examples is farther with decay, by a half at least.",
            "first decile of distances with the decay of the least test error above 10⁻⁴ over "
            "that with none", "ratio", more_than(1.5), "decay of the first layer alone",
            "Both on images that both read.", across="λ",
        ),
        Claim(
            "label-noise", Source.SUCCESSORS, "Sanyal et al. 2021",
            "Training on wrong labels brings adversarial examples nearer.",
            "With 20 % of the labels drawn anew they are nearer, by a tenth at least.",
            "median distance without over that with noise", "ratio", more_than(_TENTH),
            "networks that do not fit the wrong labels", "Both on images that both read.",
            across="labels drawn anew, %",
        ),
    )  # fmt: skip

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        few, many = min(scale.sizes), max(scale.sizes)
        least, most = min(scale.widths), max(scale.widths)
        return {
            **{f"width {w}": Wanted(f"mlp{w}-10") for w in scale.widths},
            f"again width {least}": Wanted(f"mlp{least}-10", number=1),
            f"again width {most}": Wanted(f"mlp{most}-10", number=1),
            **{f"depth {d}": Wanted(_of_depth(d)) for d in scale.depths},
            **{f"images {n}": Wanted("mlp100-100-10", part=f"first {n}") for n in scale.sizes},
            f"again images {few}": Wanted("mlp100-100-10", part=f"first {few}", number=1),
            f"again images {many}": Wanted("mlp100-100-10", part=f"first {many}", number=1),
            **{f"decay {one:g}": Wanted("mlp100-100-10", decay=one) for one in _DECAYS},
            **{f"wrong {p}": Wanted("mlp100-100-10", part=f"noisy {p}") for p in _WRONG},
        }

    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        lengths: dict[str, float] = {}
        errors = {role: error(model, self.test) for role, model in models.items()}
        for role, value in errors.items():
            found.add(Metric.ERROR, "%", value, network=role, condition=Condition.CLEAN)
        axes: dict[str, tuple[str, Sequence[float]]] = {
            "width": ("tiny-farther", self.scale.widths),
            "depth": ("deep-nearer", self.scale.depths),
            "images": ("more-images-farther", self.scale.sizes),
            "decay": ("decay-strongest", _DECAYS),
            "wrong": ("label-noise", _WRONG),
        }
        for axis, (claim, places) in axes.items():
            roles = {place: f"{axis} {place:g}" for place in places}
            # Of the width each network has its own images: the narrowest reads few of the others'.
            shared = {models[role] for role in roles.values()}
            for place, role in roles.items():
                asked = [models[role]] if axis == "width" else shared
                some = read_by_all(asked, self.test, self.scale.attacked)
                away = nearest(models[role], some, self.scale)
                lengths[role] = median_length(away)
                if axis == "decay":
                    lengths[f"least {role}"] = float(away.l2.quantile(0.1))
                found.point(claim, Metric.MEDIAN_L2, "l2", lengths[role], size=float(place))
                found.point(claim, Metric.ERROR, "%", errors[role], size=float(place))
        first, last = (f(self.scale.widths) for f in (min, max))
        found.effect("tiny-farther", lengths[f"width {first}"] / lengths[f"width {last}"])
        narrow, wide = (self._net(models, f"width {w}", found) for w in (first, last))
        found.effect("tiny-transfer", wide - narrow)
        flat, deep = (f(self.scale.depths) for f in (min, max))
        found.effect("deep-nearer", lengths[f"depth {flat}"] / lengths[f"depth {deep}"])
        self._gains(models, found)
        few, many = (f(self.scale.sizes) for f in (min, max))
        found.effect("more-images-farther", lengths[f"images {many}"] / lengths[f"images {few}"])
        some_net, all_net = (self._net(models, f"images {n}", found) for n in (few, many))
        found.effect("more-images-transfer", some_net - all_net)
        best = min(_DECAYS[2:], key=lambda one: errors[f"decay {one:g}"])
        found.effect("decay-strongest", lengths[f"least decay {best:g}"] / lengths["least decay 0"])
        found.effect("label-noise", lengths["wrong 0"] / lengths["wrong 20"])

    def _net(self, models: Mapping[str, nn.Module], role: str, found: Record) -> float:
        """Examples of a network shown to another of its kind, less noise, in points of error."""
        own, other = models[role], models[f"again {role}"]
        some = read_by_all([own, other], self.test, self.scale.attacked)
        made = toward_random(own, some, self.scale, self.generator(f"targets {role}"))
        images, labels = some.images[made.success], some.labels[made.success]
        r = _TWICE * (made.adversarial[made.success] - images)
        noise = noisy(images, _TWICE * made.l2[made.success], self.generator(f"noise {role}"))
        fooled, luck = wrong(other, images + r, labels), wrong(other, noise, labels)
        for condition, which in ((Condition.AMPLIFIED, fooled), (Condition.NOISE, luck)):
            found.share(Metric.ERROR, int(which.sum()), len(which), network=f"again {role}",
                        made_for=role, condition=condition)  # fmt: skip
        return 100 * float(fooled.float().mean() - luck.float().mean())

    def _gains(self, models: Mapping[str, nn.Module], found: Record) -> None:
        """What a small change becomes, reached and bounded."""
        reached, product = {}, {}
        some = self.test.first(_JACOBIANS).images
        for depth in self.scale.depths:
            model = models[f"depth {depth}"]
            reached[depth] = float(_jacobian_norms(model, some).max())
            weights = [layer.weight.detach() for layer in weight_layers(model)]
            norms = [float(torch.linalg.matrix_norm(weight, 2)) for weight in weights]
            product[depth] = math.prod(norms)
            at = float(depth)
            found.point("deep-gain", Metric.LOWER_BOUND, "norm", reached[depth], size=at)
            found.point("deep-bound", Metric.UPPER_BOUND, "norm", product[depth], size=at)
            found.point("deep-bound", Metric.LOWER_BOUND, "norm", reached[depth], size=at)
        flat, deep = min(reached), max(reached)
        found.effect("deep-gain", reached[deep] / reached[flat])
        found.effect("deep-bound", product[deep] / product[flat] / (reached[deep] / reached[flat]))


def _of_depth(layers: int) -> str:
    return "mlp" + "-".join(["100"] * layers + ["10"])


@torch.no_grad()
def _jacobian_norms(model: nn.Module, images: Tensor) -> Tensor:
    """The largest singular value of the Jacobian at each image."""
    jacobians = vmap(jacrev(lambda x: model(x[None])[0]))(images)
    norms: Tensor = torch.linalg.matrix_norm(jacobians.flatten(2), 2)
    return norms
