"""Padding and resizing against their dense Jacobians."""

import pytest
import torch
from torch.nn import functional

from intriguing.errors import InputError
from intriguing.spectral.norms.resampling import axis_norm, interpolate_norm, pad_norm
from tests.oracles.dense_jacobian import dense_norm

PADS = [
    ((1, 2), "constant", (4,)),
    ((1, 2), "reflect", (4,)),
    ((2, 2), "reflect", (3,)),
    ((3, 1, 2, 2), "replicate", (3, 4)),
    ((2, 3, 1, 1), "circular", (4, 3)),
    ((1, 1, 2, 0), "reflect", (5, 3)),
    ((-1, 2, 0, -2), "constant", (5, 4)),
    ((1, 0, 2, 1, 1, 1), "replicate", (2, 3, 3)),
]


@pytest.mark.parametrize(("pads", "mode", "size"), PADS)
def test_pads_are_exact(pads: tuple[int, ...], mode: str, size: tuple[int, ...]) -> None:
    true = dense_norm(lambda x: functional.pad(x, pads, mode=mode), (1, *size))
    assert true * (1 - 1e-15) <= pad_norm(pads, mode, size) == pytest.approx(true, rel=1e-8)
    assert pad_norm(pads, mode) >= true * (1 - 1e-15)


RESIZES = [
    ((5,), {"size": 8, "mode": "nearest"}),
    ((5, 4), {"scale_factor": 2, "mode": "bilinear", "align_corners": False}),
    ((5, 4), {"size": (9, 3), "mode": "bilinear", "align_corners": True}),
    ((6, 5), {"scale_factor": (0.5, 1.7), "mode": "nearest-exact"}),
    ((6, 5), {"scale_factor": 1.3, "mode": "bicubic", "align_corners": False}),
    ((6, 5), {"size": (4, 7), "mode": "bicubic", "align_corners": True}),
    ((9, 8), {"size": (4, 5), "mode": "bilinear", "antialias": True}),
    ((9, 8), {"size": (4, 5), "mode": "bicubic", "antialias": True, "align_corners": False}),
    ((3, 4, 5), {"scale_factor": 1.5, "mode": "trilinear", "align_corners": False}),
    ((7, 9), {"size": (3, 4), "mode": "area"}),
    ((7,), {"scale_factor": 1.6, "recompute_scale_factor": True, "mode": "linear"}),
]


@pytest.mark.parametrize(("size", "options"), RESIZES)
def test_resizing_is_exact(size: tuple[int, ...], options: dict) -> None:
    true = dense_norm(lambda x: functional.interpolate(x, **options), (1, *size))
    assert true <= interpolate_norm(size, **options) == pytest.approx(true, rel=1e-6)


def test_schurs_test_bounds_long_axes() -> None:
    matrix = torch.zeros(4200, 4100, dtype=torch.float64)
    matrix[torch.arange(4200), torch.arange(4200) % 4100] = -1.0
    assert 2**0.5 <= axis_norm(matrix) == pytest.approx(2**0.5, rel=1e-6)


def test_what_torch_refuses_is_said() -> None:
    with pytest.raises(InputError, match="reflect"):
        pad_norm((5, 5), "reflect", (3,))
    with pytest.raises(InputError, match="two an axis"):
        pad_norm((1, 2, 3))
    with pytest.raises(InputError, match="interpolation"):
        interpolate_norm((4, 4))
