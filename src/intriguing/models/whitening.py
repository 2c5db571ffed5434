"""Whitening of images by one filter: decorrelates neighbouring pixels and colours."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from intriguing.errors import InputError


class Whitening(nn.Module):
    """(x − mean) filtered by `kernel`, which `fit` makes of patches; the identity until then.

    The kernel is what ZCA whitening does to the middle pixel of a patch, so that it whitens images
    of any size as ZCA whitens patches.  Images are continued by their border pixels.

    Args:
        channels: Of the images.
        side: Of the kernel, odd.
    """

    mean: Tensor
    kernel: Tensor

    def __init__(
        self,
        channels: int,
        side: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if side < 1 or side % 2 == 0:
            raise InputError(f"a whitening filter of side {side}; give an odd one")
        self.register_buffer("mean", torch.zeros(channels, device=device, dtype=dtype))
        kernel = torch.zeros(channels, channels, side, side, device=device, dtype=dtype)
        kernel[:, :, side // 2, side // 2] = torch.eye(channels, device=device, dtype=dtype)
        self.register_buffer("kernel", kernel)

    def forward(self, images: Float[Tensor, "b channel h w"]) -> Float[Tensor, "b channel h w"]:
        """Whitened images."""
        border = self.kernel.shape[2] // 2
        x = images - self.mean.view(-1, 1, 1)
        return conv2d(pad(x, [border] * 4, mode="replicate"), self.kernel)

    @torch.no_grad()
    def fit(
        self,
        batches: Iterable[Float[Tensor, "b channel h w"]],
        generator: torch.Generator,
        *,
        patches: int = 50_000,
        per_image: int = 10,
        regulariser: float = 0.5,
    ) -> None:
        """Take the kernel from patches of images, in float64 on the CPU.

        C = E[(p − mean)(p − mean)ᵀ] over patches p, and ZCA is (C + ρ tr(C)/n · 1)^(−1/2); the
        kernel is its rows of the middle pixel, scaled so that what comes out has variance 1.

        Args:
            batches: Images in [0, 1], of this side at least.
            generator: Draws where patches lie.
            patches: How many are enough.
            per_image: Patches of one image.
            regulariser: ρ, which keeps noise from being amplified.

        Raises:
            InputError: If there are no images or they do not vary.
        """
        channels, side = len(self.mean), self.kernel.shape[2]
        size = channels * side**2
        total, products, count = torch.zeros(size).double(), torch.zeros(size, size).double(), 0
        for images in batches:
            drawn = random_patches(images.cpu(), side, per_image, generator).flatten(1).double()
            total += drawn.sum(0)
            products += drawn.T @ drawn
            count += len(drawn)
            if count >= patches:
                break
        if not count:
            raise InputError("there are no images to whiten by; give at least one")
        colour = (total / count).view(channels, -1).mean(1)
        mean = colour.repeat_interleave(side**2)
        covariance = (
            products - torch.outer(total, mean) - torch.outer(mean, total)
        ) / count + torch.outer(mean, mean)
        values, vectors = torch.linalg.eigh(covariance)
        level = float(values.clamp_min(0).mean())
        if not 0 < level < float("inf"):
            raise InputError("the images do not vary, or are not finite; nothing to whiten by")
        zca = vectors @ torch.diag((values.clamp_min(0) + regulariser * level).rsqrt()) @ vectors.T
        middle = side**2 // 2
        rows = zca.view(channels, side**2, size)[:, middle]
        variance = (rows @ covariance * rows).sum() / channels
        self.mean.copy_(colour)
        self.kernel.copy_((rows / variance.sqrt()).view(channels, channels, side, side))


def random_patches(
    images: Float[Tensor, "image channel h w"], side: int, each: int, generator: torch.Generator
) -> Float[Tensor, "patch channel side side"]:
    """`each` square patches of every image, where the generator says.

    Raises:
        InputError: If the images are smaller than the patches.
    """
    count, _, height, width = images.shape
    if min(height, width) < side:
        raise InputError(f"patches of {side}×{side} do not fit into images of {height}×{width}")
    tops = torch.randint(height - side + 1, (count * each,), generator=generator)
    lefts = torch.randint(width - side + 1, (count * each,), generator=generator)
    image = torch.arange(count).repeat_interleave(each).view(-1, 1, 1)
    rows = tops.view(-1, 1, 1) + torch.arange(side).view(1, -1, 1)
    columns = lefts.view(-1, 1, 1) + torch.arange(side).view(1, 1, -1)
    return images[image, :, rows, columns].permute(0, 3, 1, 2)
