"""Every operation of the table, through everyone who reads it, against the operation itself.

What an operation is, is tried: differences of its values at random points say whether it is affine,
how steep it is, between what it lies and which positions it reads.
"""

import itertools
import math
import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import intriguing as it
from intriguing.graph.affine import is_affine, shows_affine
from intriguing.graph.execution import execute
from intriguing.graph.interval import Interval
from intriguing.graph.operation import Operation
from intriguing.graph.operations.windows import window_of
from intriguing.graph.precision import precise_graph
from intriguing.graph.table import Affine, rule_of, rules
from intriguing.models.l2_pooling import L2Pool2d
from intriguing.models.local_contrast import LocalContrast2d
from intriguing.models.locally_connected import LocallyConnected2d
from intriguing.models.max_pool import MaxPool2d
from intriguing.spectral.certificates.step import linear_map
from intriguing.spectral.norms.linear_map import Diagonal, LinearMap, Matrix
from intriguing.units.receptive_field import receptive_field
from tests.oracles.every_operation import CALLS, SHAPE, Around, functions

pytestmark = pytest.mark.filterwarnings("ignore")  # some calls are odd on purpose
IMAGE = (4, 6, 6)
WAYS = 2
"""Ways to call a function that are tried of each …"""
BOTH = ("h, tanh h", "c, h")
"""… besides those with a constant first, and with two tensors that depend on the image."""


def modules() -> list[nn.Module]:
    """One of every type that the table has."""
    torch.manual_seed(0)
    made: list[nn.Module] = [
        nn.Linear(6, 3), nn.Conv2d(4, 2, 3, 2, 1, 2), nn.Conv2d(4, 4, 3, padding="same", groups=2),
        nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular"),
        nn.ConvTranspose2d(4, 2, 3, 2, 1, 1), nn.AvgPool2d(2), nn.AvgPool2d(3, 2, 1),
        nn.MaxPool2d(3, 2), MaxPool2d(3, 2), nn.LPPool2d(2, 2), nn.AdaptiveAvgPool2d(4),
        nn.AdaptiveMaxPool2d(4),
        nn.BatchNorm2d(4), nn.SyncBatchNorm(4), nn.InstanceNorm2d(4),
        nn.InstanceNorm2d(4, track_running_stats=True),
        nn.GroupNorm(2, 4), nn.LayerNorm(6), nn.RMSNorm(6), nn.LocalResponseNorm(3),
        nn.CrossMapLRN2d(3), nn.Flatten(), nn.Unflatten(1, (2, 2)), nn.PixelShuffle(2),
        nn.PixelUnshuffle(2), nn.ChannelShuffle(2), nn.Unfold(2), nn.Identity(), nn.Dropout(),
        nn.Dropout1d(), nn.Dropout2d(), nn.Dropout3d(), nn.AlphaDropout(),
        nn.FeatureAlphaDropout(), nn.ZeroPad2d(1), nn.ConstantPad2d((1, 0, 2, 1), 3.0),
        nn.ReflectionPad2d(2), nn.ReplicationPad2d(1), nn.CircularPad2d(2),
        nn.Upsample(scale_factor=2), nn.Upsample(size=(4, 9), mode="bilinear"),
        nn.UpsamplingNearest2d(scale_factor=2), nn.UpsamplingBilinear2d(scale_factor=2),
        nn.Softmax(1), nn.Softmax(3), nn.Softmin(1), nn.Softmax2d(), nn.LogSoftmax(1), nn.GLU(1),
        nn.Threshold(0.3, 0.3), nn.Hardshrink(), nn.PReLU(init=-1.5), nn.RReLU(), nn.CELU(0.4),
        nn.LeakyReLU(-0.4), nn.ELU(1.7), nn.Hardtanh(-0.3, 0.5), nn.GELU("tanh"),
        nn.Softplus(2.0), nn.Softshrink(0.3), L2Pool2d(2, 2), LocalContrast2d(3),
        LocallyConnected2d(4, 2, (6, 6), 3, 2), nn.Fold((6, 6), (1, 1)),
        nn.MultiheadAttention(6, 2, batch_first=True),
    ]  # fmt: skip
    done = {type(module) for module in made}
    for kind in rules():
        if isinstance(kind, type) and kind not in done and kind.__name__[-2:] not in ("1d", "3d"):
            made.append(kind())  # an activation without settings
    return [module.eval() for module in made]


def operations_of(network: nn.Module, shape: tuple[int, ...]) -> Iterator[Operation]:
    example = torch.rand(1, *shape, generator=torch.Generator().manual_seed(1)).double()
    for done in execute(precise_graph(network, example), example):
        if done.operation is not None:
            yield done.operation


def of_modules() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    def fits(module: nn.Module) -> tuple[int, ...]:
        return {nn.Fold: (4, 36), nn.Dropout1d: (4, 6)}.get(type(module), IMAGE)

    # The one takes three tensors; the other is refused, as it keeps things between calls.
    whole = [m for m in modules() if not isinstance(m, nn.MultiheadAttention | nn.CrossMapLRN2d)]
    return {f"{n} {m}": (nn.Sequential(m).eval(), fits(m)) for n, m in enumerate(whole)}


def of_functions() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """For every function with a rule, some ways to call it in a small network."""
    warnings.simplefilter("ignore")
    wanted = {name for name in rules() if isinstance(name, str)}
    found: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}
    for name, function in functions().items():
        plain = name.rpartition(".")[2]
        if plain not in wanted:
            continue
        wanted.remove(plain)
        first = itertools.islice((w for w in CALLS if _works(function, w)), WAYS)
        for way in dict.fromkeys((*first, *(w for w in BOTH if _works(function, w)))):
            found[f"{name}({way})"] = (Around(function, way).eval(), SHAPE)
    return found


def _works(function: object, way: str) -> bool:
    try:
        return bool(Around(function, way)(torch.rand(2, *SHAPE)).isfinite().any())
    except Exception:
        return False


MODULES, FUNCTIONS = of_modules(), of_functions()


def cases() -> Iterator[tuple[str, Operation]]:
    for name, (network, shape) in {**MODULES, **FUNCTIONS}.items():
        asked = name.partition("(")[0].rpartition(".")[2].rstrip("_")
        try:
            for operation in operations_of(network, shape):
                if name in MODULES or operation.name == asked:
                    yield name, operation
        except it.InputError:  # random, or reads values: no graph
            continue


OPERATIONS = list(cases())


def flat(value: object) -> Tensor:
    leaves = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
    parts = [leaf.double().flatten() for leaf in leaves if leaf.is_floating_point()]
    return torch.cat([torch.zeros(0).double(), *parts])


def real(operation: Operation) -> bool:
    """Whether it is of real numbers to real numbers."""
    tensors = (*operation.moving, operation.output)
    return all(isinstance(t, Tensor) and t.is_floating_point() and t.numel() for t in tensors)


def drawn(operation: Operation, seed: int, size: float = 2.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    known: dict[int, Tensor] = {}
    return [
        known.setdefault(id(t), size * torch.randn(t.shape, generator=generator, dtype=t.dtype))
        for t in operation.moving
    ]


UNTRIED = {"mv", "index_put", "half", "bfloat16"}
"""Of one image at a time, written by an assignment, and refused."""
DEGENERATE = {
    "torch.max_pool1d(h, 1)", "torch.msort(h)", "torch.nn.functional.hardtanh(h, 1)",
    "torch.nn.functional.leaky_relu(h, 1)",
}  # fmt: skip
"""Calls of what is not affine that happen to do nothing."""


def looks_affine(operation: Operation) -> bool:
    for seed in range(0, 12, 2):
        first, second = drawn(operation, seed, 3.0), drawn(operation, seed + 1, 3.0)
        middle = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
        ends = torch.stack([flat(operation.again(*first)), flat(operation.again(*second))])
        apart = (ends.mean(0) - flat(operation.again(*middle))).abs().max()
        if not apart <= 1e-6 * ends.abs().max():
            return False
    return True


def jacobian(operation: Operation, point: Tensor) -> Tensor:
    """Rows are outputs; by differences, as a rule of its own for gradients may say anything."""
    step, columns = 1e-6, []
    for place in range(point.numel()):
        away = torch.zeros_like(point).flatten()
        away[place] = step
        away = away.view_as(point)
        moved = flat(operation.again(point + away)) - flat(operation.again(point - away))
        columns.append(moved / (2 * step))
    return torch.stack(columns, 1)


def reads(operation: Operation, points: list[Tensor], axis: int) -> Tensor:
    """Whether each row (axis 0) of the output moves with each of the input, near any of the points.

    A whole row of the input moves at once, each number by its own length; axis 1: columns.
    """
    columns, step, axis = [], 1e-6, axis + 2
    for place in range(points[0].shape[axis]):
        found = torch.zeros(operation.output.shape[axis], dtype=torch.bool)
        for point in points:
            away = torch.zeros_like(point)
            away.select(axis, place).copy_(step * torch.randn_like(point.select(axis, place)))
            moved = operation.again(point + away) - operation.again(point - away)
            found |= (moved.abs() > 2e-7 * step).movedim(axis, 0).flatten(1).any(1)
        columns.append(found)
    return torch.stack(columns, 1)


def applied(map: LinearMap, x: Tensor, after: torch.Size) -> Tensor:
    if isinstance(map, Diagonal):
        return map.scale * x
    if isinstance(map, Matrix):
        return x @ map.weight.T
    before = map.outputs if map.transposed else map.input_size
    assert before == tuple(x.shape[2:])
    pads = [side for pair in reversed(map.padding) for side in pair]
    mode = {"zeros": "constant"}.get(map.padding_mode, map.padding_mode)

    def forward(y: Tensor) -> Tensor:
        padded = nn.functional.pad(y, pads, mode=mode)
        return nn.functional.conv2d(
            padded, map.weight, None, map.stride, 0, map.dilation, map.groups
        )

    if not map.transposed:
        return forward(x)
    return torch.autograd.functional.vjp(forward, torch.zeros(after, dtype=x.dtype), x)[1]


def test_the_table_is_tried_whole() -> None:
    tried = {name for _, operation in OPERATIONS for name in rule_of(operation).names}
    missing = [
        name for name, rule in rules().items()
        if isinstance(name, str) and name not in tried and rule.norm is not None
        and not set(rule.names) & tried and name not in UNTRIED
    ]  # fmt: skip
    assert not missing, missing
    assert len(OPERATIONS) > 400


def test_affine_is_what_is_affine_and_nothing_else() -> None:
    wrong = {}
    for name, operation in OPERATIONS:
        if not real(operation):
            continue
        said, found = rule_of(operation).is_affine(operation), looks_affine(operation)
        known = rule_of(operation).bound(operation) is not None
        if said and not found:
            wrong[f"{name}: {operation.name}"] = "said to be affine"
        if found and known and not said and name not in DEGENERATE:
            wrong[f"{name}: {operation.name}"] = "affine, and not known to be"
    assert not wrong, wrong


def test_a_linear_map_is_what_the_operation_does() -> None:
    kinds = set()
    for name, operation in OPERATIONS:
        map = linear_map(operation) if real(operation) else None
        if map is None or not (isinstance(map, Diagonal | Matrix) or map.axes == 2):
            continue
        kinds.add(type(map))
        assert rule_of(operation).is_affine(operation), name
        x = drawn(operation, 3)[0]
        done = operation.again(x) - operation.again(torch.zeros_like(x))
        torch.testing.assert_close(applied(map, x, done.shape).expand_as(done), done, msg=name)
    assert len(kinds) == 3


def test_what_spectral_takes_for_affine_distortion_does_and_the_other_way_round() -> None:
    for name, (network, shape) in MODULES.items():
        example = torch.rand(1, *shape, generator=torch.Generator().manual_seed(1)).double()
        operations = list(operations_of(network, shape))
        every = all(rule_of(o).is_affine(o) for o in operations)
        assert shows_affine(precise_graph(network, example), example) == every, name
        with torch.no_grad():
            size = network(example.float()).numel()
        whole = nn.Sequential(network, nn.Flatten(), nn.Linear(size, 3)).eval()
        assert is_affine(whole, shape) == every, name


def test_bounds_slopes_values_and_order_hold() -> None:
    for number, (name, operation) in enumerate(OPERATIONS):
        rule = rule_of(operation)
        if not all(isinstance(t, Tensor) and t.is_floating_point() for t in operation.moving):
            continue
        for turn, size in enumerate((0.1, 1.0, 5.0)):
            point = drawn(operation, turn, size)
            value = flat(operation.again(*point))
            if not len(value) or not value.isfinite().all():
                continue
            bound = rule.bound(operation) if len(point) == 1 else None
            if bound is not None and number % 3 == turn:
                steepest = float(torch.linalg.matrix_norm(jacobian(operation, point[0]), 2))
                assert steepest <= bound.upper * (1 + 1e-5), (name, operation.name)
            slopes = rule.slopes(operation) if rule.when(operation) else None
            if slopes is not None:
                own = jacobian(operation, point[0]).diagonal()
                assert slopes[0] - 1e-5 <= own.min(), name
                assert own.max() <= slopes[1] + 1e-5, name
            least, most = rule.values(operation)
            assert least - 1e-9 <= value.min(), name
            assert value.max() <= most + 1e-9, name
            assert float(value.norm()) <= rule.length(operation) * (1 + 1e-9), name
            if rule.within(operation) and rule.when(operation):
                given = flat(point)
                assert given.min() - 1e-9 <= value.min(), (name, operation.name)
                assert value.max() <= given.max() + 1e-9, (name, operation.name)
            if rule.rising and rule.when(operation):
                above = [x + torch.rand_like(x) for x in point]
                assert (flat(operation.again(*above)) >= value - 1e-9).all(), (name, operation.name)


def test_intervals_hold_values_and_slopes() -> None:
    tried = set()
    for name, operation in OPERATIONS:
        rule = rule_of(operation)
        if rule.interval is None or not real(operation) or len(operation.moving) != 1:
            continue
        point = drawn(operation, 5)[0].abs() + 0.1
        low, high = point, point + 0.5
        span = rule.interval(operation, (Interval.between(low, high),))
        if span is None or span.low.shape != operation.output.shape:
            continue
        tried.add(operation.name)
        ends = [low + share * (high - low) for share in (0.0, 0.3, 0.6, 1.0)]
        values = torch.stack([operation.again(x).expand_as(span.low) for x in ends])
        assert (values >= span.low - 1e-9).all(), name
        assert (values <= span.high + 1e-9).all(), name
        slopes = values.diff(dim=0) / torch.stack(ends).diff(dim=0)
        assert (slopes >= span.down - 1e-6).all(), name
        assert (slopes <= span.up + 1e-6).all(), name
    assert len(tried) > 40


def test_a_window_is_where_the_operation_reads_and_what_is_local_has_one() -> None:
    local = set()
    for name, (network, shape) in MODULES.items():
        (operation, *_) = operations_of(network, shape)
        x, rule = operation.moving[0], rule_of(operation)
        if x.ndim != 4 or operation.output.ndim != 4:
            continue
        several = range(1 if rule.affine_in(operation) else 3)  # maxima are here and there
        points = [torch.rand_like(x), *(drawn(operation, point, 1.0)[0] for point in several)]
        found = [reads(operation, points, axis) for axis in (0, 1)]
        if window_of(operation, 0) is None:
            assert any(axis.all() for axis in found), f"{name} is local"
            continue
        local.add(name)
        for axis, own in enumerate(found):
            window = window_of(operation, axis)
            assert window is not None
            assert window.shape == own.shape, name
            assert not (own & ~window).any(), name
            if rule.affine_in(operation) is not None:
                assert torch.equal(own, window), name
    assert len(local) > 40


def test_receptive_fields_are_these_windows() -> None:
    for name, (network, shape) in MODULES.items():
        (operation, *_) = operations_of(network, shape)
        if operation.moving[0].ndim != 4 or operation.output.ndim != 4:
            continue
        field = receptive_field(network, "0", shape)
        rows = window_of(operation, 0)
        assert (field.whole == "") == (rows is not None), name
        if rows is not None and rows.any(1).all() and rows.int().diff(dim=1).abs().sum(1).max() < 3:
            tops = [box.top for box in field.boxes[:: field.grid[1]]]
            assert tops == rows.int().argmax(1).tolist(), name


def test_what_is_affine_in_all_its_arguments_together_is() -> None:
    for name, operation in OPERATIONS:
        if len(operation.moving) == 2 and real(operation):
            together = rule_of(operation).affine_in(operation) is Affine.TOGETHER
            assert looks_affine(operation) or not together, (name, operation.name)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.PixelUnshuffle(2), nn.CircularPad2d(1), nn.Unfold(2),
        nn.InstanceNorm2d(1, track_running_stats=True), nn.ConvTranspose2d(1, 1, 3, 2, 1, 1),
    ],
    ids=str,
)  # fmt: skip
def test_an_affine_layer_costs_no_proof_of_optimality(layer: nn.Module) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        size = layer.eval()(torch.rand(1, 1, 4, 4)).numel()
    network = nn.Sequential(layer, nn.Flatten(), nn.Linear(size, 3)).eval()
    images = torch.rand(4, 1, 4, 4)
    labels = network(images).argmax(1)
    found = it.minimum_distortion(network, images, labels, "untargeted", box=(-5, 5))
    assert (found.status == int(it.Status.OPTIMAL)).all()
    bound = it.lipschitz_report(network, (1, 4, 4)).upper
    assert math.isfinite(bound)
