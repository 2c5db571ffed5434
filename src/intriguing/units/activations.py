"""Activations φ(x) of named layers, streamed: one pass through the network serves every layer.

A layer is named as in `model.named_modules()`. What goes *into* a module can be named too, as
`NAME:input`: networks that apply their nonlinearity as a function have no module for its output.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from intriguing.data.checks import check_pixels
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback
from intriguing.models.classifier import Classifier, unwrapped

Images: TypeAlias = Tensor | ImageSet | Iterable[Any]
"""Images at once, or piece by piece: tensors, sets, or tuples that begin with the images."""

INPUT = ":input"
# Products of a multiple of this many rows round a row alike in most kernels.
ROWS = 16
_SMALL, _LARGE = 256, 32
"""Small and large images of a batch where none is asked for: all layers of each are in memory."""
_LARGE_IMAGE = 1 << 14
"""Values of an image above which it is large, as in `models.groups`."""


@dataclass(frozen=True)
class Layer:
    """A place in a network: its name, the type of module, and the shape it gives for one image."""

    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def units(self) -> int:
        """Number of units: of features, or of channels where the layer has positions."""
        return self.shape[0]


@dataclass(frozen=True)
class Piece:
    """Activations of `count` consecutive images, padded with further rows that mean nothing."""

    count: int
    activations: Mapping[str, Tensor]


def list_layers(model: nn.Module, input_shape: Sequence[int]) -> tuple[Layer, ...]:
    """Every layer whose units can be asked about, in the order in which they are computed.

    Args:
        model: Any network in evaluation mode.
        input_shape: The shape of one image, (channel, height, width).

    Returns:
        A layer for each module that gives a tensor (units in its first dimension after the batch),
        and `NAME:input` for what goes into a module and is the output of none.

    Raises:
        InputError: If the model is in training mode or does not take such images.

    >>> list_layers(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval(), (1, 2, 2))[1]
    Layer(name='1', kind='Linear', shape=(3,))
    """
    found: dict[str, Layer] = {}
    seen: list[tuple[Tensor, int]] = []  # kept alive, so that identity means identity

    def known(value: Tensor) -> bool:
        return any(value is tensor and value._version == version for tensor, version in seen)

    def note(name: str, module: nn.Module, value: object) -> None:
        if isinstance(value, Tensor) and value.ndim >= 2 and not known(value):
            seen.append((value, value._version))
            found.pop(name, None)  # of a module called again, the last call is the one read
            found[name] = Layer(name, type(module).__name__, tuple(value.shape[1:]))

    asked = _readable(model)
    with torch.no_grad():
        asked.begin(input_shape)
        handles: list[RemovableHandle] = []
        for name, module in asked.network.named_modules():
            if name and not isinstance(module, torch.jit.ScriptModule):
                handles.append(_before(module, partial(note, name + INPUT)))
                handles.append(_after(module, partial(note, name)))
        image = torch.zeros((1, *input_shape), dtype=asked.takes, device=asked.device)
        seen.append((image, image._version))
        try:
            asked.answer(image)
        finally:
            for handle in handles:
                handle.remove()
    if not found:
        raise InputError(
            "the model has no layer to read: it computes everything in one forward, or is a graph "
            "without modules, as torch.export gives; give the network it was made from"
        )
    return tuple(found.values())


def activations(
    model: nn.Module,
    layers: str | Sequence[str],
    images: Images,
    *,
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
) -> Iterator[dict[str, Float[Tensor, "batch unit ..."]]]:
    """Activations of `layers`, batch by batch, from one pass of the images through the network.

    What an image gives does not depend on `batch_size` nor on the images beside it.
    """
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    for piece in pieces(model, names, images, batch_size=batch_size, progress=progress):
        yield {name: phi[: piece.count] for name, phi in piece.activations.items()}


def layer_features(
    model: nn.Module,
    layer: str,
    images: Images,
    *,
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
) -> Float[Tensor, "image unit"]:
    """One vector an image: its activations, averaged over the layer's positions; on the CPU."""
    stream = activations(model, layer, images, batch_size=batch_size, progress=progress)
    return torch.cat([phi[layer].unsqueeze(2).flatten(2).mean(2).cpu() for phi in stream])


def pieces(
    model: nn.Module,
    layers: Sequence[str],
    images: Images,
    *,
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
) -> Iterator[Piece]:
    """As `activations`, with the padded rows left in, so that sums over them round alike too."""
    asked = _readable(model)
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size={batch_size}; give 1 or more, or None to let it be chosen")
    done, total = 0, len(images) if isinstance(images, Tensor | ImageSet) else 0
    with _Taps(asked, layers) as taps:
        for batch in _batches(images, batch_size):
            x = asked.fit(batch)
            missing = -len(x) % asked.group(x)
            taps.read(torch.cat((x, x[:1].expand(missing, *x.shape[1:]))) if missing else x)
            yield Piece(len(x), dict(taps.values))
            done += len(x)
            if progress is not None:
                progress(Progress("activations", done, total))
    if not done:
        raise InputError("there are no images; give at least one")


class _Taps:
    """Hooks that keep what passes through the named layers; a copy where it is overwritten later.

    A module that is called several times is read at its last call.
    """

    def __init__(self, asked: Classifier, layers: Sequence[str]) -> None:
        self.asked = asked
        self.values: dict[str, Tensor] = {}
        self._versions: dict[str, int] = {}
        self._copied: set[str] = set()
        modules = dict(asked.network.named_modules())
        self._layers = {name: _find(modules, name) for name in layers}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> "_Taps":
        for name, module in self._layers.items():
            hook = _before if name.endswith(INPUT) else _after
            self._handles.append(hook(module, partial(self._keep, name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def read(self, batch: Tensor) -> None:
        """Pass whole groups through the network; `values` then holds their activations."""
        size = self.asked.group(batch)
        if batch.device.type != "cpu" or len(batch) <= size:
            self._read(batch)
            return
        parts = []
        for group in torch.split(batch, size):
            self._read(group.clone() if size == 1 else group)
            parts.append(dict(self.values))
        self.values = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _read(self, batch: Tensor) -> None:
        self._pass(batch)
        changed = {n for n, y in self.values.items() if y._version != self._versions[n]}
        if changed:  # an in-place ReLU, say, follows: from now on keep copies
            self._copied |= changed
            self._pass(batch)

    def _pass(self, batch: Tensor) -> None:
        self.values.clear()
        with torch.no_grad():
            self.asked.answer(batch)
        for name in self._layers:
            if name not in self.values:
                raise InputError(f"layer {name!r} is not used when the network looks at an image")
            if len(self.values[name]) != len(batch):
                raise InputError(
                    f"layer {name!r} gives shape {tuple(self.values[name].shape)} for "
                    f"{len(batch)} images; choose a layer that gives one row an image"
                )

    def _keep(self, name: str, module: nn.Module, value: object) -> None:
        if not isinstance(value, Tensor) or value.ndim < 2:
            raise InputError(
                f"layer {name!r} ({type(module).__name__}) gives a {type(value).__name__}; choose "
                "one that gives a tensor with a row an image"
            )
        value = value.dequantize() if value.is_quantized else value
        kept = value.clone() if name in self._copied else value
        self._versions[name] = kept._version
        self.values[name] = kept


def _find(modules: Mapping[str, nn.Module], name: str) -> nn.Module:
    module = modules.get(name.removesuffix(INPUT))
    if isinstance(module, torch.jit.ScriptModule):
        raise InputError(f"layer {name!r} is in TorchScript, of which no part can be read")
    if module is None or name in ("", INPUT):
        some = ", ".join(key for key in list(modules)[1:12])
        raise InputError(
            f"there is no layer {name!r}; list_layers(model, input_shape) names them: {some} …"
        )
    return module


def _before(module: nn.Module, see: Callable[[nn.Module, object], None]) -> RemovableHandle:
    """Show `see` what goes into a module."""

    def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        see(module, inputs[0] if inputs else None)

    return module.register_forward_pre_hook(hook)


def _after(module: nn.Module, see: Callable[[nn.Module, object], None]) -> RemovableHandle:
    """Show `see` what comes out of a module."""

    def hook(module: nn.Module, inputs: object, output: object) -> None:
        see(module, output)

    return module.register_forward_hook(hook)


def _readable(model: nn.Module) -> Classifier:
    """A network whose layers can be looked into: without its wrapping, and not TorchScript.

    Raises:
        InputError: If hooks would not be called.
    """
    bare = unwrapped(model)
    if isinstance(bare, torch.jit.ScriptModule):
        raise InputError(
            "the layers of a network in TorchScript cannot be read; give the network from before "
            "torch.jit.script, trace or freeze"
        )
    return Classifier.of(bare)


def _batches(images: Images, batch_size: int | None) -> Iterator[Tensor]:
    """The images in batches of one size, whatever the pieces they came in."""
    held: list[Tensor] = []
    for part in _parts(images):
        check_pixels(part)
        size = batch_size or (_SMALL if part[:1].numel() <= _LARGE_IMAGE else _LARGE)
        start = 0
        while start < len(part):
            take = part[start : start + size - sum(map(len, held))]
            if held and take.shape[1:] != held[0].shape[1:]:
                raise InputError(
                    f"images have shapes {tuple(held[0].shape[1:])} and {tuple(take.shape[1:])}; "
                    "bring them to one size"
                )
            held.append(take)
            start += len(take)
            if sum(map(len, held)) == size:
                yield torch.cat(held) if len(held) > 1 else held[0]
                held = []
    if held:
        yield torch.cat(held) if len(held) > 1 else held[0]


def _parts(images: Images) -> Iterator[Tensor]:
    if isinstance(images, ImageSet | Tensor):
        yield images.images if isinstance(images, ImageSet) else images
        return
    for part in images:
        first = part[0] if isinstance(part, tuple | list) and part else part
        yield first.images if isinstance(first, ImageSet) else first
