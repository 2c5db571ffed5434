"""Radii of linear relaxations against exact distances, strong searches and samples."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from intriguing import certify, minimum_distortion, register_bound
from intriguing.distortion.result import Status
from intriguing.spectral.certificates.lipschitz import analyse
from intriguing.spectral.certificates.relaxation.choices import Choice, Choices
from intriguing.spectral.certificates.relaxation.program import Curve, program_of
from intriguing.spectral.certificates.relaxation.ranges import surroundings
from intriguing.spectral.certificates.relaxation.search import proved, started
from intriguing.spectral.certificates.relaxation.segments import first_map, inner_maps, segments_of
from intriguing.spectral.certificates.relaxation.sparse_map import Peak
from intriguing.spectral.certificates.relaxation.surroundings import image_of
from intriguing.spectral.certificates.relaxation.windows import Windows

WORDS = "linear relaxation"


class Residual(nn.Module):
    """A block with a skip connection, which needs a 1×1 convolution where the stride is 2."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, stride, 1), nn.Conv2d(3, 3, 3, 1, 1)
        self.norm = nn.BatchNorm2d(3)
        self.skip = nn.Conv2d(3, 3, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.second(torch.relu(self.first(x)))) + self.skip(x))


class Branches(nn.Module):
    """Two branches side by side as channels, and a view with a size of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([functional.silu(self.left(x)), self.right(x).tanh()], 1)
        return (0.7 * both - 0.1).view(both.shape[0], -1)


def head(*layers: nn.Module, size: int = 6, channels: int = 2, classes: int = 3) -> nn.Sequential:
    """Layers, then all that they give to as many classes."""
    body = nn.Sequential(*layers, nn.Flatten()).eval()
    with torch.no_grad():
        units = body(torch.zeros(1, channels, size, size)).shape[1]
    return nn.Sequential(*body, nn.Linear(units, classes)).eval()


def conv(**settings: int | str) -> nn.Conv2d:
    return nn.Conv2d(2, 4, 3, **settings)  # type: ignore[arg-type]


NETWORKS: dict[str, Callable[[], nn.Sequential]] = {
    "strided": lambda: head(conv(stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 2), nn.ReLU()),
    "leaky": lambda: head(conv(), nn.LeakyReLU(0.2), nn.Conv2d(4, 4, 3, groups=2), nn.ELU()),
    "batch norm": lambda: head(
        nn.BatchNorm2d(2), conv(bias=False), nn.BatchNorm2d(4), nn.PReLU(4), nn.Conv2d(4, 2, 2)
    ),
    "average": lambda: head(conv(padding=1), nn.GELU(), nn.AvgPool2d(2), nn.Conv2d(4, 2, 2)),
    "adaptive": lambda: head(conv(), nn.Softplus(), nn.AdaptiveAvgPool2d(3), nn.Hardtanh()),
    "rectified": lambda: head(conv(), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 2)),
    "max": lambda: head(conv(padding=1), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(4, 2, 2)),
    "overlapping": lambda: head(conv(), nn.Tanh(), nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 2, 2)),
    "residual": lambda: head(nn.Conv2d(2, 3, 1), Residual(1), Residual(2)),
    "branches": lambda: head(Branches(), nn.Sigmoid()),
    "circular": lambda: head(conv(padding=1, padding_mode="circular"), nn.SiLU(), nn.Mish()),
    "dilated": lambda: head(conv(dilation=2), nn.Softsign(), nn.ConvTranspose2d(4, 2, 2, 2)),
}


def network(name: str) -> nn.Sequential:
    """With weights larger than usual, and running statistics that are not 0 and 1."""
    torch.manual_seed(3)
    net = NETWORKS[name]()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    with torch.no_grad():
        net[-1].weight.mul_(3.0)
        pictures = torch.rand(64, 2, 6, 6, generator=torch.Generator().manual_seed(9))
        net[-1].bias.sub_(net(pictures).mean(0))
    return net.requires_grad_(False)


@pytest.mark.parametrize(
    "name", ["strided", "max", "rectified", "overlapping", "batch norm", "residual", "branches"]
)
def test_no_example_is_nearer_and_no_radius_shorter_than_without(name: str) -> None:
    net = network(name)
    images = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    labels = net(images).argmax(1)
    with_, without = (certify(net, images, labels, local=local) for local in (True, False))
    assert WORDS in with_.formula
    assert bool((with_.radius >= without.radius).all())
    found = minimum_distortion(net, images, labels, "untargeted", "closest", budget=150)
    assert bool((with_.radius < found.l2 * (1 + 1e-6)).all())
    assert bool(found.l2.isfinite().all())
    assert float(with_.radius / without.radius) > 1.25
    precise = net.double()
    points = descended(precise, images.double(), float(with_.radius))
    assert bool((precise(points).argmax(1) == labels).all())


def descended(net: nn.Module, image: Tensor, radius: float) -> Tensor:
    """Points of the box on the sphere, by steps down the smallest leads and the next ones."""
    generator = torch.Generator().manual_seed(1)
    points = image + 0.3 * torch.randn(64, *image.shape[1:], generator=generator).double()
    label = int(net(image).argmax(1))
    for step in range(40):
        points.requires_grad_()
        logits = net(points)
        others = logits[:, [j for j in range(logits.shape[1]) if j != label]]
        chosen = others.sort(1, descending=True).values[:, step % 2]
        (slope,) = torch.autograd.grad((logits[:, label] - chosen).sum(), points)
        with torch.no_grad():
            change = points - image - 0.3 * radius * slope / length(slope).clamp_min(1e-30)
            points = (image + change * radius / length(change).clamp_min(radius)).clamp(0, 1)
    inside = image + (points - image) * (1 - 1e-9)
    assert bool((length(inside - image) <= radius).all())
    return inside


@pytest.mark.parametrize("name", list(NETWORKS))
def test_whatever_is_chosen_is_a_bound(name: str) -> None:
    """Slopes at random, tails of any strength, paid or carried on, against points of the ball.

    Those of the first curve are paid at the input and those of others at the curve before, of every
    unit by itself, in any units of what they meet there, or all alike.
    """
    net = network(name).double()
    image = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(5)).double()
    program = program_of(analyse(net, (2, 6, 6), (0.0, 1.0)).walk)
    assert program is not None
    segments = segments_of(program)
    assert segments is not None
    first = first_map(program, segments)
    inner = inner_maps(program, segments, 4096)
    ends = torch.zeros_like(image[0]), torch.ones_like(image[0])
    here = image_of(program, image, *ends, first, inner)
    places = {*inner, *([first.place] if first else [])}
    met = {map.before for map in inner.values()}
    label = int(net(image).argmax(1))
    row = torch.zeros(1, 3, dtype=torch.float64)
    row[0, label], row[0, (label + 1) % 3] = 1.0, -1.0
    generator = torch.Generator().manual_seed(6)
    for radius in (0.05, 0.4):
        around = surroundings(here, segments, radius)
        least = float((net(descended(net, image, radius)) @ row[0]).min())
        for strength, paid in ((-9.0, 0.0), (0.0, -20.0), (0.0, 20.0), (2.0, -20.0), (2.0, 0.0)):
            curves = {}
            for at, cells in around.cells.items():
                low, high = cells.slopes
                slopes = low + (high - low) * torch.rand(1, len(low), generator=generator).double()
                start = started(around, row).curves[at].slopes
                one = torch.ones(1, 1, dtype=torch.float64)
                if program.nodes[at].parents[0] in places and paid:
                    one = torch.rand(1, len(low), generator=generator).double() * 2
                slopes = torch.where(
                    torch.rand(slopes.shape, generator=generator) < 0.5, start, slopes
                )
                units = torch.zeros(1, 1).double()
                if at in met and one.shape[1] > 1:
                    count = here.values[at].numel()
                    units = torch.randn(1, count, generator=generator).double()
                paid_there = paid * torch.ones_like(one[:, :1])
                curves[at] = Choice(slopes, strength * one, paid_there, units)
            assert float(proved(around, row, Choices(curves))[0]) <= least


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("each", [False, True])
def test_the_least_value_of_a_window_is_that_of_a_fine_grid(rectified: bool, each: bool) -> None:
    """Forty windows of three numbers, all corners and a grid of each: never above, and near."""
    generator = torch.Generator().manual_seed(2 * rectified + each)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    ends = draw(2, 3, 40).sort(0).values
    z0 = ends[0] + (ends[1] - ends[0]) * torch.rand(3, 40, generator=generator).double()
    windows = Windows(ends[0], ends[1], rectified)
    q, g, mu = 2 * draw(1, 40), draw(1, 120), draw(1, 1).abs()
    strength = mu + draw(1, 120 if each else 1).exp()
    y0 = z0.amax(0).clamp_min(0.0 if rectified else -torch.inf)
    found = windows.least(q, g, mu, strength, z0.flatten(), y0, proved=True)[0]
    share = torch.linspace(0, 1, 41, dtype=torch.float64)
    grid = torch.cartesian_prod(share, share, share)[:, :, None]
    z = ends[0] + (ends[1] - ends[0]) * grid
    y = z.amax(1).clamp_min(0.0 if rectified else -torch.inf)
    tail = strength.expand(1, 120).view(3, 40)
    value = q * y - (g.view(3, 40) * z).sum(1) - 0.5 * mu * (y - y0).square()
    value = (value + 0.5 * (tail * (z - z0).square()).sum(1)).amin(0)
    assert bool((found <= value).all())
    mesh = (ends[1] - ends[0]).amax(0) / 80
    assert bool((value - found <= mesh * (q[0].abs() + g.view(3, 40).abs().sum(0))).all())
    lines = windows.lines
    assert bool(((lines.below.view(3, 40) * z).sum(1) + lines.under <= y + 1e-12).all())
    assert bool(((lines.above.view(3, 40) * z).sum(1) + lines.over >= y - 1e-12).all())


@pytest.mark.parametrize("size", [8, 24])
def test_the_largest_eigenvalue_of_weighted_units_is_proved_closely(size: int) -> None:
    """Few pixels are factored whole, more in a band; a multiple of what is known costs nothing."""
    net = head(nn.Conv2d(2, 3, 3, 2, 1), nn.ReLU(), size=size).requires_grad_(False)
    program = program_of(analyse(net.double(), (2, size, size), (0.0, 1.0)).walk)
    assert program is not None
    segments = segments_of(program)
    assert segments is not None
    first = first_map(program, segments)
    assert first is not None
    weight = torch.rand(2, first.matrix.shape[0], generator=torch.Generator().manual_seed(0))
    weight = weight.double().square()
    dense = torch.from_numpy(first.matrix.toarray())

    def exact_of(weights: Tensor) -> Tensor:
        return torch.stack(
            [torch.linalg.eigvalsh(dense.T @ (w[:, None] * dense))[-1] for w in weights]
        )

    exact = exact_of(weight)
    top = first.top(weight)[:, 0]
    assert bool((exact <= top).all())
    assert bool((top <= 1.01 * exact).all())
    again = first.top(3.0 * weight, Peak(weight, top[:, None], first))[:, 0]
    torch.testing.assert_close(again, 3.0 * top, rtol=1e-12, atol=0)
    uneven = weight.clone()
    uneven[:, ::2] *= 9.0
    known = Peak(weight, top[:, None], first)
    assert bool((first.top(uneven, known)[:, 0] >= exact_of(uneven)).all())


def test_tails_of_single_units_behind_few_units_are_proved_and_searched_closely() -> None:
    """Of 12 units and 288 numbers: the eigenvalue of the units, and where it is attained."""
    net = head(nn.Conv2d(2, 8, 3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(288, 12), nn.ReLU())
    program = program_of(analyse(net.double(), (2, 6, 6), (0.0, 1.0)).walk)
    assert program is not None
    segments = segments_of(program)
    assert segments is not None
    (inner,) = inner_maps(program, segments, 12).values()
    assert not inner_maps(program, segments, 11)
    dense = torch.from_numpy(inner.matrix.toarray())
    assert dense.shape == (12, 288)
    assert isinstance(program.nodes[inner.before].rule, Curve)
    weight = torch.rand(3, 12, generator=torch.Generator().manual_seed(0)).double().square()
    exact = torch.stack([torch.linalg.eigvalsh((dense.T * w) @ dense)[-1] for w in weight])
    top = inner.top(weight)[:, 0]
    assert bool((exact <= top).all())
    assert bool((top <= 1.01 * exact).all())
    direction, along, moved = inner.steepest(weight, None, 200)
    torch.testing.assert_close(along.square().sum(1), torch.ones(3).double())
    torch.testing.assert_close(moved, along @ dense.T)
    torch.testing.assert_close((weight * moved.square()).sum(1), exact, rtol=1e-6, atol=0)
    _, _, moved = inner.steepest(weight, direction, 8)
    torch.testing.assert_close((weight * moved.square()).sum(1), exact, rtol=1e-3, atol=0)


def length(change: Tensor) -> Tensor:
    """Of each row, shaped to divide it."""
    return change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def test_where_the_ball_is_affine_the_radius_is_the_distance_in_the_box() -> None:
    """All units stay on: the exact distance is that of the affine network, box included."""
    torch.manual_seed(0)
    net = head(nn.Conv2d(2, 4, 3, 2, 1), nn.ReLU()).requires_grad_(False)
    net[0].bias.fill_(10.0)
    plain = nn.Sequential(net[0], nn.Flatten(), net[-1]).eval()
    images = torch.rand(2, 2, 6, 6, generator=torch.Generator().manual_seed(1)).round(decimals=1)
    images[:, :, :3] = 0.0
    net[-1].bias.sub_(net(images).mean(0))
    labels = net(images).argmax(1)
    exact = minimum_distortion(plain, images, labels, "untargeted", "closest")
    assert bool((exact.status == Status.OPTIMAL).all())
    radius = certify(net, images, labels).radius
    boundless = certify(net, images, labels, box=(-50, 50)).radius
    assert bool((radius <= exact.l2 * (1 + 1e-6)).all())
    assert bool((radius >= 0.995 * exact.l2).all())
    assert bool((radius > 1.01 * boundless).any())


@pytest.mark.parametrize("pool", [nn.Identity(), nn.AvgPool2d(1), nn.MaxPool2d(1)], ids=repr)
def test_what_is_flat_at_the_image_and_steep_beyond_has_a_known_distance(pool: nn.Module) -> None:
    """Σ relu(relu(d) − .1) reaches .5 first with five pixels of .2; at d = 0 nothing shows."""
    same = torch.eye(2)[:, :, None, None]
    net = nn.Sequential(
        nn.Conv2d(2, 2, 1), nn.ReLU(), pool, nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(72, 2),
    ).eval().requires_grad_(False)  # fmt: skip
    for layer, bias in ((net[0], 0.0), (net[3], -0.1)):
        layer.weight.copy_(same)
        layer.bias.fill_(bias)
    net[-1].weight.zero_()
    net[-1].weight[1] = 1.0
    net[-1].bias.copy_(torch.tensor([0.5, 0.0]))
    image, label = torch.zeros(1, 2, 6, 6), torch.tensor([0])
    radius = float(certify(net, image, label).radius)
    assert 0.6 * math.sqrt(0.2) < radius < math.sqrt(0.2)


def test_an_image_alone_has_the_radius_that_it_has_in_a_batch() -> None:
    net = network("strided")
    images = torch.rand(2, 2, 6, 6, generator=torch.Generator().manual_seed(2))
    labels = net(images).argmax(1)
    together = certify(net, images, labels).radius
    assert torch.equal(together[1:], certify(net, images[1:], labels[1:]).radius)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_weights_of_any_size_and_close_logits_leave_no_hole(scale: float) -> None:
    """The first layer's weights times a number, the second's by it."""
    net = network("max").double()
    net[0].weight.mul_(scale)
    net[0].bias.mul_(scale)
    net[3].weight.div_(scale)
    image = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(4)).double()
    logits = net(image)[0]
    first, second = logits.topk(2).indices.tolist()
    net[-1].bias[second] += logits[first] - logits[second] - 1e-7
    label = net(image).argmax(1)
    radius = certify(net, image, label).radius
    found = minimum_distortion(net, image, label, "untargeted", "closest", budget=300)
    assert bool((radius > 0).all())
    assert bool((radius <= found.l2 * (1 + 1e-6)).all())


def test_a_search_that_begins_hopelessly_far_ends_in_no_less_than_was_known() -> None:
    """Five layers, whose lines lose many leads at the first radii that are tried."""
    torch.manual_seed(1)
    layers = [layer for _ in range(5) for layer in (nn.Conv2d(2, 2, 3, padding=1), nn.ReLU())]
    deep = head(*layers).requires_grad_(False)
    for layer in deep[:-1:2]:
        if isinstance(layer, nn.Conv2d):
            layer.weight.mul_(3.0)
    deep[-1].weight.mul_(30.0)
    images = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(7))
    labels = deep(images).argmax(1)
    with_, without = (certify(deep, images, labels, local=local) for local in (True, False))
    assert WORDS in with_.formula
    assert bool((with_.radius >= without.radius).all())


def test_what_has_no_relaxation_keeps_the_bound_that_it_had() -> None:
    torch.manual_seed(0)
    net = head(conv(), nn.LocalResponseNorm(2), nn.ReLU())
    images = torch.rand(2, 2, 6, 6)
    labels = net(images).argmax(1)
    with_, without = (certify(net, images, labels, local=local) for local in (True, False))
    assert WORDS not in with_.formula
    assert torch.equal(with_.radius, without.radius)


def test_what_torch_cannot_differentiate_keeps_the_bound_that_it_had() -> None:
    """Sums by `scatter` have no derivative; that was an error of torch's own."""

    class Sums(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            places = torch.zeros_like(x).long()
            return torch.zeros_like(x).scatter(1, places, x, reduce="add")

    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), Sums(), nn.Linear(5, 3)).eval()
    images = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    made = certify(net, images, net(images).argmax(1))
    assert bool((made.radius > 0).all())
    assert WORDS not in made.formula


def test_a_registered_bound_is_not_relaxed() -> None:
    class Halves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 2

    register_bound(Halves, 0.5)
    torch.manual_seed(0)
    net = head(conv(), nn.ReLU(), Halves())
    images = torch.rand(1, 2, 6, 6)
    assert WORDS not in certify(net, images, net(images).argmax(1)).formula
