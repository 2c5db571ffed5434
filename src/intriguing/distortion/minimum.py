"""D(x, l): the one entry to the minimum distortion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.data.checks import check_images, check_labels
from intriguing.distortion.attack import WITHOUT_GRADIENTS
from intriguing.distortion.incumbent import BUDGETS
from intriguing.distortion.inputs import check_numbers
from intriguing.distortion.methods import METHODS, Config
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.result import Distortions, Found, Status
from intriguing.distortion.rows import alone, filled, width_of
from intriguing.distortion.search import Search, search_with
from intriguing.distortion.targets import Targets, check_targets, choose_targets
from intriguing.distortion.verify import Verified, verify
from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, Box, Progress, ProgressCallback, as_box, distortion, l2
from intriguing.models.batching import halving, plan_batch
from intriguing.models.classifier import Classifier
from intriguing.models.requirements import check_classifier, check_gradients

__all__ = ["METHODS", "minimum_distortion"]


def minimum_distortion(
    model: nn.Module,
    images: Float[Tensor, "image ..."],
    labels: Int64[Tensor, " image"],
    targets: Targets | Int64[Tensor, " image"] = "random",
    method: str | Search = "closest",
    *,
    box: Box | Sequence[float | Tensor] = UNIT_BOX,
    levels: int | None = None,
    budget: int | None = None,
    config: Config | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
) -> Distortions:
    """Approximate D(x, l), the closest image to x that the model takes for l, for every image.

    Minimise ‖r‖₂ subject to f(x + r) = l and x + r in the box (§4.1), by `method`:

    * "closest": the shortest r that is known how to find, and a statement of how good it is;
    * "paper": box-constrained L-BFGS on c·‖r‖² + loss_f(x + r, l), searching the largest c (§4.1);
    * "ddn", "pdgd", "fmn", "cw", "alma", "apgd", "superdeepfool", "square", "deepfool", "noise":
      others to compare with, each described in the file of its name in `distortion/attacks`.

    Args:
        model: any module from images to logits, in eval mode, on any device. Its search is in
            float32, also where the network computes in 16 bits (float64 where it does); an answer
            is classified as the network in its own precision classifies it.
        images: pixels inside `box`, shape (images, ...), in any floating-point type.
        labels: the true classes, shape (images,).
        targets: "random" (a wrong class drawn by `seed`; what reproduces the paper), "runner-up"
            (the likeliest wrong class), "untargeted" (any wrong class), "all" (every wrong class
            by itself, keeping the closest), or a class an image. Untargeted there is nothing to do
            where the model is wrong already.
        method: how; see above. Or a `Search`, which says budget, levels, seed, batch_size and
            config as well.
        box: (lower, upper) limits of every pixel; tensors shaped as one image for limits a pixel.
        levels: with 256, the answer is an 8-bit image: it survives being saved as a PNG.
        budget: passes an image allowed, a pass being half a forward and a backward one; None takes
            the method's own. With "closest" a larger budget never gives a larger distortion.
        config: more settings of the method: `PaperConfig` or `ClosestConfig`.
        seed: draws the random targets, and what "square" and "noise" draw.
        batch_size: images under way at once; the result does not depend on it. None takes as many
            as a probe of the model says will fit. Where memory runs out all the same, half as many
            are tried, and so on.
        progress: called with the number of finished images.

    Returns:
        `Distortions`. A failure is a status of its image, never an exception.

    Raises:
        InputError: before any work, for images outside the box or not finite, wrong shapes or
            dtypes, labels or targets out of range, targets equal to labels, settings that do not
            fit the method, a model in training mode or one that gives probabilities.
    """
    box = as_box(box)
    untargeted = isinstance(targets, str) and targets == "untargeted"
    search = Search.of(
        method, budget=budget, levels=levels, seed=seed, batch_size=batch_size, config=config
    )
    search.check_goal(untargeted=untargeted)
    check_numbers(search.levels, search.batch_size, box)
    check_images(images, box)
    if not len(images):
        raise InputError("there are no images; give at least one")
    asked = Classifier.of(model)
    classes = check_classifier(asked, images[:8], finite=False)
    if search.method not in WITHOUT_GRADIENTS:
        check_gradients(asked, images[:8])
    labels = check_labels(labels, len(images), classes).cpu()
    if isinstance(targets, str) and targets not in get_args(Targets):
        known = ", ".join(get_args(Targets))
        raise InputError(f"targets={targets!r} is unknown; choose one of {known}, or give classes")
    run = _Run(asked, search, box, progress)
    if not isinstance(targets, str):
        return run.toward(images, Goal(check_targets(targets, labels, classes)))
    if targets == "all":
        return run.every_class(images, labels, classes)
    if untargeted:
        return run.toward(images, Goal(labels, targeted=False))
    if targets == "random":
        generator = torch.Generator().manual_seed(search.seed)
        return run.toward(images, Goal(choose_targets(labels, classes, generator)))
    return run.toward(images, Goal(run.runner_up(images, labels)))


@dataclass(frozen=True)
class _Run:
    """One call's settings; images and answers are on the CPU, batches under way on the device."""

    classifier: Classifier
    search: Search
    box: Box
    progress: ProgressCallback | None

    def toward(self, images: Tensor, goal: Goal) -> Distortions:
        """The shortest r of every image for its goal."""
        x = self.classifier.fit(images).flatten(1)
        goal = Goal(goal.classes.to(x.device), goal.targeted)
        shape = tuple(images.shape[1:])
        network, box = Network(self.classifier, shape), self.box.flat(x)
        searched = Network(self._searched(x, box, shape), shape)
        wanted, given = self.search.rows(x), self.search.batch_size is not None
        most = wanted if given else min(wanted, self.fitting(images, wanted))

        def run(width: int) -> tuple[Found, Verified]:
            report = self._reporter(len(x))
            found = search_with(self.search, searched, x, goal, box, width, report)
            levels = self.search.levels
            form = None if searched.classifier is self.classifier else searched
            return found, verify(
                network, x, goal, found, box, levels, batch_size=width, searched=form
            )

        def fewer(size: int) -> None:
            for each in (network, searched):
                each.classifier.fewer(size)

        (found, checked), _ = halving(run, most, on_halving=fewer)
        success = torch.zeros_like(found.claimed)
        for status in (Status.FOUND, Status.OPTIMAL, Status.ALREADY):
            success |= checked.status == int(status)
        points = torch.where(success[:, None], checked.points, torch.nan)
        every = filled(torch.arange(len(x), device=x.device), width_of(x))
        length, stddev = (
            measure(x[every], points[every])[: len(x)] for measure in (l2, distortion)
        )
        away = torch.where(success, length, torch.inf)
        size = torch.where(success, stddev, torch.inf)
        nothing = away.new_full((len(x),), torch.nan)
        extra = {name: tensor.cpu() for name, tensor in found.extra.items() if name != "optimal"}
        for name in ("gap", "local_gap", "c"):
            extra.setdefault(name, nothing.cpu().clone())
        extra.setdefault("trace", nothing.new_empty(len(x), 0, 3).cpu())
        return Distortions(
            adversarial=points.view(images.shape).cpu(),
            distortion=size.cpu(),
            l2=away.cpu(),
            success=success.cpu(),
            status=checked.status.cpu(),
            targets=(goal.classes if goal.targeted else checked.given).cpu(),
            forward_passes=checked.forward.cpu(),
            backward_passes=checked.backward.cpu(),
            curve=found.curve.cpu(),
            **extra,
        )

    def _searched(self, x: Tensor, box: Box, shape: tuple[int, ...]) -> Classifier:
        """The network as it is searched; what is found is classified by itself."""

        def noise() -> Tensor:
            count = 1 if alone(x) else _NOISE
            drawn = torch.rand(count, x.shape[1], generator=torch.Generator().manual_seed(0))
            return box.clamp(box.lower + box.width * drawn.to(x)).view(-1, *shape)

        return self.classifier.faster(noise)

    def fitting(self, images: Tensor, wanted: int) -> int:
        """How many images fit in memory, where that is in question."""
        small = images[0].numel() < _SMALL and self.classifier.device.type == "cpu"
        if small or min(len(images), wanted) <= 16:
            return wanted
        return plan_batch(self.classifier, images.shape[1:], limit=wanted).size

    def every_class(self, images: Tensor, labels: Tensor, classes: int) -> Distortions:
        """The closest adversarial image over all wrong classes."""
        count, others = len(images), classes - 1
        targets = ((labels[:, None] + torch.arange(1, classes)) % classes).flatten()
        pairs = self.toward(images.repeat_interleave(others, 0), Goal(targets))
        table = pairs.distortion.view(count, others)
        best = table.argmin(1) + torch.arange(count) * others
        per_class = table.new_full((count, classes), torch.nan)
        per_class.scatter_(1, targets.view(count, -1), table)
        # Proved only when every other class is proved to be no closer.
        least = (pairs.l2 * (1 - pairs.gap)).view(count, others).amin(1)
        gap = (1 - least / pairs.l2[best]).clamp_min(0)
        status = pairs.status[best]
        # Gaps are float32's: what differs by less is the same.
        unproved = (status == int(Status.OPTIMAL)) & ~(gap <= pairs.gap[best] + 1e-6)
        status = torch.where(unproved, int(Status.FOUND), status)
        # Each of the searches has had its share of a budget.
        budgets = torch.tensor(BUDGETS, dtype=torch.float32)
        at = torch.searchsorted(budgets, budgets / others, right=True)
        nothing_yet = pairs.curve.new_full((len(pairs), 1), torch.inf)
        shares = torch.cat((nothing_yet, pairs.curve), 1)[:, at]

        def total(passes: Tensor) -> Tensor:
            return passes.view(count, -1).sum(1)

        return Distortions(
            **{name: getattr(pairs, name)[best] for name in _PER_IMAGE},
            status=status,
            gap=gap,
            curve=shares.view(count, others, -1).amin(1),
            forward_passes=total(pairs.forward_passes),
            backward_passes=total(pairs.backward_passes),
            per_class=per_class,
        )

    def runner_up(self, images: Tensor, labels: Tensor) -> Tensor:
        """The likeliest wrong class of every image."""
        network = Network(self.classifier, tuple(images.shape[1:]))
        x = images.flatten(1)
        with torch.no_grad():
            logits = torch.cat([network.logits(part).cpu() for part in torch.split(x, 256)])
        return logits.scatter(1, labels[:, None], -torch.inf).argmax(1)

    def _reporter(self, total: int) -> Callable[[int], None]:
        """Tell the caller how many images are finished."""

        def report(done: int) -> None:
            if self.progress is not None:
                self.progress(Progress("minimum distortion", done, total))

        return report


_SMALL = 3 * 32 * 32
"""Images of which a batch fits into any memory, and that are not worth a probe."""

_NOISE = 4
"""Images of noise on which a faster form of the network is held against it."""

_PER_IMAGE = (
    "adversarial", "distortion", "l2", "success", "targets", "local_gap", "c", "trace",
)  # fmt: skip
