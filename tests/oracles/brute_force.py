"""Top images the plain way: all activations in memory, every direction sorted in Python."""

from collections.abc import Sequence

import numpy as np


def top_k(
    phi: np.ndarray, matrix: np.ndarray, k: int, keys: Sequence[object], sign: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices, values and positions, each directions × k, of activations (image, unit, ...)."""
    flat = phi.reshape(*phi.shape[:2], -1)
    indices, values, positions = [], [], []
    for column in range(matrix.shape[1]):
        scores = sign * np.einsum("iup,u->ip", flat, matrix[:, column])
        greatest = scores.max(1)
        order = sorted(range(len(phi)), key=lambda i: (-greatest[i], keys[i]))[:k]
        indices.append(order)
        values.append([greatest[i] for i in order])
        positions.append([int(scores[i].argmax()) if phi.ndim > 2 else -1 for i in order])
    return np.array(indices), np.array(values), np.array(positions)
