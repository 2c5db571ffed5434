"""Box-constrained quadratic programs with a known share of active bounds, and exact minima."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor


@dataclass(frozen=True)
class BoxQP:
    """minimise ½ zᵀAz + bᵀz over 0 ≤ z ≤ 1, built around its own solution by the KKT conditions."""

    a: Tensor
    b: Tensor
    solution: Tensor

    @property
    def minimum(self) -> Tensor:
        """The exact minima, one a problem."""
        return self.value_and_gradient(self.solution)[0]

    def value_and_gradient(self, z: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Values and gradients of the problems `rows` at z."""
        a, b = (self.a, self.b) if rows is None else (self.a[rows], self.b[rows])
        az = torch.einsum("pij,pj->pi", a, z)
        return 0.5 * (az * z).sum(1) + (b * z).sum(1), az + b

    def by_scipy(self, index: int) -> float:
        """scipy's L-BFGS-B on one problem, as far as it goes."""
        a, b = self.a[index].double().numpy(), self.b[index].double().numpy()
        found = minimize(
            lambda z: (0.5 * z @ a @ z + b @ z, a @ z + b),
            np.full(len(b), 0.5),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, 1)] * len(b),
            options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 50_000, "maxfun": 50_000},
        )
        return float(found.fun)


def box_qps(problems: int, n: int, active: float, condition: float, seed: int) -> BoxQP:
    """Random QPs whose solutions have the share `active` of their pixels at a bound.

    The solution z* and multipliers μ are drawn first; b = −Az* ± μ then makes z* optimal.
    """
    generator = torch.Generator().manual_seed(seed)
    double = {"generator": generator, "dtype": torch.float64}
    q = torch.linalg.qr(torch.randn(problems, n, n, **double)).Q
    spectrum = torch.logspace(0, float(np.log10(condition)), n, dtype=torch.float64)
    a = (q * spectrum) @ q.transpose(1, 2)
    a = (a + a.transpose(1, 2)) / 2
    solution = 0.1 + 0.8 * torch.rand(problems, n, **double)
    held = torch.rand(problems, n, **double).argsort(1) < round(active * n)
    upper = torch.rand(problems, n, **double) < 0.5
    solution = torch.where(held, upper.double(), solution)
    multiplier = (0.1 + torch.rand(problems, n, **double)) * condition**0.5
    push = torch.where(held, torch.where(upper, -multiplier, multiplier), 0.0)
    b = push - torch.einsum("pij,pj->pi", a, solution)
    return BoxQP(a, b, solution)
