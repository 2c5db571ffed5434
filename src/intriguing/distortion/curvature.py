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

from intriguing.distortion.rows import Rows, put


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
        self._slots = torch.arange(memory, device=like.device)
        self._halves = torch.tensor((memory, 0), device=like.device)
        both = torch.arange(2 * memory, device=like.device)
        self._empty = (both[:, None] == both).double()
        self._identity = self._empty[:memory, :memory]
        self._everyone = torch.arange(problems, device=like.device)[:, None]

    def forget(self, rows: Rows, on: Bool[Tensor, " rows"] | None = None) -> None:
        """Drop every pair of the problems `rows`, or of those that are `on`."""
        if on is None:
            self.age[rows] = 0
        else:
            put(self, "age", rows, torch.where(on[:, None], 0, self.age[rows]))

    def keep(self, rows: Tensor) -> None:
        """Keep only the problems `rows`, in that order."""
        for name in ("pairs", "sy", "ss", "age", "clock"):
            setattr(self, name, getattr(self, name)[rows])
        self._everyone = self._everyone[: len(rows)]

    def add(self, both: Float[Tensor, "b 2 n"], curved: Bool[Tensor, " b"]) -> None:
        """Overwrite the oldest pair of the problems whose new (s, y) is `curved` (sᵀy > 0)."""
        m = self.memory
        slot = self.age.argmin(1, keepdim=True)
        # What is not kept goes where the gradient will be.
        place = torch.where(curved[:, None], slot + self._halves, 2 * m)
        self.pairs[self._everyone, place] = both
        self.clock += curved
        new = (self._slots == slot) & curved[:, None]
        self.age = torch.where(new, self.clock[:, None], self.age)
        products = torch.bmm(both, self.pairs[:, : 2 * m].transpose(1, 2)).double()
        across, along = new[:, None], new[:, :, None]
        self.sy = torch.where(across, products[:, 1, m:, None], self.sy)
        self.sy = torch.where(along, products[:, 0, None, :m], self.sy)
        self.ss = torch.where(across, products[:, 0, m:, None], self.ss)
        self.ss = torch.where(along, products[:, 0, None, m:], self.ss)

    def shift(self, rows: Rows, by: Float[Tensor, " rows"]) -> None:
        """Add `by`·I to the Hessian that the pairs of `rows` describe: y ← y + by·s, exactly."""
        m = self.memory
        s = self.pairs[rows, m : 2 * m]
        if isinstance(rows, slice):
            self.pairs[:, :m].addcmul_(by[:, None, None], s)
        else:
            self.pairs[rows, :m] = torch.addcmul(self.pairs[rows, :m], by[:, None, None], s)
        ss = self.ss[rows]
        sy = torch.addcmul(self.sy[rows], by.double()[:, None, None], ss)
        put(self, "sy", rows, sy)
        curved = sy.diagonal(dim1=1, dim2=2) > _TINY * ss.diagonal(dim1=1, dim2=2)
        put(self, "age", rows, self.age[rows] * (curved | (by == 0)[:, None]))

    def step(
        self,
        gradient: Float[Tensor, "b n"],
        free: Bool[Tensor, "b n"],
        theta: Float[Tensor, " b"],
    ) -> Float[Tensor, "b n"]:
        """−B_FF⁻¹ g on the free pixels and −g/θ on the others; shape (b, n)."""
        m = self.memory
        known = self.age > 0
        self.pairs[:, 2 * m] = gradient
        restricted = self.pairs[:, : 2 * m] * free[:, None, :]
        products = torch.bmm(restricted, self.pairs.transpose(1, 2)).double()
        # With S in place of θS; empty slots are 0.
        wide = theta.double()[:, None]
        scale = torch.cat((known.double(), known * wide), 1)
        inner = products[:, :, : 2 * m] * (scale[:, :, None] * scale[:, None, :])
        right = products[:, :, 2 * m] * scale
        system = self._inverse_middle(wide[:, :, None], known) * wide[:, :, None] - inner
        solution, info = torch.linalg.solve_ex(system, right)
        size = torch.linalg.vector_norm(solution, torch.inf, dim=1)
        usable = (size < torch.inf) & (info == 0)
        weights = (torch.where(usable[:, None], solution, 0) * scale).to(gradient.dtype)
        bent = gradient + torch.bmm(weights[:, None, :], restricted)[:, 0]
        return bent / -theta[:, None]

    def _inverse_middle(self, theta: Tensor, known: Tensor) -> Tensor:
        """M⁻¹, with ones on the diagonal of empty slots so that they stay out of every step."""
        newer = self.age[:, :, None] > self.age[:, None, :]
        lower = self.sy * newer
        above = torch.cat((self._identity * -self.sy, lower.transpose(1, 2)), 2)
        middle = torch.cat((above, torch.cat((lower, theta * self.ss), 2)), 1)
        both = torch.cat((known, known), 1)
        return torch.where(both[:, :, None] & both[:, None, :], middle, self._empty)


_TINY = 1e-10
"""sᵀy / sᵀs above which a shifted pair is kept, so that B stays positive definite."""
