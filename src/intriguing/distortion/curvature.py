"""Limited-memory curvature of many problems at once, and its quasi-Newton step on the free pixels.

Each problem keeps the last m pairs s = z′ − z, y = ∇ℓ(z′) − ∇ℓ(z) of the loss alone. Its objective
adds ½β‖r‖², so that the pairs of the objective are (s, y + βs) for whatever β it has now: nothing
that is kept depends on β. With S and Y the pairs as columns, R the upper triangle of SᵀY (where
"upper" means that s is not newer than y), D its diagonal and γ = 1/θ, the inverse Hessian is

    H = γI + [S  γY] [[R⁻ᵀ(D + γYᵀY)R⁻¹, −R⁻ᵀ], [−R⁻¹, 0]] [S  γY]ᵀ

(Byrd, Nocedal & Schnabel 1994, eq. 3.1), and the step on the free pixels F is −H_FF g_F: that of
two-metric projection (Bertsekas 1982). Pairs lie in slots in any order, their age telling which is
newer, so a new pair overwrites the oldest in place: nothing is shifted, and every problem keeps
pace with itself alone. Of all n-vectors each step needs two products; the rest is algebra of their
2m × 2m inner products.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_CURVED = 1e-10
"""sᵀy / yᵀy above which a pair takes part, so that H stays positive definite in float32."""


class Curvature:
    """The pairs of `problems` independent problems with `pixels` unknowns each.

    Rows 0 … m−1 of `pairs` hold y, rows m … 2m−1 hold s; `inner` has their inner products, 0 in an
    empty slot. The last row takes what is not to be kept.
    """

    def __init__(self, problems: int, memory: int, like: Float[Tensor, "_ pixels"]) -> None:
        self.memory = memory
        places = 2 * memory + 1
        self.pairs = like.new_zeros(problems, places, like.shape[1])
        self.inner = like.new_zeros(problems, places, places)
        self.age = torch.zeros(problems, places, dtype=torch.long, device=like.device)
        self.clock = 0
        self._halves = torch.tensor((0, memory), device=like.device)
        self._identity = torch.eye(memory, dtype=like.dtype, device=like.device)
        self._everyone = torch.arange(problems, device=like.device)[:, None]

    def forget(self, rows: Tensor) -> None:
        """Drop every pair of the problems `rows`."""
        self.inner[rows] = 0
        self.age[rows] = 0

    def keep(self, rows: Tensor) -> None:
        """Keep only the problems `rows`, in that order."""
        for name in ("pairs", "inner", "age"):
            setattr(self, name, getattr(self, name)[rows])
        self._everyone = self._everyone[: len(rows)]

    def step(
        self,
        new: Float[Tensor, "b 3 n"],
        slope: Float[Tensor, "b n"],
        keep: Bool[Tensor, " b"],
        free: Float[Tensor, "b n"],
        bend: Float[Tensor, " b"],
        theta: Float[Tensor, " b"],
        out: Float[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b n"]:
        """−H_FF g_F on the free pixels and −γg on the others, with the pairs that are new.

        Args:
            new: y, s and g_F of every problem.
            slope: g.
            keep: Where y and s are a pair: it takes the place of the oldest.
            free: 1 for free pixels, else 0.
            bend: β.
            theta: 1/γ less β, where no pair tells it.
            out: Where the step goes, if not into new memory.
        """
        m = self.memory
        slots = self.age[:, :m].argmin(1, keepdim=True) + self._halves
        place = torch.where(keep[:, None], slots, 2 * m)
        self.clock += 1
        self.age.scatter_(1, place, self.clock)
        self.pairs[self._everyone, place] = new[:, :2]
        known = self.pairs[:, : 2 * m]
        products = torch.bmm(new, known.transpose(1, 2))
        fresh = products[:, :2]
        self.inner.scatter_(1, place[:, :, None].expand_as(fresh), fresh)
        across = fresh.transpose(1, 2)
        self.inner.scatter_(2, place[:, None].expand_as(across), across)
        weights, gamma = self._weights(products[:, 2], bend[:, None], theta[:, None])
        bent = torch.empty_like(slope) if out is None else out
        torch.bmm(weights[:, None], known, out=bent[:, None])
        return bent.mul_(free).addcmul_(slope, gamma, value=-1)

    def _weights(
        self, onto: Float[Tensor, "b k"], beta: Float[Tensor, "b 1"], theta: Float[Tensor, "b 1"]
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b 1"]]:
        """What −Hg has of every y and s beside −γg, from their inner products with g; and γ."""
        m = self.memory
        age, inner, each = self.age[:, :m], self.inner, beta[:, :, None]
        ss, ys = inner[:, m : 2 * m, m : 2 * m], inner[:, :m, m : 2 * m]
        # Of y + βs in the place of y.
        sy = torch.addcmul(inner[:, m : 2 * m, :m], each, ss)
        yy = torch.addcmul(inner[:, :m, :m], each, ys).addcmul_(each, sy)
        onto_y = torch.addcmul(onto[:, :m], beta, onto[:, m:])
        curved, size = (matrix.diagonal(dim1=1, dim2=2) for matrix in (sy, yy))
        usable = curved > _CURVED * size
        newest = age.argmax(1, keepdim=True)
        told = (curved / size).gather(1, newest)
        gamma = torch.where(usable.gather(1, newest), told, 1 / (theta + beta))
        upper = (age[:, :, None] <= age[:, None]) & usable[:, :, None] & usable[:, None]
        factor, pivots, _ = torch.linalg.lu_factor_ex(torch.where(upper, sy, self._identity))
        u = torch.linalg.lu_solve(factor, pivots, (onto[:, m:] * usable)[:, :, None])
        rest = torch.baddbmm(onto_y[:, :, None], yy, u, alpha=-1)[:, :, 0].mul_(gamma)
        u = u[:, :, 0]
        rest = rest.addcmul_(curved, u, value=-1).mul_(usable)
        of_s = torch.linalg.lu_solve(factor, pivots, rest[:, :, None], adjoint=True)[:, :, 0]
        of_y = u * gamma
        weights = torch.cat((of_y, torch.addcmul(of_s, beta, of_y)), 1)
        return weights.nan_to_num_(0.0, 0.0, 0.0), gamma
