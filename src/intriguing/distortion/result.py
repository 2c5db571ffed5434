"""What comes out of a search for adversarial images: one row an image, and nothing pretended."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


class Status(IntEnum):
    """How the search for one image ended."""

    FOUND = 0
    """An adversarial image, classified again by a plain forward pass, inside the box."""
    ALREADY = 1
    """The image itself is classified as the target: D(x, l) = x, r = 0."""
    NOT_FOUND = 2
    """No point classified as the target was met."""
    LOST_ON_LATTICE = 3
    """Adversarial, but no neighbouring image of `levels` values a channel was found to be."""
    NOT_FINITE = 4
    """The model's logits, loss or gradient at the image are not finite."""
    OPTIMAL = 5
    """Found, and proved to be the closest, up to `gap`: 0 to rounding of affine networks, 1 % where
    a proof was asked for."""
    GIVEN_UP = 6
    """The search took too long, failed, or ended the process that did it, with this image alone."""
    UNREADABLE = 7
    """The file is no picture, or a damaged one."""


def status_names(codes: Int64[Tensor, " image"]) -> np.ndarray:
    """The names of many codes."""
    names: np.ndarray = np.array([one.name for one in sorted(Status)], dtype=object)
    return names.take(codes.cpu().numpy())


@dataclass(frozen=True)
class Found:
    """What a search hands over to be verified; one row an image, on the device.

    points: the shortest adversarial points met; anything where `claimed` is false. already: x
    itself is adversarial. finite: the model's values at x are. curve: the shortest ‖r‖₂ within
    each of `BUDGETS` passes. extra: what only this search knows, named as in `Distortions`.
    """

    points: Float[Tensor, "b n"]
    claimed: Bool[Tensor, " b"]
    already: Bool[Tensor, " b"]
    finite: Bool[Tensor, " b"]
    forward: Int64[Tensor, " b"]
    backward: Int64[Tensor, " b"]
    curve: Float[Tensor, "b budget"]
    extra: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Sequence["Found"]) -> "Found":
        """One batch after the other."""
        columns = [column.name for column in fields(cls) if column.name != "extra"]
        whole = {name: torch.cat([getattr(part, name) for part in parts]) for name in columns}
        names = parts[0].extra
        extra = {name: torch.cat([part.extra[name] for part in parts]) for name in names}
        return cls(**whole, extra=extra)

    def first(self, count: int) -> "Found":
        """The first rows, without the copies that filled a batch up."""
        columns = [column.name for column in fields(self) if column.name != "extra"]
        part = {name: getattr(self, name)[:count] for name in columns}
        return Found(**part, extra={name: column[:count] for name, column in self.extra.items()})


@dataclass(frozen=True)
class Distortions:
    """The minimum distortions of a batch; tensors on the CPU, one row an image, in its order.

    adversarial: the images x + r; NaN where nothing was found (never the original image).
    distortion: sqrt(Σ r² / n) (§4.2); infinite where nothing was found. l2: ‖r‖₂, likewise.
    success: whether an adversarial image was found. status: codes of `Status`.
    targets: the class l; in an untargeted search the class that the adversarial image is given.
    forward_passes, backward_passes: what the image cost. curve: the shortest ‖r‖₂ met within each
    of `incumbent.BUDGETS` passes, a pass being half a forward and a backward one; before the
    lattice repair that `levels` asks for.

    gap: how much of ‖r‖₂ could be gained at most, as a share of it; a proof, from the dual bound,
    known for affine networks, and of others where `prove` asked for it; else NaN. local_gap: the
    relative residual of the optimality conditions (KKT) with the network linearised at x + r: small
    where no small move makes r shorter, which does not exclude a shorter r elsewhere; from
    method="closest".

    c, trace: of method="paper": the largest weight of ‖r‖ whose minimiser is adversarial; c, ‖r‖₂
    and margin of each minimisation, NaN-padded, shape (image, minimisation, 3).
    per_class: when several targets an image were tried, the distortion toward each class:
    infinite where none was found, NaN where it was not tried, as for the label itself.
    """

    adversarial: Float[Tensor, "image ..."]
    distortion: Float[Tensor, " image"]
    l2: Float[Tensor, " image"]
    success: Bool[Tensor, " image"]
    status: Int64[Tensor, " image"]
    targets: Int64[Tensor, " image"]
    forward_passes: Int64[Tensor, " image"]
    backward_passes: Int64[Tensor, " image"]
    curve: Float[Tensor, "image budget"]
    gap: Float[Tensor, " image"]
    local_gap: Float[Tensor, " image"]
    c: Float[Tensor, " image"]
    trace: Float[Tensor, "image minimisation 3"]
    per_class: Float[Tensor, "image class"] | None = None

    def __len__(self) -> int:
        return len(self.success)

    @property
    def mean(self) -> float:
        """Average distortion of the images for which one was found: the tables' last column."""
        return float(self.distortion[self.success].double().mean())

    @property
    def passes(self) -> Float[Tensor, " image"]:
        """Passes of each image, a pass being half a forward and a backward one."""
        return (self.forward_passes + self.backward_passes) / 2
