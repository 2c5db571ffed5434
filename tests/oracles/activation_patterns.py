"""The nearest example of a tiny ReLU network by brute force: a quadratic program a pattern."""

import itertools

import numpy as np
from scipy.optimize import minimize
from torch import Tensor, nn


def nearest(net: nn.Sequential, image: Tensor, label: int, target: int | None = None) -> float:
    """‖r‖₂ of the nearest image in [0, 1] that is of the target, or of any other class.

    For each set of active units the network is affine, and the set of images a polytope: the
    nearest of its points at which the class is reached is a quadratic program. Infinite if none.
    """
    layers = [m for m in net if isinstance(m, nn.Linear)]
    weights = [
        (m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in layers
    ]
    x = image.flatten().double().numpy()
    sizes = [len(bias) for _, bias in weights[:-1]]
    classes = len(weights[-1][1])
    best = np.inf
    for bits in itertools.product((0.0, 1.0), repeat=sum(sizes)):
        slope, shift, sides, first = np.eye(len(x)), np.zeros(len(x)), [], 0
        for (weight, bias), size in zip(weights[:-1], sizes, strict=True):
            on = np.array(bits[first : first + size])
            first += size
            slope, shift = weight @ slope, weight @ shift + bias
            sides.append(((2 * on - 1)[:, None] * slope, (2 * on - 1) * shift))
            slope, shift = on[:, None] * slope, on * shift
        logits = weights[-1][0] @ slope, weights[-1][0] @ shift + weights[-1][1]
        for goal in range(classes) if target is None else [target]:
            if goal == label:
                continue
            rivals = [label] if target is None else [j for j in range(classes) if j != goal]
            apart = [(logits[0][goal] - logits[0][j], logits[1][goal] - logits[1][j])
                     for j in rivals]  # fmt: skip
            rows = np.concatenate([s for s, _ in sides] + [a[None] for a, _ in apart])
            ends = np.concatenate([e for _, e in sides] + [np.array([b]) for _, b in apart])
            best = min(best, _program(x, rows, ends))
    return best


def _program(x: np.ndarray, rows: np.ndarray, ends: np.ndarray) -> float:
    """Least ‖z − x‖ with rows z + ends ≥ 0 in the box; infinite if there is no such z."""
    found = minimize(
        lambda z: 0.5 * ((z - x) ** 2).sum(), x, jac=lambda z: z - x, method="SLSQP",
        bounds=[(0.0, 1.0)] * len(x), options={"maxiter": 200, "ftol": 1e-12},
        constraints={"type": "ineq", "fun": lambda z: rows @ z + ends, "jac": lambda _: rows},
    )  # fmt: skip
    fits = found.success and (rows @ found.x + ends).min() > -1e-7
    return float(np.linalg.norm(found.x - x)) if fits else np.inf
