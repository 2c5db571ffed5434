"""Certified radii made larger by affine forms of the ball around each image."""

import math
import time

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.graph.affine_form import rounding
from intriguing.measures import Box, Progress, ProgressCallback
from intriguing.models.classifier import device_of
from intriguing.spectral.certificates.forms.network import Network, network_of
from intriguing.spectral.certificates.pairwise import PairBounds
from intriguing.spectral.certificates.relaxation.program import program_of
from intriguing.spectral.dual.region import Region

_TRIALS = 10
"""Radii that are tried at most."""
_CLOSE = 1.01
"""Where what is proved and what is not are so close, no radius between them is tried."""
_CAREFUL = 0.97
"""Of where a parabola through what a trial proved would end, so much is tried next."""
_FIRST = 0.05
"""The first radius, relative to where the leads would end if the network were linear."""
_STILL = 1e-9
"""A radius in which everything is linear."""
_FEWER = 0.25
"""Of a radius at which next to nothing is known, so much is tried next."""


def formed_certificates(
    radii: Float[Tensor, "n k"],
    ahead: Float[Tensor, "n k"],
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    bounds: PairBounds,
    box: Box,
    progress: ProgressCallback | None = None,
    *,
    seconds: float = math.inf,
) -> Float[Tensor, "n k"] | None:
    """As `relaxed_certificates`, of networks that have no linear relaxation."""
    walk = bounds.analysed.walk
    if not bounds.guaranteed or program_of(walk) is not None:
        return None
    network = network_of(walk)
    if network is None:
        return None
    radii, device = radii.clone(), device_of(bounds.analysed.graph)
    low, high = (
        torch.as_tensor(b, dtype=torch.float64).to(device).expand(images.shape[1:])
        for b in (box.lower, box.upper)
    )
    for row, image in enumerate(images):
        until = time.process_time() + seconds
        if bool((ahead[row] > 0).all()):
            given = image[None].to(device).double()
            flat = given.flatten()
            ends = (low.flatten() - flat).clamp_max(0.0), (high.flatten() - flat).clamp_min(0.0)
            search = _Search(network, given, *ends, int(labels[row]), ahead[row])
            radii[row] = search.longer(radii[row], until)
        if progress is not None:
            progress(Progress("affine forms around each image", row + 1, len(images)))
    return radii


class _Search:
    """Longer radii of one image, against each class."""

    def __init__(
        self, network: Network, image: Float[Tensor, "1 ..."], down: Float[Tensor, " pixels"],
        up: Float[Tensor, " pixels"], label: int, ahead: Float[Tensor, " k"],
    ) -> None:  # fmt: skip
        self.network, self.image, self.ahead = network, image, ahead
        # x₀ + d is rounded once; the box is as much wider.
        wider = rounding(1) * (image.flatten().abs() + 1e-300)
        self.down, self.up = down - wider, up + wider
        self.others = torch.arange(len(ahead)) != label
        self.rows = -torch.eye(len(ahead), dtype=image.dtype, device=image.device)[self.others]
        self.rows[:, label] += 1.0

    def longer(self, radii: Float[Tensor, " k"], until: float) -> Float[Tensor, " k"]:
        """Try radii: what is proved of one counts for every class that stays behind there.

        None is tried once the process has taken so many seconds.
        """
        radii, ahead = radii.clone(), self.ahead[self.others]
        own = radii[self.others]
        form = self.network.form(self.image, _STILL)
        if form is None:
            return radii
        lead = (self.rows @ form.centre[0]).cpu()
        # What rounding of the network's own arithmetic takes off the lead, here and elsewhere.
        slack = (lead - ahead).clamp_min(0.0)
        steep = torch.linalg.vector_norm(self.rows @ form.ball[:, 0].mT, dim=1).cpu() / _STILL
        reach = max(_FIRST * float((ahead / steep).min()), 1.2 * float(own.min()))
        beyond = math.inf
        for _ in range(_TRIALS):
            inside = float(own.min())
            done = reach <= inside or beyond < _CLOSE * inside
            if done or time.process_time() >= until:
                break
            least = self._least(reach) - slack
            own = torch.where(least > 0, own.clamp_min(reach), own)
            if not bool((least > 0).all()):
                beyond = min(beyond, reach)
            # Where ahead − steep·R − bend·R² ends, if that bends as it does up to here.
            bend = ((ahead - least - steep * reach) / reach**2).clamp_min(1e-12)
            root = (steep.square() + 4 * bend * ahead).sqrt()
            end = float((_CAREFUL * 2 * ahead / (steep + root)).nan_to_num(0.0).min())
            reach = _between(end, reach, float(own.min()), beyond)
        radii[self.others] = own
        return radii

    def _least(self, radius: float) -> Float[Tensor, " others"]:
        """What each lead is at least in the ball and the box."""
        form = self.network.form(self.image, radius)
        if form is None:
            return self.ahead.new_full((len(self.rows),), -torch.inf)
        moves = self.rows @ form.ball[:, 0].mT
        least, _ = Region(radius, self.down, self.up).least(moves / radius)
        left_open = self.rows.abs() @ form.rest[0]
        left_open = left_open + (form.free[:, 0] @ self.rows.mT).abs().sum(0)
        size = self.rows.abs() @ form.largest[0]
        doubt = rounding(len(form.free) + len(form.ball)) * size
        whole = self.rows @ form.centre[0] + least - left_open * (1 + 1e-9) - doubt
        return whole.nan_to_num(nan=-torch.inf, posinf=-torch.inf).cpu()


def _between(end: float, reach: float, inside: float, beyond: float) -> float:
    """The next radius: where the leads seem to end, kept away from what is known already."""
    if beyond == math.inf:
        return min(max(end, 1.1 * reach), 4 * reach)
    if inside < _FEWER * beyond:
        return min(max(end, _FEWER * beyond), 0.8 * beyond)
    apart = beyond - inside
    return min(max(end, inside + 0.2 * apart), inside + 0.7 * apart)
