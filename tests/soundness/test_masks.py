"""Masks, places and curves inside networks: where they jump, and how steep they are.

A bound is never less than what two images show, and infinite where the network jumps.
"""

import functools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

import intriguing as it
from tests.oracles.dense_jacobian import dense_norm
from tests.oracles.every_operation import (
    SHAPE,
)
from tests.soundness.bodies import UNIT, Body, upper


def assigned(h: Tensor) -> Tensor:
    h = 1.0 * h
    h[h < 0] = 0.0
    return h


CONTINUOUS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "where": (lambda h: torch.where(h > 0, h, 0.1 * h), lambda h: functional.leaky_relu(h, 0.1)),
    "where, method": (lambda h: h.where(h >= 0, 0.1 * h), lambda h: functional.leaky_relu(h, 0.1)),
    "masked_fill": (lambda h: h.masked_fill(h < 0, 0.0), torch.relu),
    "masked_fill_": (lambda h: (1.0 * h).masked_fill_(h < 0, 0.0), torch.relu),
    "mask": (lambda h: h * (h > 0), torch.relu),
    "mask as float": (lambda h: (h > 0).float() * h, torch.relu),
    "mask as type": (lambda h: h * (h > 0).type_as(h), torch.relu),
    "mask of masks": (lambda h: h * ((h > 0) & ~(h < -1)), torch.relu),
    "shifted": (lambda h: torch.where(h > 1, 2 * h - 1, h), lambda h: functional.leaky_relu(h, 2)),
    "scaled condition": (lambda h: h * (2 * h + 1 > 1), torch.relu),
    "sign": (lambda h: h.sign() * h.abs(), torch.abs),
    "soft threshold": (
        lambda h: h.sign() * (h.abs() - 0.5) * (h.abs() > 0.5),
        lambda h: functional.softshrink(h, 0.5),
    ),
    "hard tanh": (
        lambda h: torch.where(h > 1, torch.ones_like(h), torch.where(h < -1, -1.0, h)),
        functional.hardtanh,
    ),
    "nan_to_num": (torch.nan_to_num, lambda h: 1.0 * h),
    "assigned": (assigned, torch.relu),
    "huber": (
        lambda h: torch.where(h.abs() < 1, 0.5 * h * h, h.abs() - 0.5),
        torch.abs,
    ),
    "exponential": (lambda h: torch.where(h > 0, h, h.clamp(max=0).exp() - 1), functional.elu),
}
JUMPS: dict[str, Callable[[Tensor], Tensor]] = {
    "where": lambda h: torch.where(h > 0.1, h, 0.1 * h),
    "where, at the threshold alone": lambda h: torch.where(h == 0, 1.0, h),
    "masked_fill": lambda h: h.masked_fill(h < 0, 1.0),
    "mask": lambda h: h * (h > 0.2),
    "mask of a neighbour": lambda h: h * (h > 0).roll(1, 1),
    "mask of the sum": lambda h: h * (h.sum(1, keepdim=True) > 0),
    "mask alone": lambda h: (h > 0).float(),
    "sign": torch.sign,
    "one-hot": lambda h: h + functional.one_hot(h.argmax(1), 16),
    "embedding": lambda h: functional.embedding(h.argmax(1), torch.eye(16)),
    "gather": lambda h: h.gather(1, h.argsort(1)),
    "round": torch.round,
    "floor division": lambda h: h // 0.25,
    "remainder": lambda h: h % 0.25,
    "there and back": lambda h: h.long().float(),
    "coarser format": lambda h: h.half().float(),
    "bit": lambda h: ((h > 0) ^ (h > 1)).to(h.dtype),
    "scatter": lambda h: torch.zeros_like(h).scatter(1, h.topk(2, 1).indices, 1.0),
    "hard shrink": functional.hardshrink,
    "threshold": lambda h: functional.threshold(h, 0.1, 0.0),
    "softplus cut off": lambda h: functional.softplus(h, 1.0, 1.0),
    "mask times infinity": lambda h: torch.nan_to_num(1 / h) * (h > 0),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_mask_that_makes_no_jump_has_the_bound_of_what_it_spells_out(name: str) -> None:
    spelled, meant = CONTINUOUS[name]
    assert upper(spelled) == pytest.approx(upper(meant), rel=1e-6)


@pytest.mark.parametrize("name", JUMPS)
def test_what_jumps_is_infinite_and_named(name: str) -> None:
    for domain in (None, UNIT):
        assert upper(JUMPS[name], domain) == math.inf
    labels = torch.tensor([0, 1])
    made = it.certify(Body(JUMPS[name]), torch.rand(2, *SHAPE), labels, local=False)
    assert not made.guaranteed
    assert not made.radius.any()


def test_masks_and_places_that_are_constants_are_linear_maps() -> None:
    causal = torch.ones(16, 16).tril() > 0
    places = torch.arange(16).flip(0)
    for body in (
        lambda h: h.masked_fill(causal[3], 0.0) @ causal.to(h.dtype) / 16,
        lambda h: h[:, places] + torch.arange(16) / 16,
        lambda h: h[:, : h.shape[1] // 2].repeat(1, 2),
        lambda h: h.gather(1, places.expand(len(h), 16)),
        lambda h: h @ torch.eye(16) + torch.tensor([0.5]),
        lambda h: torch.einsum("bi,ij->bj", h, torch.ones(16, 16)).cumsum(1),
    ):
        report = it.lipschitz_report(Body(body), SHAPE, semidefinite=False)
        true = dense_norm(lambda x, body=body: Body(body)(x.float()).double(), SHAPE)
        assert true <= report.upper * (1 + 1e-5)
        assert report.upper < 12 * true
        assert report.guaranteed


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    st.floats(-1, 1), st.floats(-1, 1), st.floats(-2, 2), st.floats(-2, 2), st.booleans(),
    st.sampled_from(["gt", "ge", "lt", "le"]),
)  # fmt: skip
def test_two_lines_at_a_threshold_are_bounded_exactly_where_they_meet(
    at: float, apart: float, left: float, right: float, meets: bool, compare: str
) -> None:
    gap = 0.0 if meets else apart

    def body(h: Tensor) -> Tensor:
        return torch.where(getattr(h, compare)(at), left * (h - at), right * (h - at) + gap)

    found = upper(body, seed=3)
    steep = max(abs(left), abs(right)) * _product()
    if gap == 0.0:
        assert found == pytest.approx(steep, rel=1e-6, abs=1e-12)
    elif abs(gap) > 1e-6:
        assert found == math.inf


@functools.cache
def _product() -> float:
    """The bound of both linear layers with something of slope 1 between them."""
    return upper(torch.abs, seed=3)


@pytest.mark.parametrize(
    ("body", "slope"),
    [
        (lambda x: x * x, 2.0),
        (lambda x: x**3, 3.0),
        (lambda x: (x + 0.01).sqrt(), 5.0),
        (lambda x: (x * x + 1).sqrt(), 0.71),
        (lambda x: 1 / (x + 0.5), 4.0),
        (lambda x: (x + 0.5).reciprocal(), 4.0),
        (lambda x: x.exp(), math.e),
        (lambda x: (x + 0.25).log(), 4.0),
        (lambda x: x * torch.sigmoid(x), 0.93),
        (lambda x: (1 - x) / (1 + x), 2.0),
    ],
)
def test_on_a_domain_curves_are_as_steep_as_they_are(
    body: Callable[[Tensor], Tensor], slope: float
) -> None:
    class Pixels(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return body(x.flatten(1))

    network = Pixels().eval()
    report = it.lipschitz_report(network, (1, 2, 2), domain=UNIT)
    assert slope * 0.99 <= report.upper <= slope * 1.16
    assert report.lower <= report.upper
    assert it.lipschitz_report(network, (1, 2, 2)).upper == math.inf
