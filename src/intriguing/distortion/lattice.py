"""Adversarial images that survive being saved: the closest adversarial point of the pixel lattice.

An image file holds `levels` values a channel (256 for 8 bits). Rounding an adversarial image to
them moves every pixel by up to half a level, which near the decision boundary often undoes it, and
elsewhere leaves it longer than need be. From the rounded image two moves alternate:

* repair: pixels step one level in the direction in which the margin rises, those first that buy the
  most margin for the least length;
* trim: pixels step one level back toward the image, those first that save the most length for the
  least margin.

How many pixels step is found by bisection with real forward passes, so a linear margin is assumed
nowhere but in their order.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.distortion.problem import Goal, Network, passes_to_measure
from intriguing.distortion.rows import places, width_of
from intriguing.measures import Box
from intriguing.models.backward import full_gradient

_REPAIRS = 10
"""Gradients that may be taken anew until an image is adversarial; what is not by then is lost."""
_TRIMS = 3
"""The same of trims: each can only shorten r, and costs a backward pass."""


@dataclass(frozen=True)
class OnLattice:
    """Lattice points, whether each is adversarial, and the passes that took."""

    points: Float[Tensor, "b n"]
    success: Bool[Tensor, " b"]
    forward_passes: Int64[Tensor, " b"]
    backward_passes: Int64[Tensor, " b"]


def to_lattice(
    network: Network,
    images: Float[Tensor, "b n"],
    points: Float[Tensor, "b n"],
    goal: Goal,
    box: Box,
    levels: int,
) -> OnLattice:
    """Round adversarial `points` to the lattice, repair what that undoes, and trim what it left."""
    with torch.no_grad():
        logits = network.logits(images)
    goal = goal.measured(network, images, logits, box)
    search = _Search(network, images, goal, box, levels, round_to_levels(points, box, levels))
    search.forward += 1 + passes_to_measure(logits)
    everyone = torch.arange(len(points), device=points.device)
    search.success = search.adversarial(search.level, everyone)
    width = width_of(images)
    for _ in range(_REPAIRS):
        rows = places(~search.success, width)
        if not len(rows):
            break
        search.repair(rows)
    for _ in range(_TRIMS):
        rows = places(search.success, width)
        if len(rows):
            search.trim(rows)
    return OnLattice(
        from_levels(search.level, box, levels, points.dtype),
        search.success, search.forward, search.backward,
    )  # fmt: skip


class _Search:
    """Levels of rows of images on their way to the boundary, from one side or the other."""

    def __init__(
        self, network: Network, images: Tensor, goal: Goal, box: Box, levels: int, level: Tensor
    ) -> None:
        self.network, self.images, self.goal = network, images, goal
        self.box, self.levels, self.level = box, levels, level
        self.step = box.width / (levels - 1)
        self.forward = torch.zeros_like(goal.classes)
        self.backward = torch.zeros_like(goal.classes)
        self.success = torch.zeros_like(goal.classes, dtype=torch.bool)

    def adversarial(self, level: Tensor, rows: Tensor) -> Tensor:
        """What a forward pass says of `level`."""
        self.forward[rows] += 1
        with torch.no_grad():
            logits = self.network.logits(self._pixels(level))
        return self.goal[rows].secure_margin(logits) > 0

    def repair(self, rows: Tensor) -> None:
        """Step up the margin with as few pixels as it takes."""
        slope, away = self._here(rows)
        move = slope.sign().long()
        target = self.level[rows] + move
        move = move * ((target >= 0) & (target < self.levels))
        longer = 2 * away * move * self.step + self.step**2
        price = torch.where(move != 0, longer / slope.abs().clamp_min(1e-30), torch.inf)
        rank = _rank(price)
        all_of_them = self.adversarial(self.level[rows] + move, rows)
        _, high = self._bisect(rows, move, rank, adversarial_is_more=True)
        self.level[rows] += move * (rank < high[:, None])
        self.success[rows] = all_of_them | (high < move.shape[1])

    def trim(self, rows: Tensor) -> None:
        """Step back toward the image with as many pixels as the margin stands."""
        slope, away = self._here(rows)
        move = -away.sign().long() * (away.abs() > self.step / 2)
        target = self.level[rows] + move
        move = move * ((target >= 0) & (target < self.levels))
        saved = 2 * away.abs() * self.step - self.step**2
        loss = -(slope * move)
        price = torch.where(move != 0, loss / saved.clamp_min(1e-30), torch.inf)
        rank = _rank(price)
        low, _ = self._bisect(rows, move, rank, adversarial_is_more=False)
        self.level[rows] += move * (rank < low[:, None])

    def _bisect(
        self, rows: Tensor, move: Tensor, rank: Tensor, *, adversarial_is_more: bool
    ) -> tuple[Tensor, Tensor]:
        """Numbers of first steps, the lower and the higher, between which the verdict turns."""
        low = torch.zeros_like(rows)
        # Trimming may take every step; repairing is asked only where all of them might be needed.
        high = torch.full_like(rows, move.shape[1] + (not adversarial_is_more))
        for _ in range(move.shape[1].bit_length()):
            middle = (low + high + 1) // 2
            verdict = self.adversarial(self.level[rows] + move * (rank < middle[:, None]), rows)
            up = verdict != adversarial_is_more
            open_ = high - low > 1
            low = torch.where(open_ & up, middle, low)
            high = torch.where(open_ & ~up, middle, high)
        return low, high

    def _here(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The slope of the margin where `rows` are, and how far they are from their images."""
        here = self._pixels(self.level[rows])
        self.forward[rows] += 1
        self.backward[rows] += 1
        return margin_gradient(self.network, here, self.goal[rows]), here - self.images[rows]

    def _pixels(self, level: Tensor) -> Tensor:
        return from_levels(level, self.box, self.levels, self.images.dtype)


def _rank(price: Float[Tensor, "b n"]) -> Int64[Tensor, "b n"]:
    return price.argsort(dim=1, stable=True).argsort(dim=1, stable=True)


def margin_gradient(network: Network, z: Float[Tensor, "b n"], goal: Goal) -> Float[Tensor, "b n"]:
    """The gradient of the goal's margin at z."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        return full_gradient(goal.margin(network.logits(z)).sum(), z)


def round_to_levels(points: Tensor, box: Box, levels: int) -> Int64[Tensor, "b n"]:
    """The nearest lattice level 0 … levels − 1 of every pixel."""
    return ((points - box.lower) / box.width * (levels - 1)).round().long().clamp(0, levels - 1)


def from_levels(level: Tensor, box: Box, levels: int, dtype: torch.dtype) -> Tensor:
    """Pixel values of lattice levels; for the unit box and 256 levels, exactly level / 255."""
    return (level.to(dtype) / (levels - 1)) * box.width + box.lower
