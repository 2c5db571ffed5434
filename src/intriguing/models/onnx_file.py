"""An ONNX file made harmless before it is converted: what it names, points to and claims.

A converter makes layers of the file's nodes, and a traced network's layers are pasted into source
code by `torch.fx`: a node's name is a program then (`a", exec("…") or "`).  So every name is taken
from a node before a converter sees it.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from intriguing.errors import InputError
from intriguing.files import check_regular

_LONGEST = 48
"""Characters of a node's name that are kept for people to read."""
_LARGEST = 1 << 28
"""Numbers in one input at most: a gibibyte of float32."""


def read_onnx(path: Path, onnx: Any) -> tuple[Any, tuple[int, ...]]:
    """The model in a file under names of our own, and the sizes of its one input, 0 where open.

    Args:
        path: The file; weights that it keeps outside of itself must lie beside it.
        onnx: The library.

    Raises:
        InputError: If it is no ONNX model, is larger than it may be, has parts that no converter
            of ours takes, or points outside its folder.
    """
    check_regular(path, "give onnx:FILE")
    try:
        model = onnx.load(str(path), load_external_data=False)
        _check_parts(path, model)
        _take_in(path, model, onnx)
        onnx.checker.check_model(model)
        sizes = _input_sizes(path, model.graph)
        _check_sizes(path, model.graph)
        rename(model)
    except InputError:
        raise
    except Exception as error:  # its parser, checker and protobuf raise what they like
        raise InputError(f"{path} is no ONNX model ({first_line(error)}); is it whole?") from error
    return model, sizes


def rename(model: Any) -> None:
    """Give every value, node and graph of a model a name that is an identifier and nothing more.

    A node keeps the letters, digits and underscores of its name, behind its number:
    "/conv1/Conv" becomes "n0_conv1_Conv".
    """
    graph = model.graph
    values: dict[str, str] = {"": ""}  # an input that is left out

    def new(name: str) -> str:
        return values.setdefault(name, f"v{len(values)}")

    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = new(value.name)
        value.doc_string = ""
    for number, node in enumerate(graph.node):
        readable = re.sub(r"\W+", "_", node.name, flags=re.ASCII).strip("_")[:_LONGEST]
        node.name = f"n{number}_{readable}" if readable else f"n{number}"
        node.doc_string = ""
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
        for attribute in node.attribute:
            attribute.doc_string = ""
    graph.name, graph.doc_string, model.doc_string = "graph", "", ""
    for tensor in _tensors(model):
        tensor.doc_string = ""
    for unused in (graph.quantization_annotation, graph.metadata_props, model.metadata_props):
        del unused[:]


def first_line(error: Exception) -> str:
    """What an error of a library says, in a line."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _check_parts(path: Path, model: Any) -> None:
    """Refuse what would be converted wrongly, or not looked at."""
    if model.functions:
        raise InputError(
            f"{path} defines operators of its own; write them out: "
            "onnx.inliner.inline_local_functions"
        )
    if model.graph.sparse_initializer:
        raise InputError(f"{path} holds sparse weights; export them dense")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise InputError(
                f"{path} has an operator that onnx2torch does not know: {node.op_type!r} of "
                f"{node.domain!r}; export the network with ONNX's own operators"
            )
        node.domain = ""
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise InputError(
                f"{path} has a branch or a loop ({node.op_type!r}), which no graph of layers "
                "shows; give FILE.py:FUNCTION that builds the network in torch"
            )


def _tensors(model: Any) -> Iterator[Any]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _take_in(path: Path, model: Any, onnx: Any) -> None:
    """Read the weights that lie outside the file."""
    for tensor in _tensors(model):
        if tensor.external_data:
            _check_place(path, tensor)
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.DEFAULT


def _check_place(path: Path, tensor: Any) -> None:
    """Weights outside the file lie in its folder or below, in files that are no links."""
    said = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
    inside = PurePosixPath(said.replace("\\", "/"))
    place = path.parent / inside
    steps = [place, *place.parents][: len(inside.parts)]
    if (
        inside.is_absolute() or not inside.parts or ".." in inside.parts or ":" in said
        or "\0" in said or any(step.is_symlink() for step in steps)
    ):  # fmt: skip
        raise InputError(
            f"{path} points to weights in {said!r}, outside its folder: refused; put the weights "
            "beside it and export it again"
        )
    check_regular(place, f"{path.name} keeps its weights there: put it beside it")


_SIZES: Mapping[str, Sequence[int]] = {
    "Compress": (0, 1), "ConstantOfShape": (0,), "Expand": (1,), "NonMaxSuppression": (0, 1, 2),
    "NonZero": (0,), "OneHot": (1,), "Pad": (1,), "Range": (0, 1, 2), "Reshape": (1,),
    "Resize": (1, 2, 3), "Slice": (1, 2, 3, 4), "Split": (1,), "Squeeze": (1,), "Tile": (1,),
    "TopK": (1,), "Unique": (0,), "Unsqueeze": (1,), "Upsample": (1,),
}  # fmt: skip
"""Which inputs of an operator say how large its output is, by their values."""


def _check_sizes(path: Path, graph: Any) -> None:
    """Refuse sizes that depend on the values of pixels: nobody knows what memory they take."""
    weights = {tensor.name for tensor in graph.initializer}
    of_pixels = {value.name for value in graph.input} - weights
    for node in graph.node:  # in the order of their use, or the checker refuses them
        taken = [name in of_pixels for name in node.input]
        if any(i < len(taken) and taken[i] for i in _SIZES.get(node.op_type, ())):
            raise InputError(
                f"{path} has sizes that depend on the values of pixels ({node.op_type!r}), so that "
                "an image may take any memory; export the network without them"
            )
        if any(taken) and node.op_type not in ("Shape", "Size"):
            of_pixels.update(node.output)


def _input_sizes(path: Path, graph: Any) -> tuple[int, ...]:
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise InputError(
            f"{path} has {len(inputs)} inputs and {len(graph.output)} outputs; a classifier "
            "takes images and gives logits: export only these"
        )
    sizes = tuple(int(dim.dim_value) for dim in inputs[0].type.tensor_type.shape.dim)
    if min(sizes, default=0) < 0 or math.prod(size or 1 for size in sizes) > _LARGEST:
        raise InputError(
            f"{path} says that it takes images of {'×'.join(map(str, sizes))}, which no memory "
            "holds; export it for images of a size"
        )
    return sizes
