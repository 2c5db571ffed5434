"""Functions of affine forms that are not linear, to first order around the centre.

As in Taylor models, the second derivative between the ends of what enters bounds what that leaves
open.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from intriguing.graph.affine_form import AffineForm, rounding
from intriguing.graph.interval import Interval

_COMPUTED = 1e-13
"""Error of functions of one number as float64 computes them, relative to the sizes that meet."""


def softmax(form: AffineForm, dim: int) -> AffineForm:
    """p = softmax(z) along an axis, counted from the last.

    ½ d²p = ½ qᵢ((Δᵢ − m)² − Σ qⱼ(Δⱼ − m)²) with m = Σ qⱼΔⱼ, q the shares at some place between
    the ends. What moves all of z alike moves nothing, so that Δ may be taken less Σ p̂ⱼΔⱼ, p̂ those
    at the centre; then m = Σ (qⱼ − p̂ⱼ)Δⱼ.
    """
    share = form.centre.softmax(dim)
    terms = form.centre.shape[dim]

    def less_mean(moves: Tensor) -> Tensor:
        return moves - (share * moves).sum(dim, keepdim=True)

    def with_mean(moves: Tensor) -> Tensor:
        return moves + (share * moves).sum(dim, keepdim=True)

    moves = replace(form, centre=torch.zeros_like(share)).moved(less_mean, with_mean, terms)
    wide = moves.spread
    least, most = _shares(form.centre, wide, dim)
    apart = torch.maximum(most - share, share - least) + rounding(terms)
    mean = (apart * wide).sum(dim, keepdim=True) * (1 + 1e-9)
    farthest = wide.amax(dim, keepdim=True).square()
    variance = torch.minimum((most * wide.square()).sum(dim, keepdim=True), farthest)
    up = 0.25 * most * (wide + mean).square() * (1 + 1e-9)
    down = 0.25 * most * variance * (1 + 1e-9)
    made = moves.scaled(share, share).doubted(rounding(terms) * (share + up + down + share * wide))
    return made.left_open(up - down, up + down)


def _shares(centre: Tensor, wide: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Between which each share of a softmax lies: one number at its end, all others at theirs."""
    top = (centre + wide).amax(dim, keepdim=True)
    raised, lowered = (centre + wide - top).exp(), (centre - wide - top).exp()
    low_others = (lowered.sum(dim, keepdim=True) - lowered).clamp_min(0.0)
    high_others = (raised.sum(dim, keepdim=True) - raised).clamp_min(0.0)
    slack = rounding(centre.shape[dim]) + 1e-9
    most = (raised / (raised + low_others)).clamp_max(1.0) * (1 + slack)
    least = lowered / (lowered + high_others) * (1 - slack) - slack
    return least.clamp_min(0.0), most


def normalised(form: AffineForm, eps: float, *, centred: bool) -> AffineForm:
    """v = u/s along the last axis, s² = mean(u²) + ε, u less its mean where `centred`.

    ½ d²vᵢ = (−2Δᵢ(v·Δ)/n + vᵢ(3(v·Δ)²/n² − ‖Δ‖²/n))/(2s²) at some place between the ends. There
    ‖v‖ ≤ √n, s has moved by no more than ‖Δ‖/√n, and v from v̂ at the centre by ‖Δ‖/s.
    """
    count = form.centre.shape[-1]
    if centred:
        form = form.moved(
            lambda t: t - t.mean(-1, keepdim=True), lambda t: t + t.mean(-1, keepdim=True), count
        )
    root, length = count**0.5, form.length()
    scale = (form.centre.square().mean(-1, keepdim=True) + eps).sqrt()
    least = (scale * (1 - 1e-12) - length / root).clamp_min(0.0)
    least = torch.maximum(least, scale.new_tensor(eps).sqrt()) * (1 - 1e-9)
    inverses = 1.0 / (scale * (1 + 1e-12) + length / root).square(), 1.0 / least.square()
    value = form.centre / scale

    def along(moves: Tensor) -> Tensor:
        return (value * moves).mean(-1, keepdim=True)

    def along_size(moves: Tensor) -> Tensor:
        return (value.abs() * moves).mean(-1, keepdim=True)

    turned = torch.minimum(length / least, torch.full_like(length, 2 * root))
    moves = replace(form, centre=torch.zeros_like(form.centre))
    forward = moves.moved(along, along_size, count)
    # (v·Δ)/n is that with v̂ up to this, and |(v·Δ)/n| at most `inward`.
    apart = turned * length / count
    inward = torch.minimum(forward.spread + apart, length / root)
    # −Δᵢ(v̂·Δ)/n, of which the δ alone make a product of two linear functions.
    middle = 0.5 * (moves.ball * forward.ball).sum(0)
    alone = moves.within_ball * forward.within_ball
    half = (
        moves.spread * forward.spread - 0.5 * alone * (1 - 1e-9) + rounding(len(form.ball)) * alone
    )
    ends = [-middle - half, -middle + half]
    across = [torch.minimum(ends[0] * inverses[0], ends[0] * inverses[1]),
              torch.maximum(ends[1] * inverses[0], ends[1] * inverses[1])]  # fmt: skip
    more = form.spread * apart * inverses[1]
    # vᵢ has the sign that it has at the centre, or is small.
    most = torch.minimum(value.abs() + turned, torch.full_like(value, root)) * inverses[1]
    rising, falling = 1.5 * inward.square() * most, 0.5 * length.square() / count * most
    sure = value.abs() > turned
    up = torch.where(sure & (value < 0), falling, rising)
    down = torch.where(sure & (value < 0), rising, falling)
    up, down = (torch.where(sure, t, torch.maximum(up, down)) for t in (up, down))
    high, low = across[1] + up + more, across[0] - down - more

    def derived(moves: Tensor) -> Tensor:
        return (moves - value * along(moves)) / scale

    def derived_size(moves: Tensor) -> Tensor:
        return (moves + value.abs() * along_size(moves)) / scale

    made = moves.moved(derived, derived_size, count)
    made = replace(made, centre=value).doubted(
        rounding(count) * (value.abs() + high.abs() + low.abs())
    )
    return made.left_open(0.5 * (high + low), 0.5 * (high - low) * (1 + 1e-9))


def curved(
    form: AffineForm, value: Callable[[Tensor], Tensor],
    slopes: Callable[[Interval], Interval | None], pieces: int = 16,
) -> AffineForm | None:  # fmt: skip
    """What acts on every number by itself, known from the slopes of each of some pieces.

    Args:
        value: It, of a batch.
        slopes: As `Rule.interval`; None where nothing is known.
    """
    low, high = form.centre - form.spread, form.centre + form.spread
    share = torch.linspace(0.0, 1.0, pieces + 1, dtype=low.dtype, device=low.device)
    nodes = low + (high - low) * share.view(-1, *[1] * low.ndim)
    nodes[-1] = high
    rows = (-1, *low.shape[1:])
    span = slopes(Interval.between(nodes[:-1].reshape(rows), nodes[1:].reshape(rows)))
    if span is None:
        return None
    down, up = (s.reshape(pieces, *low.shape) for s in (span.down, span.up))
    values = value(nodes.reshape(rows)).reshape(nodes.shape)
    width = high - low
    chord = torch.where(width > 0, (values[-1] - values[0]) / width, 0.5 * (down[0] + up[0]))
    chord = torch.maximum(torch.minimum(chord, up.amax(0)), down.amin(0))
    apart, step = values - chord * nodes, nodes.diff(dim=0)
    rises, falls = (up - chord) * step, (down - chord) * step
    above = torch.minimum(apart[:-1] + rises.clamp_min(0.0), apart[1:] - falls.clamp_max(0.0)).amax(
        0
    )
    below = torch.maximum(apart[:-1] + falls.clamp_max(0.0), apart[1:] - rises.clamp_min(0.0)).amin(
        0
    )
    steepest = torch.maximum(down.abs(), up.abs()).amax(0) + chord.abs()
    doubt = _COMPUTED * (values.abs().amax(0) + steepest * form.largest)
    return between_lines(form, chord, below, above, doubt)


def between_lines(
    form: AffineForm, slope: Tensor, below: Tensor, above: Tensor, doubt: Tensor
) -> AffineForm:
    """What lies between slope·t + below and slope·t + above, each within `doubt`."""
    made = form.scaled(slope, torch.zeros_like(slope)).doubted(doubt)
    half = 0.5 * (above - below) * (1 + 1e-9)
    return made.left_open(0.5 * (above + below), half.clamp_min(0.0))
