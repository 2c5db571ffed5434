"""Steps over global batches by one process or many, resumable at any number of them."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.keys import APART, derive_key
from intriguing.measures import Progress, ProgressCallback
from intriguing.training.order import Order
from intriguing.training.report import TrainingReport
from intriguing.training.sharded_checkpoint import load_notes, load_sharded, save_sharded

_LBFGS_INNER = 10
"""Iterations on one batch, and the pairs they keep: more fit the batch rather than the data."""


@dataclass(frozen=True)
class Steps:
    """How many steps of what; the rate rises linearly and then falls to 0 as a cosine.

    Attributes:
        count: Steps.
        batch: Images of one step, over all processes.
        rate: The highest learning rate.
        optimizer: "adam", "sgd" with momentum, or "lbfgs": a few iterations on each batch, one
            process only.
        momentum: Of SGD; of Adam β₁.
        warmup: Steps in which the rate rises.
        every: Steps between checkpoints.
    """

    count: int
    batch: int = 50
    rate: float = 0.01
    optimizer: Literal["adam", "sgd", "lbfgs"] = "adam"
    momentum: float = 0.9
    warmup: int = 20
    every: int = field(default=250, metadata=APART)

    def __post_init__(self) -> None:
        if min(self.count, self.batch, self.every) < 1 or self.warmup < 0:
            raise InputError("count, batch and every of Steps must be at least 1, warmup 0")
        if not 0 < self.rate < math.inf or not 0 <= self.momentum < 1:
            raise InputError(
                f"rate {self.rate} must be above 0, momentum {self.momentum} in [0, 1)"
            )
        if self.optimizer not in ("adam", "sgd", "lbfgs"):
            raise InputError(f"unknown optimizer {self.optimizer!r}; one of adam, sgd, lbfgs")

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, from 0.

        >>> [round(Steps(4, rate=1.0, warmup=2).rate_at(step), 3) for step in range(4)]
        [0.5, 1.0, 1.0, 0.5]
        """
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.count - self.warmup)
        return self.rate * (0.5 + 0.5 * math.cos(math.pi * done))


@dataclass(frozen=True)
class Work:
    """One process's part of a training.

    Attributes:
        loss: From the places of a global batch to this process's part of the loss, summed over
            processes the mean over the batch.
        parameters: What this process trains, by name; the same names everywhere.
        whole: A parameter, or an array of its shape, as part of the whole one: what is saved.
        scale: What gradients have to be multiplied by, the number of processes where the engine
            takes their mean.
    """

    loss: Callable[[Tensor], Tensor]
    parameters: Mapping[str, nn.Parameter]
    whole: Callable[[Tensor], Tensor]
    scale: float = 1.0


def train_steps(
    work: Work,
    images: int,
    steps: Steps,
    seed: int,
    *,
    identity: str = "",
    checkpoint: Path | None = None,
    stage: str = "training",
    progress: ProgressCallback | None = None,
) -> TrainingReport:
    """Lower a loss over images, in place; every process calls this with its own part.

    Which images a step sees depends on seed, step and batch only, so that any number of processes
    computes the same, up to the order of sums, also after an interruption.

    Args:
        work: This process's part.
        images: How many there are.
        steps: The schedule.
        seed: Of the order.
        identity: Which training this is; a checkpoint of another one is refused.
        checkpoint: The folder to write and continue from; None keeps nothing.
        stage: How progress calls this training.
        progress: Called about a hundred times.

    Raises:
        InputError: If the checkpoint is another training's, or the loss is not finite.
    """
    optimizer = _optimizer(list(work.parameters.values()), steps)
    if steps.optimizer == "lbfgs" and dist.is_initialized() and dist.get_world_size() > 1:
        raise InputError("minibatch L-BFGS trains in one process; choose adam or sgd")
    order = Order(images, steps.batch, seed)
    identity = f"{images} images, seed {seed}, {identity}: {derive_key(steps, images, seed)}"
    report = TrainingReport()
    if checkpoint is not None:
        report = _resumed(checkpoint, identity, work, optimizer) or report
    often = max(1, steps.count // 100)
    start, before = time.perf_counter(), report.wall_seconds
    for step in range(report.iterations, steps.count):
        for group in optimizer.param_groups:
            group["lr"] = steps.rate_at(step)
        value = _step(work, optimizer, order.at(step))
        if not math.isfinite(value):
            raise InputError(
                f"the loss is not finite in step {step + 1}; lower the rate ({steps.rate})"
            )
        done = step + 1
        report = replace(
            report, iterations=done, evaluations=done, objective=value,
            history=(*report.history, value), wall_seconds=before + time.perf_counter() - start,
            reason=f"{done} steps done" if done == steps.count else "",
        )  # fmt: skip
        if checkpoint is not None and (done % steps.every == 0 or done == steps.count):
            notes = {"identity": identity, "report": asdict(report)}
            save_sharded(checkpoint, _state(work, optimizer), notes)
        if progress is not None and (done % often == 0 or done == steps.count):
            progress(Progress(stage, done, steps.count, f"loss {value:.4g}"))
    return report


def _optimizer(parameters: Sequence[nn.Parameter], steps: Steps) -> torch.optim.Optimizer:
    if steps.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=steps.rate, betas=(steps.momentum, 0.999))
    if steps.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=steps.rate, momentum=steps.momentum)
    return torch.optim.LBFGS(
        parameters, lr=1.0, max_iter=_LBFGS_INNER, history_size=_LBFGS_INNER,
        line_search_fn="strong_wolfe",
    )  # fmt: skip


def _step(work: Work, optimizer: torch.optim.Optimizer, places: Tensor) -> float:
    """One step; the loss of the whole batch before it."""
    values: list[Tensor] = []

    def closure() -> float:
        optimizer.zero_grad()
        loss = work.loss(places)
        (loss * work.scale).backward()  # type: ignore[no-untyped-call]
        values.append(loss.detach())
        return float(loss.detach())

    if isinstance(optimizer, torch.optim.LBFGS):
        optimizer.state.clear()  # another batch, another objective
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    else:
        closure()
        optimizer.step()
    value = values[0]
    if dist.is_initialized():
        dist.all_reduce(value)
    return float(value)


def _state(work: Work, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Parameters and the optimiser's arrays, each as part of the whole."""
    arrays = {f"parameter.{name}": work.whole(p.detach()) for name, p in work.parameters.items()}
    for name, parameter in work.parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and not isinstance(optimizer, torch.optim.LBFGS):
                whole = work.whole(value) if value.ndim else value
                arrays[f"optimizer.{name}.{key}"] = whole
    return arrays


def _resumed(
    checkpoint: Path, identity: str, work: Work, optimizer: torch.optim.Optimizer
) -> TrainingReport | None:
    """Parameters and the optimiser's arrays as a checkpoint has them, and its report."""
    notes: dict[str, Any] | None = load_notes(checkpoint)
    if notes is None:
        return None
    if notes["identity"] != identity:
        raise InputError(
            f"{checkpoint} belongs to another training ({notes['identity']}; this one is "
            f"{identity}); delete it or choose another"
        )
    for parameter in work.parameters.values():
        if isinstance(optimizer, torch.optim.Adam):
            optimizer.state[parameter] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(parameter.detach()),
                "exp_avg_sq": torch.zeros_like(parameter.detach()),
            }
        elif isinstance(optimizer, torch.optim.SGD) and optimizer.defaults["momentum"]:
            optimizer.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter.detach())}
    load_sharded(Path(notes["folder"]), _state(work, optimizer))
    report = notes["report"]
    return TrainingReport(**{**report, "history": tuple(report["history"])})
