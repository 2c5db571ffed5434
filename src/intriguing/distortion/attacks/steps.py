"""What gradient attacks share: a margin with its gradient, unit vectors, Adam, a schedule."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box
from intriguing.models.backward import full_gradient


def margin_and_gradient(
    logits: Logits, goal: Goal, points: Float[Tensor, "b n"]
) -> tuple[Float[Tensor, " b"], Float[Tensor, "b n"]]:
    """The goal's secure margin at `points`, −∞ for NaN logits, and its gradient."""
    with torch.enable_grad():
        z = points.detach().requires_grad_()
        margin = goal.secure_margin(logits(z))
        gradient = gradient_of(margin, z)
    return margin.detach().nan_to_num(nan=-torch.inf, neginf=-torch.inf), gradient


def gradient_of(
    values: Float[Tensor, " b"], z: Float[Tensor, "b n"], *, again: bool = False
) -> Float[Tensor, "b n"]:
    """The gradient of each row's value; 0 where it is not finite or there is none."""
    if not values.requires_grad:
        return torch.zeros_like(z)
    return full_gradient(values.sum(), z, again=again).nan_to_num(0, 0, 0)


def unit(vectors: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Vectors of length 1 in the same directions; 0 stays 0, and no square underflows."""
    tiny = torch.finfo(vectors.dtype).tiny
    scaled = vectors / vectors.abs().amax(1, keepdim=True).clamp_min(tiny)
    directions: Tensor = scaled / scaled.norm(dim=1, keepdim=True).clamp_min(1)
    return directions


def within_box(
    gradient: Float[Tensor, "b n"], points: Float[Tensor, "b n"], box: Box
) -> Float[Tensor, "b n"]:
    """The gradient over the pixels that can follow it; 0 where the box holds one back."""
    held = ((points <= box.lower) & (gradient < 0)) | ((points >= box.upper) & (gradient > 0))
    return gradient.masked_fill(held, 0)


def reach(images: Float[Tensor, "b n"], box: Box) -> Float[Tensor, " b"]:
    """Distance of every image to the farthest corner of the box: no r is longer."""
    farthest: Tensor = torch.maximum(images - box.lower, box.upper - images).norm(dim=1)
    return farthest


def cosine(step: int, steps: int) -> float:
    """From 1 at the first of `steps` down to nearly 0 at the last, along half a cosine."""
    return (1 + math.cos(math.pi * step / steps)) / 2


class Adam:
    """The direction of Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1) for rows of pixels."""

    def __init__(self, like: Float[Tensor, "b n"]) -> None:
        self.mean = torch.zeros_like(like)
        self.square = torch.zeros_like(like)
        self.steps = 0

    def direction(self, gradient: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Where to go against, in units of the learning rate."""
        self.steps += 1
        # β₁, β₂ and ε are the source's.
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient**2
        mean = self.mean / (1 - 0.9**self.steps)
        square = self.square / (1 - 0.999**self.steps)
        return mean / (square.sqrt() + 1e-8)
