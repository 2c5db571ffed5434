"""Receptive fields against the support of gradients of random networks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from intriguing.errors import InputError
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.units.activations import activations
from intriguing.units.receptive_field import Box, receptive_field
from tests.units.networks import conv_network

SIDE = 11


class Branches(nn.Module):
    """Two paths of different windows, joined by cat, by addition or both."""

    def __init__(self, dilation: int, join: str) -> None:
        super().__init__()
        self.wide = nn.Conv2d(1, 3, 3, padding=dilation, dilation=dilation)
        self.narrow = nn.Conv2d(1, 3, 1)
        self.end = nn.Conv2d(6 if join == "cat" else 3, 2, 2, stride=2)
        self.join = join

    def forward(self, x):
        a, b = functional.relu(self.wide(x)), self.narrow(x)
        joined = torch.cat((a, b), 1) if self.join == "cat" else a + b
        return self.end(functional.avg_pool2d(joined, 3, stride=1, padding=1))


def support(model: nn.Module, layer: str, step: int = 1) -> list[Box | None]:
    """Pixels with a gradient, for every `step`-th position; the network's every weight counts."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(0.1, 1.0)
    values = {}
    module = dict(model.named_modules())[layer]
    handle = module.register_forward_hook(lambda m, x, y: values.update(y=y))
    x = torch.rand(1, 1, SIDE, SIDE + 3, requires_grad=True)
    model(x)
    handle.remove()
    boxes = []
    for at in values["y"].sum(1).flatten()[::step]:
        (gradient,) = torch.autograd.grad(at, x, retain_graph=True)
        rows, columns = (gradient[0, 0].any(d).nonzero()[:, 0].tolist() for d in (1, 0))
        seen = rows and Box(rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
        boxes.append(seen or None)
    return boxes


window = st.tuples(
    st.sampled_from(["conv", "avg", "transposed", "adaptive"]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 2),
)


@settings(max_examples=40, deadline=None)
@given(windows=st.lists(window, min_size=1, max_size=4))
def test_boxes_are_the_support_of_the_gradient(windows):
    layers, sizes = [], (SIDE, SIDE + 3)
    for kind, kernel, stride, padding, dilation in windows:
        made = {
            "conv": lambda k, s, p, d: nn.Conv2d(1, 1, k, s, p, d),
            "avg": lambda k, s, p, d: nn.AvgPool2d(k, s, min(p, k // 2), ceil_mode=d == 2),
            "transposed": lambda k, s, p, d: nn.ConvTranspose2d(1, 1, k, 1, 0, dilation=d),
            "adaptive": lambda k, s, p, d: nn.AdaptiveAvgPool2d((2 * k, 3 * s)),
        }[kind](kernel, stride, padding, dilation)
        try:
            sizes = made(torch.zeros(1, 1, *sizes)).shape[2:]
        except RuntimeError:
            continue
        layers += [made, nn.Softplus()]
    if not layers:
        return
    model = nn.Sequential(*layers).eval()
    last = str(len(layers) - 1)
    field = receptive_field(model, last, (1, SIDE, SIDE + 3))
    assert field.whole == ""
    step = max(1, len(field.boxes) // 12)
    expected = support(model, last, step)
    for box, seen in zip(field.boxes[::step], expected, strict=True):
        if seen is None:  # padding only
            continue
        # Strides beyond the kernel leave gaps in what is read; a box is the hull of each layer's.
        assert box.top <= seen.top
        assert box.left <= seen.left
        assert seen.bottom <= box.bottom
        assert seen.right <= box.right
    if all(kind == "conv" and padding == 0 for kind, _, _, padding, _ in windows):
        assert list(field.boxes[::step]) == expected


@pytest.mark.parametrize("join", ["cat", "add"])
@pytest.mark.parametrize("dilation", [1, 2])
def test_branches_join_to_the_hull(join, dilation):
    model = Branches(dilation, join).eval()
    for layer in ("wide", "narrow", "end"):
        field = receptive_field(model, layer, (1, SIDE, SIDE + 3))
        assert field.whole == ""
        assert list(field.boxes) == support(model, layer)


def test_same_and_circular_padding():
    model = nn.Sequential(nn.Conv2d(1, 1, 5, padding="same"), nn.ReLU()).eval()
    assert list(receptive_field(model, "1", (1, SIDE, SIDE + 3)).boxes) == support(model, "1")
    wraps = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")).eval()
    field = receptive_field(wraps, "0", (1, 6, 6))
    assert field.box(0) == Box(0, 0, 6, 6)
    assert field.box(7) == Box(0, 0, 3, 3)


def test_layers_without_positions_and_unknown_operations_see_the_whole_image():
    model = conv_network()
    assert receptive_field(model, "4", (1, 16, 16)).whole == ""
    dense = receptive_field(model, "6", (1, 16, 16))
    assert dense.box(-1) == Box(0, 0, 16, 16)
    assert "no positions" in dense.whole
    mixed = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Softmax(3), nn.Conv2d(4, 1, 1)).eval()
    field = receptive_field(mixed, "2", (1, 6, 6))
    assert "Softmax" in field.whole
    assert field.box(3) == Box(0, 0, 6, 6)
    assert (
        "no positions"
        in receptive_field(FullyConnected((4, 3)).eval(), "layers.0", (1, 2, 2)).whole
    )
    normed = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4)).eval()
    assert "GroupNorm" in receptive_field(normed, "1", (1, 6, 6)).whole

    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(1, 1, 3)

        def forward(self, x):
            return self.a(x) if x.sum() > 0 else self.a(-x)

    assert "cannot be traced" in receptive_field(Branching().eval(), "a", (1, 6, 6)).whole
    with pytest.raises(InputError, match="no layer"):
        receptive_field(model, "nope", (1, 16, 16))


def test_an_image_changed_outside_the_box_leaves_the_activation():
    model = conv_network()
    field = receptive_field(model, "4", (1, 16, 16))
    x = torch.rand(1, 1, 16, 16)
    for position in (0, 14, 35):
        box = field.box(position)
        other = torch.rand(1, 1, 16, 16)
        rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
        other[:, :, rows, columns] = x[:, :, rows, columns]
        both = next(activations(model, "4", torch.cat((x, other))))["4"].flatten(2)[:, :, position]
        torch.testing.assert_close(both[0], both[1])
