import numpy as np
import pytest
import torch
from PIL import Image

from intriguing.data.preprocessing import Preprocessing, of_shape
from intriguing.errors import InputError


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ({"channels": "GBR"}, "give RGB, BGR or L"),
        ({"mean": (0.5,)}, "mean .* needs 3 values"),
        ({"std": (1.0, 1.0, 0.0)}, "above 0"),
        ({"scale": 0.0}, "above 0"),
        ({"resize": 200}, "less than the size"),
        ({"resize": (256, 200)}, "less than the size"),
        ({"size": (0, 3)}, "height, width"),
        ({"interpolation": "random"}, "give bilinear"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, object], cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        Preprocessing(**wrong)


def test_pictures_become_gray_or_colour_only() -> None:
    assert of_shape((3, 5, 6)).shape == (3, 5, 6)
    with pytest.raises(InputError, match="3, 224, 224"):
        of_shape((2, 8, 8))
    with pytest.raises(InputError, match="3, 224, 224"):
        of_shape((784,))


@pytest.mark.parametrize("kind", ["I;16", "I"])
def test_16_bits_of_gray_keep_their_shades(kind: str) -> None:
    shades = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    picture = Image.fromarray(shades)
    pixels = Preprocessing((8, 8), (8, 8)).of_picture(picture.convert(kind))
    expected = torch.from_numpy(shades / 65535).float().expand(3, 8, 8)
    torch.testing.assert_close(pixels, expected, atol=1 / 255, rtol=0)
