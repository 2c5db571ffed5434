"""The paper's search over c written plainly: one image at a time, around scipy's L-BFGS-B."""

import math

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn


def penalised_minimum(
    model: nn.Module, image: Tensor, target: int, c: float, start: np.ndarray | None = None
) -> tuple[np.ndarray, float, bool]:
    """Minimiser of c‖r‖² + cross-entropy over the unit box, its value, whether it is the target."""
    x = image.double().flatten().numpy()
    goal = torch.tensor([target])

    def value(z: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.from_numpy(z)[None].to(image.dtype).requires_grad_()
        loss = nn.functional.cross_entropy(model(point), goal)
        (gradient,) = torch.autograd.grad(loss, point)
        r = z - x
        return float(loss.detach()) + c * r @ r, gradient[0].double().numpy() + 2 * c * r

    options = {"ftol": 1e-14, "gtol": 1e-9, "maxfun": 20_000, "maxiter": 20_000, "maxcor": 20}
    found = minimize(
        value, x if start is None else start, jac=True, method="L-BFGS-B",
        bounds=[(0, 1)] * len(x), options=options,
    )  # fmt: skip
    with torch.no_grad():
        logits = model(torch.from_numpy(found.x)[None].to(image.dtype))
    return found.x, float(found.fun), int(logits.argmax()) == target


def minimum_distortion_by_scipy(model: nn.Module, image: Tensor, target: int) -> float:
    """Distortion at the largest c found by decades from 10⁻⁴ upwards and bisection to 1 %."""
    low, high, best, start = 0.0, math.inf, math.inf, None
    c = 1e-4
    while high > low * 1.01:
        z, _, fooled = penalised_minimum(model, image, target, c, start)
        if fooled:
            low, start = c, z
            best = float(np.sqrt(np.mean((z - image.double().flatten().numpy()) ** 2)))
        elif low == 0.0:
            return math.inf
        else:
            high = c
        c = math.sqrt(low * high) if high < math.inf else 3 * c
    return best
