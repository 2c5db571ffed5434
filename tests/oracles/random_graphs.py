"""Networks drawn at random, layer by layer, with branches, joins and every kind of layer."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from intriguing.measures import Box


class RandomGraph(nn.Module):
    """A few random blocks over small images; `domain` is given if they multiply tensors."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(torch.Generator().manual_seed(seed))
        self.eval()

    def _build(self, generator: torch.Generator) -> None:
        self.generator = generator
        channels, size = 1 + self._draw(3), 5 + self._draw(4)
        self.input_shape = (channels, size, size)
        self.multiplies = False
        self.blocks = nn.ModuleList()
        image = torch.rand(2, channels, size, size)
        for _ in range(2 + self._draw(4)):
            block = self._block(image.shape[1], image.shape[2])
            self.blocks.append(block.eval())
            with torch.no_grad():
                image = block(image)
        self.flat = bool(self._draw(2))
        features = image[0].numel() if self.flat else image.shape[1]
        self.head = nn.Sequential(nn.Linear(features, 3 + self._draw(3)))
        if self._draw(2):
            self.head.append(self._activation()).append(nn.Linear(self.head[0].out_features, 4))
        if self._draw(4) == 0:
            self.head.append((nn.Softmax(1), nn.LogSoftmax(1), nn.LayerNorm(4))[self._draw(2)])
        self.eval()
        del self.generator

    def _draw(self, choices: int) -> int:
        return int(torch.randint(choices, (), generator=self.generator))

    def _activation(self, *, in_place: bool = True) -> nn.Module:
        # In place only behind what needs its own output for no gradient, or torch refuses one.
        kinds = (
            nn.ReLU(),
            nn.LeakyReLU(0.2),
            nn.Tanh(),
            nn.Sigmoid(),
            nn.GELU(),
            nn.SiLU(),
            nn.ELU(1.5),
            nn.Softplus(3.0),
            nn.Hardswish(),
            nn.PReLU(init=-1.7),
            nn.SELU(),
            nn.GELU("tanh"),
            nn.Mish(),
            nn.ReLU(inplace=in_place),
            nn.Hardtanh(-0.3, 0.8),
            nn.Softsign(),
        )
        return kinds[self._draw(len(kinds))]

    def _convolution(self, inputs: int, outputs: int, *, same: bool = False) -> nn.Conv2d:
        groups = inputs if outputs % inputs == 0 and self._draw(4) == 0 else 1
        if same:
            return nn.Conv2d(inputs, outputs, 3, padding="same", groups=groups)
        mode = ("zeros", "zeros", "circular", "reflect", "replicate")[self._draw(5)]
        return nn.Conv2d(
            inputs,
            outputs,
            1 + self._draw(4),
            stride=1 + self._draw(2),
            padding=2,
            groups=groups,
            padding_mode=mode,
            dilation=1 + self._draw(2),
        )

    def _norm(self, channels: int) -> nn.Module:
        norm = nn.BatchNorm2d(channels)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.2, 3)
        norm.weight.data.normal_(0, 1.5)
        kinds = (
            norm,
            norm,
            nn.LocalResponseNorm(3, 0.9, 0.75, 0.8),
            nn.GroupNorm(1, channels, 0.5),
        )
        return kinds[self._draw(len(kinds))]

    def _block(self, channels: int, size: int) -> nn.Module:
        kind = self._draw(9)
        if size < 4 and kind in (0, 4):
            kind = 2
        if kind == 0:
            return nn.Sequential(self._convolution(channels, 2 + self._draw(3)), self._activation())
        if kind == 1:
            convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=bool(self._draw(2)))
            return nn.Sequential(convolution, self._norm(channels), self._activation())
        if kind == 2:
            return Residual(
                nn.Sequential(
                    self._convolution(channels, channels, same=True),
                    self._activation(),
                    self._convolution(channels, channels, same=True),
                )
            )
        if kind == 3:
            norm = nn.BatchNorm2d(channels)
            norm.running_var.uniform_(0.3, 2)
            return Residual(nn.Sequential(self._convolution(channels, channels, same=True), norm))
        if kind == 4:
            pools = (
                nn.MaxPool2d(3, 2, 1),
                nn.MaxPool2d(2, 1),
                nn.AvgPool2d(3, 2, 1),
                nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False),
                nn.AdaptiveAvgPool2d(3),
                nn.AdaptiveMaxPool2d(3),
                nn.MaxPool2d(2, 2, dilation=2),
            )
            return pools[self._draw(len(pools))]
        if kind == 5:
            return Branches(
                self._convolution(channels, 2, same=True),
                nn.Sequential(self._convolution(channels, 2, same=True), nn.ReLU()),
            )
        if kind == 6:
            self.multiplies = True
            return Gate(channels)
        if kind == 7:
            return Arithmetic(self._draw(7))
        return nn.Sequential(self._activation(in_place=False))

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        for block in self.blocks:
            images = block(images)
        images = images.flatten(1) if self.flat else images.mean((2, 3))
        logits: Tensor = self.head(images)
        return logits

    @property
    def domain(self) -> Box | None:
        """The images over which its bound holds."""
        return Box(0.0, 1.0) if self.multiplies else None


class Residual(nn.Module):
    """x + f(x), in one of its spellings."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return x + self.branch(x)


class Branches(nn.Module):
    """Two functions of the input side by side, with the input itself."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        """The concatenation."""
        return torch.cat([self.first(x), x, self.second(x)], dim=1)


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.excite = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """x weighted by channel."""
        gate = torch.sigmoid(self.excite(x.mean((2, 3))))
        return x * gate[:, :, None, None]


class Arithmetic(nn.Module):
    """Operators and functions in place of modules."""

    def __init__(self, kind: int) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("scale", torch.rand(1, 1, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """One of seven expressions."""
        if self.kind == 0:
            return 1.5 * x - 0.3 * functional.relu(x)
        if self.kind == 1:
            return torch.maximum(x, -0.7 * x) / self.scale
        if self.kind == 2:
            first, second = functional.pad(x, (1, 1, 0, 0), mode="reflect").chunk(2, dim=3)
            return torch.cat((second, first), 3)[..., 1:-1]
        if self.kind == 3:
            return functional.interpolate(x, scale_factor=2.0, mode="nearest")[:, :, ::2] - x.amax(
                (2, 3), keepdim=True
            )
        if self.kind == 4:
            y = x.permute(0, 2, 3, 1).contiguous()
            y = functional.layer_norm(y, y.shape[-1:], eps=0.3)
            return y.permute(0, 3, 1, 2) + 0.1 * x
        if self.kind == 5:
            return torch.where(self.scale > 1, x.abs(), x.clamp(0.1, 0.6)) * self.scale
        return 1.0 - functional.softplus(x, beta=2.0).roll(1, dims=2) + x.flip(3)
