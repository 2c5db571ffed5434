"""Full-batch L-BFGS until convergence, resumable: how §4.2 trains every network."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback
from intriguing.training.checkpoint import load_training, save_training
from intriguing.training.report import TrainingReport


@dataclass(frozen=True)
class LBFGSConfig:
    """When to stop, and the optimiser's memory.

    Training has converged when `chunk` iterations lower the objective by less than `tolerance`
    of its value, or when no entry of the gradient exceeds `gradient_tolerance`.
    """

    max_iterations: int = 2000
    chunk: int = 25
    tolerance: float = 1e-3
    gradient_tolerance: float = 1e-6
    history: int = 100

    def __post_init__(self) -> None:
        if min(self.max_iterations, self.chunk, self.history) < 1:
            raise InputError("max_iterations, chunk and history of LBFGSConfig must be at least 1")


UNTIL_CONVERGED = LBFGSConfig()


def minimise(
    parameters: Sequence[nn.Parameter],
    objective: Callable[[], float],
    config: LBFGSConfig = UNTIL_CONVERGED,
    *,
    identity: str = "",
    checkpoint: Path | None = None,
    stage: str = "training",
    progress: ProgressCallback | None = None,
) -> TrainingReport:
    """Minimise `objective` over `parameters`, in place, by L-BFGS with a strong Wolfe line search.

    After every chunk the parameters and the whole state of the optimiser go to `checkpoint`; the
    same call after an interruption continues there and ends with the same bits.

    Args:
        parameters: What to optimise; also the starting point.
        objective: Returns its value and leaves its gradient in the parameters' `.grad`.
        config: Criterion and memory.
        identity: Which training this is; a checkpoint of another one is refused.
        checkpoint: The safetensors file to write and continue from; None keeps nothing.
        stage: How progress calls this training.
        progress: Called after each chunk.

    Raises:
        InputError: If `checkpoint` holds another training, or the objective is not finite.
    """
    parameters = list(parameters)
    optimizer = torch.optim.LBFGS(
        parameters,
        lr=1.0,
        max_iter=config.chunk,
        max_eval=4 * config.chunk,
        tolerance_grad=0.0,
        tolerance_change=1e-12,
        history_size=config.history,
        line_search_fn="strong_wolfe",
    )
    point = _Point(objective, parameters)
    identity = f"{config} {identity}"
    report = load_training(checkpoint, identity, optimizer) if checkpoint is not None else None
    if report is None:
        report = TrainingReport(history=(point.evaluate(),))
        if not math.isfinite(report.history[0]):
            raise InputError("the objective is not finite at the start; look for NaN in the images")
    elif not report.reason:
        point.evaluate()

    while not report.reason:
        start = time.perf_counter()
        left = config.max_iterations - report.iterations
        optimizer.param_groups[0]["max_iter"] = min(config.chunk, left)
        optimizer.step(point.closure)  # type: ignore[no-untyped-call]
        iterations = optimizer.state[parameters[0]]["n_iter"]
        # Every chunk begins with the value the last one ended with, which torch counts once.
        evaluations = optimizer.state[parameters[0]]["func_evals"] + 1
        value = point.evaluate()
        report = replace(
            report,
            iterations=iterations,
            evaluations=evaluations,
            objective=value,
            gradient_norm=point.steepest(),
            wall_seconds=report.wall_seconds + time.perf_counter() - start,
            history=(*report.history, value),
        )
        report = _judge(report, iterations - (config.max_iterations - left), config)
        if checkpoint is not None:
            save_training(checkpoint, identity, optimizer, report)
        if progress is not None:
            detail = report.reason or f"objective {value:.5g}"
            progress(Progress(stage, report.iterations, config.max_iterations, detail))
    return report


class _Point:
    """The objective at the parameters as they are, not computed twice for the same ones."""

    def __init__(self, objective: Callable[[], float], parameters: list[nn.Parameter]) -> None:
        self.objective = objective
        self.parameters = parameters
        self.value: float | None = None

    def evaluate(self) -> float:
        """Value here; the gradient is left in `.grad`, and the next `closure` reuses both."""
        self.value = self._compute()
        return self.value

    def closure(self) -> float:
        known, self.value = self.value, None
        return self._compute() if known is None else known

    def steepest(self) -> float:
        """Largest absolute entry of the gradient."""
        return max(float(p.grad.abs().max()) for p in self.parameters if p.grad is not None)

    def _compute(self) -> float:
        for parameter in self.parameters:
            parameter.grad = None
        with torch.enable_grad():
            return self.objective()


def _judge(report: TrainingReport, advanced: int, config: LBFGSConfig) -> TrainingReport:
    """The report with the reason to stop, if there is one."""
    before, after = report.history[-2:]
    if not math.isfinite(after):
        return replace(report, reason="the objective is not finite")
    if report.gradient_norm <= config.gradient_tolerance:
        reason = f"no gradient entry above {config.gradient_tolerance:g}"
        return replace(report, converged=True, reason=reason)
    if before - after <= config.tolerance * abs(after) and advanced >= config.chunk:
        reason = f"objective fell by less than {config.tolerance:g} in {config.chunk} iterations"
        return replace(report, converged=True, reason=reason)
    if report.iterations >= config.max_iterations:
        return replace(report, reason=f"reached {config.max_iterations} iterations")
    if advanced < config.chunk and before - after <= config.tolerance * abs(after):
        reason = "line search at the limit of the floating-point precision"
        return replace(report, converged=True, reason=reason)
    return report
