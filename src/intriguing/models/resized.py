"""A network whose images are resized for it, so that several judge the same pixels."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.models.evaluation import training_parts


class Resized(nn.Module):
    """A network whose images are resized for it, so that several judge the same pixels."""

    def __init__(self, model: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.model, self.size = model, size
        self.training = bool(training_parts(model))

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Tensor:
        """Logits of the images, resized bilinearly."""
        resized = nn.functional.interpolate(images, self.size, mode="bilinear", align_corners=False)
        logits: Tensor = self.model(resized)
        return logits


def fitted(model: nn.Module, shape: Sequence[int]) -> nn.Module:
    """The network, resizing images of `shape` where it says that it wants others."""
    own = getattr(model, "shape", None)
    if own is None or len(own) != 3 or len(shape) != 3 or tuple(own) == tuple(shape):
        return model
    if own[0] != shape[0]:
        raise InputError(
            f"the network takes images of {own[0]} channels and these have {shape[0]}; give "
            "pictures in a folder or zip, which are read as the network wants them"
        )
    return Resized(model, (int(own[1]), int(own[2])))
