"""How a training ended."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingReport:
    """Counts, final objective, and the criterion that stopped the training.

    Attributes:
        iterations: L-BFGS iterations, or steps over minibatches.
        evaluations: Passes over the data, each forward and backward.
        objective: Final objective, weight decay included; of minibatches the mean over the last
            epoch's steps, as they were taken.
        gradient_norm: Largest absolute entry of its gradient; of minibatches, in the last step.
        converged: Whether a convergence criterion stopped it, rather than the iteration limit.
        reason: That criterion in words.
        wall_seconds: Seconds spent, those before an interruption included.
        history: The objective at the start and after each chunk of iterations; of minibatches the
            mean of each epoch.
        pretraining: The same of the autoencoder, when there was one.
    """

    iterations: int = 0
    evaluations: int = 0
    objective: float = math.inf
    gradient_norm: float = math.inf
    converged: bool = False
    reason: str = ""
    wall_seconds: float = 0.0
    history: tuple[float, ...] = ()
    pretraining: "TrainingReport | None" = None
