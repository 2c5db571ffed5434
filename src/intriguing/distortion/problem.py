"""The classifier as the solvers see it: rows of pixels in; loss, gradient and margin out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from intriguing.distortion.logit_unit import natural, power_of_two
from intriguing.distortion.once import Firsts, Repeated, copies
from intriguing.distortion.rows import WIDTH
from intriguing.measures import Box
from intriguing.models.backward import full_gradient
from intriguing.models.classifier import Classifier, Model
from intriguing.models.logit_scale import spread

# How far the logits of one image were seen to differ between batches of 1 and of 256, in units of
# eps·max|logit|: up to 7 on FC100-100-10, 3 on a softmax network; a margin is a difference of two.
_ROUNDING = 16
# Logits that are all near 0 are sums of greater values, whose rounding counts: in units.
_LEAST = 1.0

Logits: TypeAlias = Callable[[Float[Tensor, "b n"]], Float[Tensor, "b k"]]


@dataclass(frozen=True)
class Goal:
    """What counts as adversarial: taken for `classes` (targeted), or no longer taken for them.

    Margins are in units of the logits (`logit_unit`), one an image; without, as they come. `toward`
    are rows of an untargeted goal that are to be taken for their class all the same.
    """

    classes: Int64[Tensor, " b"]
    targeted: bool = True
    unit: Float[Tensor, " b"] | None = None
    toward: Bool[Tensor, " b"] | None = None

    def __getitem__(self, rows: Tensor | slice) -> "Goal":
        unit, toward = (None if each is None else each[rows] for each in (self.unit, self.toward))
        return Goal(self.classes[rows], self.targeted, unit, toward)

    def __len__(self) -> int:
        return len(self.classes)

    def margin(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
        """By how much the goal is reached: positive when adversarial, −∞ for NaN logits."""
        return self.aim(self.scaled(logits))[0].nan_to_num(nan=-torch.inf)

    def secure_margin(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
        """The margin less what rounding could take: what is positive stays so in other batches."""
        scaled = self.scaled(logits)
        return (self.aim(scaled)[0] - self.rounding_of(scaled)).nan_to_num(nan=-torch.inf)

    def aim(self, logits: Float[Tensor, "b k"]) -> tuple[Tensor, Tensor]:
        """The margin in the logits given, NaN where they are; and the best other class (b, 1)."""
        wanted = logits.gather(1, self.classes[:, None])[:, 0]
        best, other = logits.scatter(1, self.classes[:, None], -torch.inf).max(1, keepdim=True)
        return self.ahead(wanted, best[:, 0]), other

    def ahead(self, wanted: Tensor, others: Tensor) -> Tensor:
        """How far the class is ahead of the others, or behind where it is to be left; or slopes."""
        if self.targeted or self.toward is None:
            return wanted - others if self.targeted else others - wanted
        toward = self.toward.view(-1, *[1] * (others.ndim - 1))
        return torch.where(toward, wanted - others, others - wanted)

    def rounding(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
        """How much of a margin rounding could take, in its units."""
        return self.rounding_of(self.scaled(logits))

    def rounding_of(self, scaled: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
        """The same where the logits are in units already."""
        return rounding(scaled, at_least=_LEAST)

    def scaled(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Logits in units."""
        return logits if self.unit is None else logits / self.unit[:, None]

    @cached_property
    def sharpness(self) -> Float[Tensor, " b"] | float:
        """What turns units into logits as networks have them."""
        return 1.0 if self.unit is None else natural(self.unit)

    @cached_property
    def _gain(self) -> Float[Tensor, "b 1"] | float:
        return 1.0 if self.unit is None else (self.sharpness / self.unit)[:, None]

    def natural(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Logits as they are; where that is an unusual size, of a usual one."""
        return logits if self.unit is None else logits * self._gain

    def measured(
        self,
        network: "Network",
        images: Float[Tensor, "b n"],
        logits: Float[Tensor, "b k"],
        box: Box,
    ) -> "Goal":
        """The same in units of the logits of its images, by `passes_to_measure` forward passes.

        Of two classes the logits of an image near the boundary are all alike, and say nothing of
        the size of the sums that gave them, which rounding follows: those of its pixels in other
        orders do.
        """
        apart = spread(logits)
        if passes_to_measure(logits):
            for other in (images.flip(1), images.roll(images.shape[1] // 3, 1)):
                with torch.no_grad():
                    moved = spread(network.logits(box.clamp(other))).nan_to_num(0, 0, 0)
                apart = torch.maximum(apart, 4 * moved)
        return Goal(self.classes, self.targeted, power_of_two(apart))


@dataclass(frozen=True)
class Evaluation:
    """One forward and one backward pass: loss_f(z, l), its gradient, and l's secure margin."""

    loss: Float[Tensor, " b"]
    gradient: Float[Tensor, "b n"]
    margin: Float[Tensor, " b"]


class Network:
    """A model as a function from rows of pixels to logits, rounded alike whatever their number."""

    def __init__(self, model: Model, image_shape: tuple[int, ...]) -> None:
        self.classifier = Classifier.of(model)
        self.model = self.classifier.network
        self.image_shape = image_shape

    def as_given(self) -> "Network":
        """The same with the model as it is, in no faster form."""
        return Network(self.classifier.as_given(), self.image_shape)

    def logits(self, z: Float[Tensor, "b n"]) -> Float[Tensor, "b k"]:
        """Logits of rows of pixels; differentiable. The model never sees a batch of no images.

        Copies that only fill a batch up are left out where that spares it images.
        """
        sizes = self.classifier.sizes(z.new_empty(0, *self.image_shape))
        spared = copies(z) if sizes.most > 1 and sizes.least < WIDTH else 0
        if sum(sizes.of(len(z) - spared)) >= sum(sizes.of(len(z))):
            spared = 0
        rows: Tensor = Firsts.apply(z, spared) if spared else z  # type: ignore[no-untyped-call]
        out = self.classifier.each(rows.view(-1, *self.image_shape))
        if spared:
            out = Repeated.apply(out, spared)  # type: ignore[no-untyped-call]
        if torch.is_grad_enabled() and not out.requires_grad:
            out = out + 0 * z[:, :1]  # logits that never change have the gradient 0
        return out


class TargetedLoss(Network):
    """loss_f(z, l) of §4.1 for rows of pixels z and targets l: the cross-entropy of the logits."""

    def __call__(self, z: Float[Tensor, "b n"], targets: Int64[Tensor, " b"] | Goal) -> Evaluation:
        """Loss, gradient and margin at z, from one forward and one backward pass.

        Where a goal says in which unit its logits are and that is an unusual one, they are taken as
        it takes them (`Goal.natural`).
        """
        goal = targets if isinstance(targets, Goal) else Goal(targets)
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            logits = self.logits(z)
        natural = goal.natural(logits.detach())
        surprise = -functional.log_softmax(natural, 1)
        target = goal.classes[:, None]
        # ∂ℓ/∂logits, the softmax less 1 at the target: one way back, through the network alone.
        slope = torch.exp(-surprise).scatter_add_(1, target, -torch.ones_like(surprise[:, :1]))
        gradient = full_gradient(logits, z, slope=goal.natural(slope))
        margin = goal.aim(natural)[0] - rounding(natural, at_least=_LEAST * goal.sharpness)
        loss = surprise.gather(1, target)[:, 0]
        return Evaluation(loss, gradient, margin.nan_to_num(nan=-torch.inf))


def margin(logits: Float[Tensor, "b k"], targets: Int64[Tensor, " b"]) -> Float[Tensor, " b"]:
    """How far the target's logit stands above the best other one; positive when it is predicted.

    >>> margin(torch.tensor([[1.0, 3.0, 2.5]]), torch.tensor([1]))
    tensor([0.5000])
    """
    wanted = logits.gather(1, targets[:, None])
    others = logits.scatter(1, targets[:, None], -torch.inf)
    return (wanted[:, 0] - others.amax(1)).nan_to_num(nan=-torch.inf)


def passes_to_measure(logits: Float[Tensor, "b k"]) -> int:
    """Forward passes that `Goal.measured` takes beside the one that gave these logits."""
    return 2 if logits.shape[1] == 2 else 0


def rounding(
    logits: Float[Tensor, "b k"], at_least: float | Float[Tensor, " b"] = 0.0
) -> Float[Tensor, " b"]:
    """How much of a margin another batch size or run could take by rounding.

    `at_least` is the size of what was added up to give the logits, where that is known.
    """
    largest = torch.linalg.vector_norm(logits, torch.inf, dim=1)
    taken: Tensor = _ROUNDING * torch.finfo(logits.dtype).eps * largest.clamp_min(at_least)
    return taken
