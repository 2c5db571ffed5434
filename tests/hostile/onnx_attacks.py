"""ONNX files that attack, and a converter with the hole that they aim at."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, fx, nn


def executing(canary: Path) -> tuple[str, ...]:
    """Names that make a file where a name is pasted into source between quotation marks."""
    code = f"open({str(canary)!r}, 'w')".replace("/", "\\x2f").replace(".", "\\x2e")
    return (
        f'a", exec("{code}") or "',
        f'a")\n{code}\nx = ("',
        f'a"); {code}; ("',
        f"a\n    {code}\n#",
        f'{{{{ {code} }}}}", eval("{code}"), "',
    )


def network(names: tuple[str, ...] = ("flatten", "first", "relu", "last")) -> Any:
    """Two layers on images of 1×8×8; `names` are the nodes'."""
    generator = np.random.default_rng(0)
    shapes = {"w1": (16, 64), "b1": (16,), "w2": (10, 16), "b2": (10,)}
    weights = [
        numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    kind = onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"], name=names[0], axis=1),
        helper.make_node("Gemm", ["f", "w1", "b1"], ["a"], name=names[1], transB=1),
        helper.make_node("Relu", ["a"], ["r"], name=names[2]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], name=names[3], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", kind, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("y", kind, ["N", 10])], weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def files(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Every attack by a name of its own."""
    for number, name in enumerate(executing(canary)):
        for place in range(4):
            names = ["flatten", "first", "relu", "last"]
            names[place] = name
            yield f"node {number} {place}", network(tuple(names)).SerializeToString()
        for kind, change in _RENAMED.items():
            model = network()
            change(model, name)
            yield f"{kind} {number}", model.SerializeToString()
    for kind, change in _CHANGED.items():
        model = network()
        change(model)
        yield kind, model.SerializeToString()
    whole = network().SerializeToString()
    yield "empty", b""
    yield "text", b"not a network"
    yield "deep", b"\x3a\x7f" * 5000
    generator = np.random.default_rng(1)
    for number in range(20):
        yield f"cut {number}", whole[: int(generator.integers(len(whole)))]
        damaged = bytearray(whole)
        for place in generator.integers(600, size=3):
            damaged[place - 300] = int(generator.integers(256))
        yield f"damaged {number}", bytes(damaged)


def _everywhere(model: Any, old: str, new: str) -> None:
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = new if value.name == old else value.name
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _operator(model: Any, name: str) -> None:
    model.graph.node[2].op_type = name


def _domain(model: Any, name: str) -> None:
    model.graph.node[2].domain = name
    model.opset_import.append(helper.make_opsetid(name, 1))


_RENAMED: dict[str, Callable[[Any, str], None]] = {
    "input": lambda model, name: _everywhere(model, "x", name),
    "output": lambda model, name: _everywhere(model, "y", name),
    "value": lambda model, name: _everywhere(model, "a", name),
    "weight": lambda model, name: _everywhere(model, "w1", name),
    "operator": _operator,
    "domain": _domain,
    "graph": lambda model, name: setattr(model.graph, "name", name),
}


def _outside(location: str, **more: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return change


def _dims(*sizes: int) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.graph.initializer[0].dims[:] = sizes

    return change


def _image(*sizes: int) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, sizes, strict=True):
            dim.dim_value = size

    return change


def _loop(model: Any) -> None:
    body = helper.make_graph([], "body", [], [])
    node = helper.make_node("Loop", ["", ""], ["z"], name="loop", body=body)
    model.graph.node.append(node)


def _function(model: Any) -> None:
    opsets = [helper.make_opsetid("", 13)]
    inside = [helper.make_node("Relu", ["i"], ["o"])]
    model.functions.append(helper.make_function("mine", "f", ["i"], ["o"], inside, opsets))


def _sparse(model: Any) -> None:
    made = model.graph.sparse_initializer.add()
    made.dims[:] = [10**12]
    made.values.name = "w1"


def _cycle(model: Any) -> None:
    model.graph.node[0].input[0] = "y"


def _huge_constant(model: Any) -> None:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32))
    tensor.dims[:] = [10**6, 10**6]
    model.graph.node.append(helper.make_node("Constant", [], ["k"], value=tensor))


_CHANGED: dict[str, Callable[[Any], None]] = {
    "outside, above": _outside("../secret"),
    "outside, far above": _outside("a/../../../../../../../../etc/passwd"),
    "outside, absolute": _outside("/etc/passwd"),
    "outside, a link": _outside("link"),
    "outside, a folder": _outside("."),
    "outside, a pipe": _outside("pipe"),
    "outside, missing": _outside("missing"),
    "outside, empty": _outside(""),
    "outside, long": _outside("weights", length=str(1 << 60)),
    "outside, before": _outside("weights", offset="-5"),
    "outside, no number": _outside("weights", offset="x"),
    "outside, Windows": _outside("..\\secret"),
    "a million million": _dims(10**12),
    "overflow": _dims(1 << 40, 1 << 40),
    "negative": _dims(-1, 64),
    "constant": _huge_constant,
    "images of a million sides": _image(1, 3, 10**6, 10**6),
    "images of minus one": _image(1, -3, 8, 8),
    "loop": _loop,
    "function": _function,
    "sparse": _sparse,
    "cycle": _cycle,
}


def allocating(size: int) -> Iterator[tuple[str, bytes]]:
    """Small files that make about `size` times `size` numbers while they run, or try to."""
    sides = [1, 1, size, size]
    for kind, given, numbers in (
        ("Expand", ["x"], [[size, size, 1, 1, 8, 8]]),
        ("Tile", ["x"], [sides]),
        ("ConstantOfShape", [], [[size, size]]),
        ("Range", [], [0, size * size, 1]),
        ("Pad", ["x"], [[0, 0, size, size, 0, 0, size, size]]),
        ("Resize", ["x", ""], [np.array(sides, np.float32)]),
    ):
        model = network()
        names = [f"s{i}" for i in range(len(numbers))]
        model.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in zip(names, numbers, strict=True)
        )
        _add_to_logits(model, [helper.make_node(kind, [*given, *names], ["large"])])
        yield kind, model.SerializeToString()


def of_pixels() -> bytes:
    """A file that makes as many numbers as its largest pixel says."""
    model = network()
    largest = [
        helper.make_node("ReduceMax", ["x"], ["m"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Cast", ["m"], ["i"], to=onnx.TensorProto.INT64),
        helper.make_node("ConstantOfShape", ["i"], ["large"]),
    ]
    _add_to_logits(model, largest)
    return bytes(model.SerializeToString())


def _add_to_logits(model: Any, nodes: list[Any]) -> None:
    """The mean of "large", which the nodes make."""
    model.graph.node.extend([
        *nodes,
        helper.make_node("Cast", ["large"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], keepdims=0),
        helper.make_node("Add", ["y", "mean"], ["z"]),
    ])  # fmt: skip
    model.graph.output[0].name = "z"


class _Operation(nn.Module):
    def __init__(self, node: Any, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.kind = node.op_type
        self.weights = [weights[name] for name in node.input if name in weights]

    def forward(self, *given: Tensor) -> Tensor:
        if self.kind == "Gemm":
            return nn.functional.linear(*given, *self.weights)
        sizes = [int(size) for weight in self.weights for size in weight.flatten()]
        return _DOES[self.kind](*given, *([sizes] if sizes else []))


_DOES: dict[str, Callable[..., Tensor]] = {
    "Flatten": lambda x: x.flatten(1),
    "Relu": torch.relu,
    "Expand": lambda x, sizes: x * torch.ones(sizes),
    "Tile": lambda x, sizes: x.repeat(sizes),
    "ConstantOfShape": torch.zeros,
    "Range": lambda sizes: torch.arange(*sizes),
    "Pad": lambda x, pads: nn.functional.pad(x, pads[2:4] + pads[6:]),
    "Resize": lambda x, sizes: nn.functional.interpolate(x, scale_factor=sizes[2:]),
    "Cast": torch.Tensor.float,
    "ReduceMean": torch.mean,
    "Add": torch.add,
}


def converter() -> dict[str, ModuleType]:
    """`onnx2torch` with what matters here: a node's name is its module's, and `fx` compiles it."""

    def convert(model: Any) -> nn.Module:
        graph, layers, made = model.graph, nn.Module(), fx.Graph()
        weights = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
            for tensor in graph.initializer
        }
        values = {graph.input[0].name: made.placeholder("x")}
        for node in graph.node:
            if node.op_type not in ("Gemm", *_DOES):
                raise NotImplementedError(f"Converter is not implemented ({node.op_type})")
            name = (f"{node.domain}/" + (node.name.replace(".", "/") or node.op_type)).lstrip("/")
            layers.add_module(name, _Operation(node, weights))
            moving = tuple(values[one] for one in node.input if one in values)
            values[node.output[0]] = made.call_module(name, moving)
        made.output(values[graph.output[0].name])
        return fx.GraphModule(layers, made)

    module = ModuleType("onnx2torch")
    module.convert = convert  # type: ignore[attr-defined]
    return {"onnx2torch": module}
