"""Limited-memory curvature of many problems at once, and its Newton step on the free pixels.

Each problem keeps the last m pairs s = z′ − z, y = ∇F(z′) − ∇F(z) and models its Hessian as

    B = θI − W M Wᵀ,   W = [Y  θS],   M⁻¹ = [[−D, Lᵀ], [L, θSᵀS]]

(Byrd, Nocedal & Schnabel 1994), with D the diagonal and L the strictly lower triangle of SᵀY, where
"lower" means that s is newer than y. The step on the free pixels is that of the subspace
minimisation of L-BFGS-B (Byrd, Lu, Nocedal & Zhu 1995, §5.1): with W restricted to the free pixels,

    −B_FF⁻¹ g = −g/θ − W (M⁻¹ − WᵀW/θ)⁻¹ Wᵀ g / θ²

Pairs lie in slots in any order, their age telling which is newer, so a new pair overwrites the
oldest in place: nothing is shifted, and every problem keeps pace with itself alone.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Curvature:
    """The pairs of `problems` independent problems with `pixels` unknowns each.

    Rows 0 … m−1 of `pairs` hold y, rows m … 2m−1 hold s, and the last row is room for the gradient,
    so that one product gives every inner product that a step needs.
    """

    def __init__(self, problems: int, memory: int, like: Float[Tensor, "_ pixels"]) -> None:
        self.memory = memory
        self.pairs = like.new_zeros(problems, 2 * memory + 1, like.shape[1])
        self.sy = like.new_zeros(problems, memory, memory, dtype=torch.float64)
        self.ss = torch.zeros_like(self.sy)
        self.age = torch.zeros(problems, memory, dtype=torch.long, device=like.device)
        self.clock = torch.zeros(problems, dtype=torch.long, device=like.device)

    def forget(self, rows: Tensor) -> None:
        """Drop every pair of the problems `rows`."""
        self.age[rows] = 0
        self.clock[rows] = 0

    def keep(self, rows: Tensor) -> None:
        """Keep only the problems `rows`, in that order."""
        for name in ("pairs", "sy", "ss", "age", "clock"):
            setattr(self, name, getattr(self, name)[rows])

    def add(
        self, s: Float[Tensor, "b n"], y: Float[Tensor, "b n"], curved: Bool[Tensor, " b"]
    ) -> None:
        """Overwrite the oldest pair of the problems whose new one is `curved` (sᵀy > 0)."""
        m = self.memory
        everyone = torch.arange(len(s), device=s.device)
        slot = self.age.argmin(1)
        if not bool(curved.all()):
            s = torch.where(curved[:, None], s, self.pairs[everyone, m + slot])
            y = torch.where(curved[:, None], y, self.pairs[everyone, slot])
        self.clock += curved
        self.age[everyone, slot] = torch.where(curved, self.clock, self.age[everyone, slot])
        self.pairs[everyone, slot] = y
        self.pairs[everyone, m + slot] = s
        both = torch.stack((s, y), 1)
        products = torch.bmm(both, self.pairs[:, : 2 * m].transpose(1, 2)).double()
        self.sy[everyone, slot, :] = products[:, 0, :m]
        self.sy[everyone, :, slot] = products[:, 1, m:]
        self.ss[everyone, slot, :] = products[:, 0, m:]
        self.ss[everyone, :, slot] = products[:, 0, m:]

    def shift(self, rows: Tensor, by: Float[Tensor, " rows"]) -> None:
        """Add `by`·I to the Hessian that the pairs of `rows` describe: y ← y + by·s, exactly."""
        m = self.memory
        pairs = self.pairs[rows]
        pairs[:, :m] += by[:, None, None] * pairs[:, m : 2 * m]
        self.pairs[rows] = pairs
        self.sy[rows] += by.double()[:, None, None] * self.ss[rows]
        still_curved = self.sy[rows].diagonal(dim1=1, dim2=2) > _TINY * self.ss[rows].diagonal(
            dim1=1, dim2=2
        )
        self.age[rows] = self.age[rows] * still_curved

    def step(
        self, gradient: Float[Tensor, "b n"], free: Bool[Tensor, "b n"], theta: Float[Tensor, " b"]
    ) -> Float[Tensor, "b n"]:
        """−B_FF⁻¹ g on the free pixels and −g/θ on the others; shape (b, n)."""
        m = self.memory
        known = self.age > 0
        known = torch.cat((known, known), 1)
        self.pairs[:, 2 * m] = gradient
        restricted = self.pairs * free.to(gradient.dtype)[:, None, :]
        products = torch.bmm(restricted[:, : 2 * m], self.pairs.transpose(1, 2)).double()
        scale = torch.ones_like(known, dtype=torch.float64)
        scale[:, m:] = theta.double()[:, None]
        scale = scale * known
        inner = products[:, :, : 2 * m] * (scale[:, :, None] * scale[:, None, :])
        right = products[:, :, 2 * m] * scale
        system = self._inverse_middle(theta.double(), known) - inner / theta.double()[:, None, None]
        solution, info = torch.linalg.solve_ex(system, right)
        failed = (info != 0) | ~solution.isfinite().all(1)
        weights = torch.where(failed[:, None], 0.0, solution) * scale / theta.double()[:, None] ** 2
        bend = torch.bmm(weights.to(gradient.dtype)[:, None, :], restricted[:, : 2 * m])[:, 0]
        return -(gradient / theta[:, None] + bend)

    def _inverse_middle(self, theta: Tensor, known: Tensor) -> Tensor:
        """M⁻¹, with ones on the diagonal of empty slots so that they stay out of every step."""
        m = self.memory
        newer = self.age[:, :, None] > self.age[:, None, :]
        lower = self.sy * newer
        middle = self.sy.new_zeros(len(self.sy), 2 * m, 2 * m)
        middle[:, :m, :m] = torch.diag_embed(-self.sy.diagonal(dim1=1, dim2=2))
        middle[:, m:, :m] = lower
        middle[:, :m, m:] = lower.transpose(1, 2)
        middle[:, m:, m:] = theta[:, None, None] * self.ss
        both = known[:, :, None] & known[:, None, :]
        identity = torch.eye(2 * m, dtype=middle.dtype, device=middle.device)
        return torch.where(both, middle, identity)


_TINY = 1e-10
"""sᵀy / sᵀs above which a shifted pair is kept, so that B stays positive definite."""
