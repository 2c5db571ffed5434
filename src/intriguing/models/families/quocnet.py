"""QuocNet (§2, Figure 6): Le et al. 2011, three stages of untied filters, pooling and contrast.

"Building high-level features using large scale unsupervised learning" (arXiv:1112.6209, §3): every
stage filters locally with weights of its own at every place, pools the responses' L2 norm over
overlapping windows of one map, and normalises local contrast.  Nothing has a label: the filters
reconstruct what they see and are sparse after pooling (`training.reconstruction`).  A linear
classifier on the last stage makes the network whose blind spots Figure 6 shows.

One class at every size: `quocnet-1b` is the source's (200×200 RGB, 18×18 fields, 8 maps, 5×5
pooling), `quocnet-tiny` trains on two cores in minutes.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.models.family import Family, Shape, register_family
from intriguing.models.l2_pooling import L2Pool2d
from intriguing.models.local_contrast import LocalContrast2d
from intriguing.models.locally_connected import LocallyConnected2d, locally_connected_transpose2d
from intriguing.models.whitening import Whitening


@dataclass(frozen=True)
class StageConfig:
    """One stage.

    Attributes:
        field: Side of what one filter sees, over all input maps.
        maps: Filters at each place.
        stride: Steps between fields.
        pool: Side of the window whose L2 norm is taken.
        pool_stride: Steps between windows.
        contrast: Side of the window of contrast normalisation.
        floor: The least deviation that contrast normalisation divides by.
    """

    field: int
    maps: int = 8
    stride: int = 1
    pool: int = 5
    pool_stride: int = 1
    contrast: int = 5
    floor: float = 0.01


@dataclass(frozen=True)
class QuocNetConfig:
    """A size of the one architecture.

    Attributes:
        name: What `build_network` knows it by.
        shape: (channels, height, width) of an image.
        stages: From the image up.
        whitening: Side of the filter that whitens images; 1 only subtracts the mean colour and
            decorrelates the channels.
    """

    name: str
    shape: tuple[int, int, int]
    stages: tuple[StageConfig, ...]
    whitening: int = 7

    def __post_init__(self) -> None:
        sizes(self)

    @property
    def features(self) -> int:
        """Units of the last stage."""
        return math.prod(sizes(self)[-1].normalised)


@dataclass(frozen=True)
class Sizes:
    """(channels, rows, columns) in one stage: what it sees, its filters' responses, its output."""

    seen: tuple[int, int, int]
    filtered: tuple[int, int, int]
    normalised: tuple[int, int, int]


def sizes(config: QuocNetConfig) -> list[Sizes]:
    """The shapes of every stage.

    Raises:
        InputError: If a field or a window does not fit.
    """
    found, seen = [], config.shape
    for number, stage in enumerate(config.stages, 1):
        rows, columns = ((side - stage.field) // stage.stride + 1 for side in seen[1:])
        pooled = [(side - stage.pool) // stage.pool_stride + 1 for side in (rows, columns)]
        if min(pooled) < 1 or min(seen[1:]) < stage.field:
            raise InputError(
                f"{config.name}: stage {number} sees {seen[1]}×{seen[2]}, too little for fields of "
                f"{stage.field} and pools of {stage.pool}; give a larger image or smaller ones"
            )
        found.append(Sizes(seen, (stage.maps, rows, columns), (stage.maps, pooled[0], pooled[1])))
        seen = found[-1].normalised
    if not found:
        raise InputError(f"{config.name} has no stage; give at least one")
    return found


CONFIGS: Mapping[str, QuocNetConfig] = {
    config.name: config
    for config in (
        QuocNetConfig(
            "quocnet-tiny",
            (3, 32, 32),
            (
                StageConfig(7, pool=3, contrast=15, floor=1.0),
                StageConfig(3, pool=2, contrast=7, floor=1.0),
                StageConfig(3, pool=2, contrast=7, floor=1.0),
            ),
        ),
        QuocNetConfig(
            "quocnet-small",
            (3, 64, 64),
            (StageConfig(10, 8), StageConfig(10, 8), StageConfig(10, 8)),
        ),
        QuocNetConfig("quocnet-1b", (3, 200, 200), (StageConfig(18),) * 3),
    )
}
"""The sizes that have names."""

PAPER_PARAMETERS = 1_000_000_000
"""What the source, and §2, say its network has: "approximately 1 billion learnable parameters"."""


class Stage(nn.Module):
    """Filters, pooling, contrast; and, if it is to have one of its own, a decoder.

    The decoder's weights (Le et al. 2011, Eq. 1, W₂) are used in training only; without them the
    encoder's are, transposed.
    """

    def __init__(
        self,
        config: StageConfig,
        seen: tuple[int, int, int],
        *,
        asymmetric: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.filter = LocallyConnected2d(
            seen[0], config.maps, seen[1:], config.field, config.stride, device=device, dtype=dtype
        )
        self.pool = L2Pool2d(config.pool, config.pool_stride)
        self.contrast = LocalContrast2d(config.contrast, config.floor)
        self.decoder = nn.Parameter(self.filter.weight.detach().clone()) if asymmetric else None

    def forward(self, x: Float[Tensor, "b channel h w"]) -> Float[Tensor, "b map u v"]:
        """What the next stage sees."""
        normalised: Tensor = self.contrast(self.pool(self.filter(x)))
        return normalised

    @property
    def decoding(self) -> Tensor:
        """The weights that reconstruct."""
        return self.filter.weight if self.decoder is None else self.decoder

    def objective(self, x: Float[Tensor, "b channel h w"], sparsity: float) -> Float[Tensor, ""]:
        """Σ over images of ‖W₂ᵀ·W₁·x − x‖² + λ Σ pooled, by the entries of one x (Eq. 1).

        Pooled are sqrt(ε + Σ h²) over each window of the responses h = W₁·x.
        """
        h = self.filter(x)
        back = locally_connected_transpose2d(h, self.decoding, x.shape[2:], self.config.stride)
        total: Tensor = (back - x).square().sum() + sparsity * self.pool(h).sum()
        return total / x[0].numel()


class QuocNet(nn.Module):
    """Whitening and the stages; its output is the last stage's units, in rows.

    Args:
        config: Which size.
        asymmetric: Whether decoders have weights of their own while it is trained.

    >>> network = QuocNet(CONFIGS["quocnet-1b"], device="meta")
    >>> sum(weight.numel() for weight in network.parameters())
    1216858464
    """

    def __init__(
        self,
        config: QuocNetConfig,
        *,
        asymmetric: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.shape = config.shape
        self.whitening = Whitening(config.shape[0], config.whitening, device=device, dtype=dtype)
        self.stages = nn.ModuleList(
            Stage(stage, size.seen, asymmetric=asymmetric, device=device, dtype=dtype)
            for stage, size in zip(config.stages, sizes(config), strict=True)
        )

    def forward(self, images: Float[Tensor, "b channel h w"]) -> Float[Tensor, "b feature"]:
        """Features of images in [0, 1]."""
        phi = self.whitening(images)
        for stage in self.stages:
            phi = stage(phi)
        features: Tensor = phi.flatten(1)
        return features

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all filters anew; the same for the same seed on every device.

        They are half as large as a filter alone would have them: many overlap at a pixel, and what
        they reconstruct together at first should not be larger than it.
        """
        for stage in self.stages:
            assert isinstance(stage, Stage)
            stage.filter.reset_parameters(generator)
            with torch.no_grad():
                stage.filter.weight.mul_(0.5)
                if stage.decoder is not None:
                    stage.decoder.copy_(stage.filter.weight)


class QuocNetClassifier(nn.Module):
    """A linear classifier on a QuocNet's last stage, each unit standardised first (§2, Figure 6).

    Only `head` is trained with labels; `mean` and `deviation` of the units are kept with it.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        config: QuocNetConfig,
        classes: int = 2,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config, self.classes = config, classes
        self.shape = config.shape
        self.features = QuocNet(config, device=device, dtype=dtype)
        units = config.features
        self.register_buffer("mean", torch.zeros(units, device=device, dtype=dtype))
        self.register_buffer("deviation", torch.ones(units, device=device, dtype=dtype))
        self.head = nn.Linear(units, classes, device=device, dtype=dtype)

    def forward(self, images: Float[Tensor, "b channel h w"]) -> Float[Tensor, "b classes"]:
        """Logits of images in [0, 1]."""
        logits: Tensor = self.head((self.features(images) - self.mean) / self.deviation)
        return logits

    def describe(self) -> str:
        """The name `build_network` makes this architecture from."""
        return f"{self.config.name}-{self.classes}"


@register_family
class QuocNetFamily(Family):
    """quocnet-SIZE, of two classes, or quocnet-SIZE-K."""

    pattern = r"(quocnet-[a-z0-9]+)(?:-([1-9]\d*))?"
    called = ", ".join(CONFIGS)
    untrained = "learns from images without labels first; `intriguing train` does that"
    unlabelled = True

    def build(self, name: re.Match[str], shape: Shape) -> QuocNetClassifier:
        """The network of the size's own images."""
        if name[1] not in CONFIGS:
            raise InputError(f"unknown size {name[1]}; one of {', '.join(CONFIGS)}")
        return QuocNetClassifier(CONFIGS[name[1]], int(name[2] or 2))

    def initialise(self, head: nn.Module, generator: torch.Generator, gain: float) -> None:
        """The filters, before any image is seen; the classifier on them begins at 0."""
        assert isinstance(head, QuocNetClassifier)
        head.features.reset_parameters(generator)
        nn.init.zeros_(head.head.weight)
        nn.init.zeros_(head.head.bias)
