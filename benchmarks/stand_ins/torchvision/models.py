"""A network on photographs in place of the one of torchvision's that foolbox's tests load."""

from torch import Tensor, nn

from intriguing.models.load import load_model
from networks import data_file

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Normalised(nn.Module):
    """A network of pixels from 0 to 1 that is given them normalised, as torchvision's are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        mean, deviation = (images.new_tensor(v)[:, None, None] for v in (_MEAN, _DEVIATION))
        logits: Tensor = self.model(images * deviation + mean)
        return logits


def shufflenet_v2_x0_5(pretrained: bool) -> nn.Module:
    """SqueezeNet 1.0, whose weights are at hand."""
    path = data_file("weights", "squeezenet_v1.0.safetensors")
    return Normalised(load_model(f"squeezenet:{path}").requires_grad_(False))
