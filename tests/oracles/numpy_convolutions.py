"""The convolutional network once more, in NumPy from its weights: sums over sliding windows."""

from collections.abc import Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor


def convolutional_logits(
    weights: Mapping[str, Tensor], images: np.ndarray, border: int
) -> np.ndarray:
    """Logits of images (batch channel height width); convolutions see `border` zeros around."""
    arrays = {name: tensor.double().numpy() for name, tensor in weights.items()}
    phi = images.astype(np.float64)
    depth = 1
    while f"conv{depth}.weight" in arrays:
        kernel, bias = arrays[f"conv{depth}.weight"], arrays[f"conv{depth}.bias"]
        phi = np.pad(phi, ((0, 0), (0, 0), (border, border), (border, border)))
        windows = sliding_window_view(phi, kernel.shape[2:], (2, 3))
        phi = np.einsum("bchwij,ocij->bohw", windows, kernel) + bias[:, None, None]
        phi = np.maximum(phi, 0)
        height, width = phi.shape[2] // 2, phi.shape[3] // 2
        phi = phi[:, :, : 2 * height, : 2 * width]
        phi = phi.reshape(*phi.shape[:2], height, 2, width, 2).max((3, 5))
        depth += 1
    hidden = phi.reshape(len(phi), -1) @ arrays[f"fc{depth}.weight"].T + arrays[f"fc{depth}.bias"]
    last = f"fc{depth + 1}"
    return np.maximum(hidden, 0) @ arrays[f"{last}.weight"].T + arrays[f"{last}.bias"]
