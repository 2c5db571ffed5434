"""D(x, l): the one entry to the minimum distortion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.distortion.inputs import as_box, check_images, check_labels
from intriguing.distortion.lattice import to_lattice
from intriguing.distortion.penalty import PaperConfig, PenaltySearch, search_c
from intriguing.distortion.problem import TargetedLoss, margin
from intriguing.distortion.result import Distortions, Status
from intriguing.distortion.targets import Targets, check_targets, choose_targets
from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, Box, Progress, ProgressCallback, distortion, l2
from intriguing.models.classifier import check_classifier

METHODS = ("paper",)


def minimum_distortion(
    model: nn.Module,
    images: Float[Tensor, "image ..."],
    labels: Int64[Tensor, " image"],
    targets: Targets | Int64[Tensor, " image"] = "random",
    method: str = "paper",
    *,
    box: Box | Sequence[float] = UNIT_BOX,
    levels: int | None = None,
    config: PaperConfig | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
) -> Distortions:
    """Approximate D(x, l), the closest image to x that the model takes for l, for every image.

    Minimise ‖r‖₂ subject to f(x + r) = l and x + r in the box (§4.1), by `method`: "paper" is
    box-constrained L-BFGS on c·‖r‖² + loss_f(x + r, l) with a search for the largest c.

    Args:
        model: any module from images to logits, in eval mode; its device and dtype are used.
        images: pixels inside `box`, shape (images, ...).
        labels: the true classes, shape (images,).
        targets: "random" (a wrong class drawn by `seed`; what reproduces the paper), "runner-up"
            (the likeliest wrong class), "all" (every class, keeping the closest: untargeted, and
            nothing to do where the model is wrong already), or a class an image.
        box: (lower, upper) limits of every pixel.
        levels: with 256, the answer is an 8-bit image: it survives being saved as a PNG.
        config: how the search over c proceeds.
        seed: draws the random targets.
        batch_size: images under way at once; the result does not depend on it.
        progress: called with the number of finished images.

    Returns:
        `Distortions`. A failure is a status of its image, never an exception.

    Raises:
        InputError: before any work, for images outside the box or not finite, wrong shapes or
            dtypes, labels or targets out of range, targets equal to labels, a model in training
            mode or one that gives probabilities.
    """
    box = as_box(box)
    if method not in METHODS:
        raise InputError(f"method={method!r} is unknown; choose one of {', '.join(METHODS)}")
    if levels is not None and levels < 2:
        raise InputError(f"levels={levels} leaves no values; give 256 for 8-bit images")
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size={batch_size}; give 1 or more, or None to let it be chosen")
    check_images(images, box)
    if not len(images):
        raise InputError("there are no images; give at least one")
    like = next(model.parameters(), images)
    classes = check_classifier(model, images[:8].to(like.device, like.dtype))
    labels = check_labels(labels, len(images), classes)
    if isinstance(targets, str) and targets not in get_args(Targets):
        known = ", ".join(get_args(Targets))
        raise InputError(f"targets={targets!r} is unknown; choose one of {known}, or give classes")
    run = _Run(model, box, levels, config or PaperConfig(), batch_size, progress)
    if isinstance(targets, str) and targets == "all":
        return run.every_class(images, labels, classes)
    if isinstance(targets, str) and targets == "random":
        generator = torch.Generator().manual_seed(seed)
        chosen = choose_targets(labels.cpu(), classes, generator)
    elif isinstance(targets, str):
        chosen = run.runner_up(images, labels)
    else:
        chosen = check_targets(targets, labels, classes)
    return run.targeted(images, chosen)


@dataclass(frozen=True)
class _Run:
    """One call's settings; images and answers are on the CPU, batches under way on the device."""

    model: nn.Module
    box: Box
    levels: int | None
    config: PaperConfig
    batch_size: int | None
    progress: ProgressCallback | None

    def targeted(self, images: Tensor, targets: Tensor) -> Distortions:
        """D(x, l) for one target an image."""
        like = next(self.model.parameters(), images)
        x = images.to(like.device, like.dtype).flatten(1)
        goal = targets.to(like.device)
        objective = TargetedLoss(self.model, tuple(images.shape[1:]))
        width = self.batch_size or _default_width(x, self.config)
        found = search_c(objective, x, goal, self.box, self.config, width, self._reporter(len(x)))
        points, success, status, forward, backward = self._verify(objective, x, goal, found)
        points = torch.where(success[:, None], points, torch.nan)
        away = torch.where(success, l2(x, points), torch.inf)
        size = torch.where(success, distortion(x, points), torch.inf)
        return Distortions(
            adversarial=points.view(images.shape).cpu(),
            distortion=size.cpu(),
            l2=away.cpu(),
            success=success.cpu(),
            status=status.cpu(),
            targets=goal.cpu(),
            c=found.c.cpu(),
            forward_passes=forward.cpu(),
            backward_passes=backward.cpu(),
            trace=found.trace.cpu(),
        )

    def every_class(self, images: Tensor, labels: Tensor, classes: int) -> Distortions:
        """The closest adversarial image over all wrong classes: untargeted D(x)."""
        count = len(images)
        labels = labels.cpu()
        step = torch.arange(1, classes)
        targets = ((labels[:, None] + step) % classes).flatten()
        pairs = self.targeted(images.repeat_interleave(classes - 1, 0), targets)
        table = pairs.distortion.view(count, classes - 1)
        best = table.argmin(1) + torch.arange(count) * (classes - 1)
        per_class = table.new_full((count, classes), torch.inf)
        per_class.scatter_(1, targets.view(count, -1), table)

        def total(passes: Tensor) -> Tensor:
            return passes.view(count, -1).sum(1)

        return Distortions(
            **{name: getattr(pairs, name)[best] for name in _PER_IMAGE},
            forward_passes=total(pairs.forward_passes),
            backward_passes=total(pairs.backward_passes),
            per_class=per_class,
        )

    def runner_up(self, images: Tensor, labels: Tensor) -> Tensor:
        """The likeliest wrong class of every image."""
        logits = torch.cat([self._logits(batch) for batch in torch.split(images, 256)]).cpu()
        return logits.scatter(1, labels.cpu()[:, None], -torch.inf).argmax(1)

    def _logits(self, images: Tensor) -> Tensor:
        like = next(self.model.parameters(), images)
        with torch.no_grad():
            logits: Tensor = self.model(images.to(like.device, like.dtype))
        return logits

    def _verify(
        self, objective: TargetedLoss, x: Tensor, targets: Tensor, found: PenaltySearch
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Believe nothing: put the answers on the lattice if asked, and classify them again."""
        points, forward, backward = found.points.clone(), found.passes.clone(), found.passes.clone()
        claimed = found.margin > 0
        already = claimed & found.c.isinf()
        lost = torch.zeros_like(claimed)
        success = torch.zeros_like(claimed)
        for rows in torch.split(claimed.nonzero()[:, 0], 512):
            if self.levels is not None:
                lattice = to_lattice(
                    objective, x[rows], points[rows], targets[rows], self.box, self.levels
                )  # fmt: skip
                points[rows] = lattice.points
                forward[rows] += lattice.forward_passes
                backward[rows] += lattice.backward_passes
                lost[rows] = ~lattice.success
            with torch.no_grad():
                stands = margin(objective.logits(points[rows]), targets[rows]) > 0
            inside = (points[rows] >= self.box.lower) & (points[rows] <= self.box.upper)
            success[rows] = stands & inside.all(1) & ~lost[rows]
            forward[rows] += 1
        status = torch.full_like(targets, int(Status.NOT_FOUND))
        status[lost] = int(Status.LOST_ON_LATTICE)
        status[found.c.isnan()] = int(Status.NOT_FINITE)
        status[success] = int(Status.FOUND)
        status[success & already] = int(Status.ALREADY)
        return points, success, status, forward, backward

    def _reporter(self, total: int) -> Callable[[int], None]:
        """Tell the caller how many images are finished."""

        def report(done: int) -> None:
            if self.progress is not None:
                self.progress(Progress("minimum distortion", done, total))

        return report


def _default_width(x: Float[Tensor, "image n"], config: PaperConfig) -> int:
    """Images under way at once: few enough for a CPU's cache, or for about 2 GiB of vectors."""
    vectors = 4 * config.descent.memory + 24
    affordable = (2 << 30) // (vectors * x.shape[1] * x.element_size())
    return int(min(len(x), max(16, min(affordable, 256 if x.device.type == "cpu" else 8192))))


_PER_IMAGE = ("adversarial", "distortion", "l2", "success", "status", "targets", "c", "trace")
