"""The exact closest adversarial image of a linear network, one image at a time, by a QP solver."""

import numpy as np
import piqp
import torch
from scipy import sparse
from torch import Tensor


def closest_under_constraints(
    anchor: Tensor, gradients: Tensor, at_least: Tensor, lower: float = 0.0, upper: float = 1.0
) -> float:
    """min ‖z − anchor‖ subject to gradients·z ≥ at_least and the box; infinite if there is none."""
    n = len(anchor)
    solver = piqp.SparseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = 1e-11
    solver.settings.max_iter = 1000
    solver.setup(
        P=sparse.identity(n, format="csc"), c=-anchor.double().numpy(),
        A=sparse.csc_matrix((0, n)), b=np.zeros(0),
        G=sparse.csc_matrix(-gradients.double().numpy()), h_u=-at_least.double().numpy(),
        x_l=np.full(n, lower), x_u=np.full(n, upper),
    )  # fmt: skip
    if solver.solve() != piqp.PIQP_SOLVED:
        return float("inf")
    return float((torch.tensor(solver.result.x) - anchor.double()).norm())


def closest_targeted(weight: Tensor, bias: Tensor, x: Tensor, target: int) -> float:
    """min ‖z − x‖ with f_target ≥ f_j for every j and z in [0, 1]."""
    others = [j for j in range(len(weight)) if j != target]
    return closest_under_constraints(
        x, weight[target] - weight[others], bias[others] - bias[target]
    )


def closest_untargeted(weight: Tensor, bias: Tensor, x: Tensor, label: int) -> float:
    """min ‖z − x‖ with f_j ≥ f_label for some j and z in [0, 1]."""
    return min(
        closest_under_constraints(
            x, (weight[j] - weight[label])[None], (bias[label] - bias[j])[None]
        )
        for j in range(len(weight))
        if j != label
    )
