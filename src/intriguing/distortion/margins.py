"""The classes that must be beaten: margins of a wanted class, and their gradients, row by row."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.rows import only, spread_out, width_of
from intriguing.models.backward import full_gradient


@dataclass(frozen=True)
class Margins:
    """What each row asks of the logits: f_wanted ≥ f_j for every other j, or for one rival only.

    The first is a targeted search; the second serves an untargeted one, in which the label alone
    must be beaten. `idle` says which classes need not be. Margins and gradients are in the units of
    `goal`, which may be none.
    """

    wanted: Int64[Tensor, " b"]
    idle: Bool[Tensor, "b k"]
    goal: Goal

    @classmethod
    def against_all(cls, wanted: Int64[Tensor, " b"], goal: Goal, classes: int) -> "Margins":
        """Every other class must be beaten."""
        return cls(wanted, one_of(wanted, classes), goal)

    @classmethod
    def against(
        cls, wanted: Int64[Tensor, " b"], rival: Int64[Tensor, " b"], goal: Goal, classes: int
    ) -> "Margins":
        """One class must be beaten; the wanted one is not that."""
        return cls(wanted, ~one_of(rival, classes), goal)

    def __getitem__(self, rows: Tensor) -> "Margins":
        return Margins(self.wanted[rows], self.idle[rows], self.goal[rows])

    def __len__(self) -> int:
        return len(self.wanted)

    def margins(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """f_wanted − f_j, less what rounding could take; infinite for a j that does not matter."""
        logits = self.goal.scaled(logits)
        less = self.goal.rounding_of(logits)[:, None]
        ahead = logits.gather(1, self.wanted[:, None]) - logits - less
        return torch.where(self.idle, torch.inf, ahead).nan_to_num(nan=-torch.inf, posinf=torch.inf)

    def linearise_some(
        self, network: Network, z: Float[Tensor, "b n"], chosen: int, going: Bool[Tensor, " b"]
    ) -> "Tangent":
        """`linearise` where rows are `going`, one at least; of the others the network is not asked.

        Their `lowest` is −∞ then, and whatever else means nothing.
        """
        few = only(going, width_of(z))
        if few is None:
            return self.linearise(network, z, chosen)
        part = self[few].linearise(network, z[few], chosen)
        count = len(z)
        return Tangent(
            spread_out(part.margins, few, count, 0.0),
            spread_out(part.lowest, few, count, -torch.inf),
            spread_out(part.classes, few, count, 0),
            spread_out(part.gradients, few, count, 0.0),
        )

    def linearise(
        self, network: Network, z: Float[Tensor, "b n"], chosen: int | Int64[Tensor, "b r"]
    ) -> "Tangent":
        """Margins at z, and the gradients of the `chosen` ones: their classes, or how many.

        A number takes the classes with the smallest margins. One forward pass, and one backward
        pass for each gradient.
        """
        margins, lowest, classes, gradients = self._gradients(network, z, chosen)
        first, *more = gradients
        stacked = torch.stack((first, *more), 1) if more else first[:, None]
        return Tangent(margins, lowest, classes, stacked)

    def distances(
        self, network: Network, z: Float[Tensor, "b n"], classes: Int64[Tensor, "b r"]
    ) -> Float[Tensor, "b r"]:
        """How far the boundary of each of the classes is from z where its margin is linear.

        Costs what `linearise` does; only one gradient at a time is kept. Infinite where there is
        no slope.
        """
        margins, _, _, gradients = self._gradients(network, z, classes)
        slopes = torch.stack([each.norm(dim=1) for each in gradients], 1)
        away: Tensor = margins.gather(1, classes) / slopes
        return away.nan_to_num(nan=torch.inf, posinf=torch.inf)

    def _gradients(
        self, network: Network, z: Float[Tensor, "b n"], chosen: int | Int64[Tensor, "b r"]
    ) -> tuple[Tensor, Tensor, Tensor, Iterator[Tensor]]:
        """Margins at z, the smallest, classes, and the gradients of their margins one by one."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            logits = network.logits(z)
        margins = self.margins(logits.detach())
        if isinstance(chosen, int):
            least, chosen = margins.topk(min(chosen, margins.shape[1]), 1, largest=False)
            lowest = least[:, 0]
        else:
            lowest = margins.amin(1)
        slopes = [self._ahead(rival[:, None]).to(logits) for rival in chosen.unbind(1)]
        last = len(slopes) - 1
        return (
            margins,
            lowest,
            chosen,
            (
                full_gradient(logits, z, slope=slope, again=i < last)
                for i, slope in enumerate(slopes)
            ),
        )

    def _ahead(self, rival: Int64[Tensor, "b 1"]) -> Float[Tensor, "b k"]:
        """The slope of (f_wanted − f_rival)/unit by the logits."""
        slope, one = self._slope
        return slope.scatter_add(1, rival, one)

    @cached_property
    def _slope(self) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b 1"]]:
        """That of f_wanted/unit, and −1/unit."""
        unit = self.goal.unit
        one = torch.ones_like(self.wanted, dtype=torch.float32) if unit is None else 1 / unit
        wanted = one_of(self.wanted, self.idle.shape[1])
        return wanted * one[:, None], -one[:, None]


@dataclass(frozen=True)
class Tangent:
    """Margins over every other class at a point, and the gradients of a few of them.

    lowest: the smallest margin, positive when the goal is reached.
    """

    margins: Float[Tensor, "b k"]
    lowest: Float[Tensor, " b"]
    classes: Int64[Tensor, "b r"]
    gradients: Float[Tensor, "b r n"]

    @property
    def values(self) -> Float[Tensor, "b r"]:
        """The margins whose gradients are known."""
        return self.margins.gather(1, self.classes)


def one_of(classes: Int64[Tensor, " b"], count: int) -> Bool[Tensor, "b k"]:
    """Whether a class is the one of the row."""
    return classes[:, None] == torch.arange(count, device=classes.device)
