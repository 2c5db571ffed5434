"""The three products of a locally connected layer, computed by tiles of outputs.

An output sees a field of the input, and neighbours' fields overlap almost entirely.  A tile of h×w
outputs sees one window, little larger than a field, and is one dense product: its weights are laid
into a matrix with a column for every entry of the window, zero where an output does not look.  That
copies each input once a tile rather than once an output, and gives the matrix product h·w·maps
columns rather than a few.  Only the tiles of one chunk exist at a time, so that no more than `WORK`
bytes are needed beside the layer's own arrays.

Arrays here have their channels last: inputs and outputs (batch, row, column, channel), weights
(row, column, map, field row, field column, channel).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

WORK = {"cpu": 32 << 20, "cuda": 512 << 20}
"""Bytes of the work arrays of one chunk, by the type of the device."""

_LARGEST = 8
"""Outputs of a tile a side that are tried at most: larger ones multiply by ever more zeros."""
# What it costs to write an entry of a window or a matrix, and to multiply by one, relatively.
_COPY, _MULTIPLY = 1.0, 0.05


@dataclass(frozen=True)
class Chunk:
    """A grid of equal tiles, in outputs.

    Attributes:
        top, left: The first output.
        rows, columns: Tiles in the grid.
        height, width: Outputs in a tile.
    """

    top: int
    left: int
    rows: int
    columns: int
    height: int
    width: int

    @property
    def outputs(self) -> tuple[slice, slice]:
        """Its part of the output."""
        bottom = self.top + self.rows * self.height
        return slice(self.top, bottom), slice(self.left, self.left + self.columns * self.width)


@dataclass(frozen=True)
class Layout:
    """A locally connected layer's sizes.

    Attributes:
        outputs: (rows, columns) of the output.
        field: (height, width) of what one output sees.
        stride: Steps between neighbours' fields.
        maps, channels: Of the output and of the input.
    """

    outputs: tuple[int, int]
    field: tuple[int, int]
    stride: tuple[int, int]
    maps: int
    channels: int

    @classmethod
    def of(cls, weight: Tensor, stride: tuple[int, int]) -> "Layout":
        rows, columns, maps, height, width, channels = weight.shape
        return cls((rows, columns), (height, width), stride, maps, channels)

    @property
    def inputs(self) -> tuple[int, int]:
        """(rows, columns) of the input that the outputs see."""
        return self.window(*self.outputs)

    def window(self, height: int, width: int) -> tuple[int, int]:
        """What a tile of so many outputs sees."""
        return (
            (height - 1) * self.stride[0] + self.field[0],
            (width - 1) * self.stride[1] + self.field[1],
        )

    def tile(self, batch: int) -> tuple[int, int]:
        """The cheapest tile: large ones copy fewer inputs and multiply by more zeros."""

        def cost(tile: tuple[int, int]) -> float:
            each = self.maps * (_COPY + _MULTIPLY * batch) + _COPY * batch / math.prod(tile)
            return each * math.prod(self.window(*tile))

        most = [min(side, _LARGEST) for side in self.outputs]
        sides = [(h, w) for h in range(1, most[0] + 1) for w in range(1, most[1] + 1)]
        return min(sides, key=cost)

    def chunks(self, batch: int, itemsize: int, work: int) -> Iterator[Chunk]:
        """Grids of tiles that cover every output once, each within `work` bytes or of one tile."""
        height, width = self.tile(batch)
        for top, rows, h in _cut(self.outputs[0], height):
            for left, columns, w in _cut(self.outputs[1], width):
                entries = (h * w * self.maps + batch) * math.prod(self.window(h, w)) * self.channels
                most = max(1, work // (entries * itemsize))
                across = min(columns, most)
                down = min(rows, max(1, most // columns))
                for i in range(0, rows, down):
                    for j in range(0, columns, across):
                        grid = min(down, rows - i), min(across, columns - j)
                        yield Chunk(top + i * h, left + j * w, *grid, h, w)

    def work_bytes(self, batch: int, itemsize: int = 4, work: int | None = None) -> int:
        """The largest work arrays of any chunk, in bytes; a backward pass has them twice."""
        budget = WORK["cpu"] if work is None else work
        return max(
            c.rows * c.columns * (c.height * c.width * self.maps + batch) * itemsize
            * math.prod(self.window(c.height, c.width)) * self.channels
            for c in self.chunks(batch, itemsize, budget)
        )  # fmt: skip


def forward(
    x: Float[Tensor, "b h w c"], weight: Float[Tensor, "p q m i j c"], stride: tuple[int, int]
) -> Float[Tensor, "b p q m"]:
    """yₚ = Wₚ·xₚ, xₚ the field of output p."""
    work = _Work(Layout.of(weight, stride), x)
    y = x.new_empty(len(x), *weight.shape[:3])
    for chunk in work.chunks():
        product = work.windows(x, chunk) @ work.matrices(weight, chunk).mT
        work.outputs_of(y, chunk).copy_(work.as_outputs(product, chunk))
    return y


def adjoint(
    y: Float[Tensor, "b p q m"],
    weight: Float[Tensor, "p q m i j c"],
    stride: tuple[int, int],
    size: tuple[int, int],
) -> Float[Tensor, "b h w c"]:
    """Σₚ Wₚᵀ·yₚ, each put where the field of p lies, in an input of `size`."""
    work = _Work(Layout.of(weight, stride), y)
    x = y.new_zeros(len(y), *size, weight.shape[5])
    for chunk in work.chunks():
        product = work.rows(y, chunk) @ work.matrices(weight, chunk)
        work.add_windows(x, product, chunk)
    return x


def outer(
    x: Float[Tensor, "b h w c"],
    y: Float[Tensor, "b p q m"],
    field: tuple[int, int],
    stride: tuple[int, int],
) -> Float[Tensor, "p q m i j c"]:
    """Σ over the batch of yₚ·xₚᵀ, the gradient of the weights."""
    layout = Layout((y.shape[1], y.shape[2]), field, stride, y.shape[3], x.shape[3])
    work = _Work(layout, x)
    weight = x.new_empty(*layout.outputs, layout.maps, *field, layout.channels)
    for chunk in work.chunks():
        product = work.rows(y, chunk).mT @ work.windows(x, chunk)
        work.weights_of(weight, chunk).copy_(work.band(product, chunk))
    return weight


def dense(
    weight: Float[Tensor, "p q m i j c"], stride: tuple[int, int]
) -> Float[Tensor, "output entry"]:
    """The layer's matrix, a row for every output, a column for every entry of what they see."""
    layout = Layout.of(weight, stride)
    whole = Chunk(0, 0, 1, 1, *layout.outputs)
    return _Work(layout, weight).matrices(weight, whole)[0]


class _Work:
    """The arrays of one chunk at a time, and how they lie in the layer's own."""

    def __init__(self, layout: Layout, like: Tensor) -> None:
        self.layout, self.like = layout, like
        self.buffer: Tensor | None = None
        self.laid: object = None

    def chunks(self) -> Iterator[Chunk]:
        budget = WORK.get(self.like.device.type, WORK["cuda"])
        return self.layout.chunks(len(self.like), self.like.element_size(), budget)

    def windows(self, x: Tensor, chunk: Chunk) -> Float[Tensor, "tile b entry"]:
        """What every tile sees, one row an image."""
        view = self._windows_of(x, chunk)
        return view.reshape(chunk.rows * chunk.columns, len(x), -1)

    def rows(self, y: Tensor, chunk: Chunk) -> Float[Tensor, "tile b output"]:
        """The outputs of every tile, one row an image."""
        view = self.outputs_of(y, chunk)
        return view.reshape(chunk.rows * chunk.columns, len(y), -1)

    def as_outputs(self, product: Tensor, chunk: Chunk) -> Tensor:
        """What `rows` gave, as `outputs_of` has it."""
        tile = (chunk.height, chunk.width, self.layout.maps)
        return product.view(chunk.rows, chunk.columns, -1, *tile)

    def outputs_of(self, y: Tensor, chunk: Chunk) -> Float[Tensor, "ty tx b h w m"]:
        part = y[:, chunk.outputs[0], chunk.outputs[1]]
        shape = (len(y), chunk.rows, chunk.height, chunk.columns, chunk.width, y.shape[3])
        return part.view(shape).permute(1, 3, 0, 2, 4, 5)

    def weights_of(self, weight: Tensor, chunk: Chunk) -> Float[Tensor, "ty tx h w m i j c"]:
        part = weight[chunk.outputs[0], chunk.outputs[1]]
        shape = (chunk.rows, chunk.height, chunk.columns, chunk.width, *weight.shape[2:])
        return part.view(shape).transpose(1, 2)

    def matrices(self, weight: Tensor, chunk: Chunk) -> Float[Tensor, "tile output entry"]:
        """The weights of every tile as a matrix.

        Only the band is ever written, and it lies in the same place for all grids of such tiles,
        so that the zeros around it stay zeros.
        """
        window = self.layout.window(chunk.height, chunk.width)
        shape = (
            chunk.rows * chunk.columns,
            chunk.height * chunk.width * self.layout.maps,
            math.prod(window) * self.layout.channels,
        )
        laid = (shape, chunk.height, chunk.width)
        if self.buffer is None or self.laid != laid:
            self.buffer = None  # freed before the next one is made
            self.buffer, self.laid = weight.new_zeros(shape), laid
        self.band(self.buffer, chunk).copy_(self.weights_of(weight, chunk))
        return self.buffer

    def band(self, matrices: Tensor, chunk: Chunk) -> Float[Tensor, "ty tx h w m i j c"]:
        """Where the weights lie in the matrices: output (r, q) looks at (r·s + i, q·s + j)."""
        (height, width), maps = (chunk.height, chunk.width), self.layout.maps
        across = self.layout.window(height, width)[1] * self.layout.channels
        row = matrices.shape[2]
        tile = height * width * maps * row
        down, right = self.layout.stride
        return matrices.as_strided(
            (chunk.rows, chunk.columns, height, width, maps, *self.layout.field,
             self.layout.channels),
            (chunk.columns * tile, tile, width * maps * row + down * across,
             maps * row + right * self.layout.channels, row, across, self.layout.channels, 1),
        )  # fmt: skip

    def add_windows(self, x: Tensor, product: Tensor, chunk: Chunk) -> None:
        """Add what belongs to every tile's window to `x`; windows that overlap, in turns."""
        window = self.layout.window(chunk.height, chunk.width)
        tiles = product.view(chunk.rows, chunk.columns, len(x), *window, self.layout.channels)
        steps = [
            -(-seen // (outputs * stride))
            for seen, outputs, stride in zip(
                window, (chunk.height, chunk.width), self.layout.stride, strict=True
            )
        ]
        view = self._windows_of(x, chunk)
        for i in range(min(steps[0], chunk.rows)):
            for j in range(min(steps[1], chunk.columns)):
                apart = (slice(i, None, steps[0]), slice(j, None, steps[1]))
                view[apart].add_(tiles[apart])

    def _windows_of(self, x: Tensor, chunk: Chunk) -> Float[Tensor, "ty tx b u v c"]:
        down, right = self.layout.stride
        height, width = self.layout.window(chunk.height, chunk.width)
        part = x[:, chunk.top * down :, chunk.left * right :]
        view = part.unfold(1, height, chunk.height * down).unfold(2, width, chunk.width * right)
        return view[:, : chunk.rows, : chunk.columns].permute(1, 2, 0, 4, 5, 3)


def _cut(outputs: int, side: int) -> Iterator[tuple[int, int, int]]:
    """(first output, tiles, outputs in a tile): whole tiles, then what is left as one.

    >>> list(_cut(10, 4))
    [(0, 2, 4), (8, 1, 2)]
    """
    whole, left = divmod(outputs, side)
    if whole:
        yield 0, whole, side
    if left:
        yield whole * side, 1, left
