"""The classes that must be beaten: margins of a wanted class, and their gradients, row by row."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.distortion.problem import Goal, Network
from intriguing.models.backward import full_gradient


@dataclass(frozen=True)
class Race:
    """What each row asks of the logits: f_wanted ≥ f_j for every other j, or for one rival only.

    The first is a targeted search; the second serves an untargeted one, in which the label alone
    must be beaten (`rivals` = label; −1 stands for every other class). Margins and gradients are in
    the units of `goal`, which may be none.
    """

    wanted: Int64[Tensor, " b"]
    rivals: Int64[Tensor, " b"]
    goal: Goal

    def __getitem__(self, rows: Tensor) -> "Race":
        return Race(self.wanted[rows], self.rivals[rows], self.goal[rows])

    def __len__(self) -> int:
        return len(self.wanted)

    def margins(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """f_wanted − f_j, less what rounding could take; infinite for a j that does not matter."""
        less = self.goal.rounding(logits)[:, None]
        logits = self.goal.scaled(logits)
        ahead = logits.gather(1, self.wanted[:, None]) - logits - less
        classes = torch.arange(logits.shape[1], device=logits.device)
        matters = (self.rivals[:, None] < 0) | (classes == self.rivals[:, None])
        matters &= classes != self.wanted[:, None]
        return torch.where(matters, ahead, torch.inf).nan_to_num(nan=-torch.inf, posinf=torch.inf)

    def linearise(
        self, network: Network, z: Float[Tensor, "b n"], chosen: int | Int64[Tensor, "b r"]
    ) -> "Tangent":
        """Margins at z, and the gradients of the `chosen` ones: their classes, or how many.

        A number takes the classes with the smallest margins. One forward pass, and one backward
        pass for each gradient.
        """
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            logits = network.logits(z)
            margins = self.margins(logits.detach())
            if isinstance(chosen, int):
                chosen = margins.topk(min(chosen, margins.shape[1]), 1, largest=False).indices
            logits = self.goal.scaled(logits)
            wanted = logits.gather(1, self.wanted[:, None])
            ahead = wanted - logits.gather(1, chosen)
            count = chosen.shape[1]
            gradients = [
                full_gradient(ahead[:, i].sum(), z, again=i + 1 < count) for i in range(count)
            ]
        return Tangent(margins, chosen, torch.stack(gradients, 1))


@dataclass(frozen=True)
class Tangent:
    """Margins over every other class at a point, and the gradients of a few of them."""

    margins: Float[Tensor, "b k"]
    classes: Int64[Tensor, "b r"]
    gradients: Float[Tensor, "b r n"]

    @property
    def lowest(self) -> Float[Tensor, " b"]:
        """The smallest margin: positive when the goal is reached."""
        return self.margins.amin(1)

    @property
    def values(self) -> Float[Tensor, "b r"]:
        """The margins whose gradients are known."""
        return self.margins.gather(1, self.classes)
