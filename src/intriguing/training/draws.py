"""Torch's own random numbers, where a network draws them: repeatable, and nobody else's."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def drawing_from(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Within the block, what modules draw without a generator follows the seed.

    So do the initial weights that nobody draws otherwise, and `nn.Dropout` inside a network. The
    caller's own random numbers go on as if nothing had happened.

    >>> with drawing_from(3):
    ...     first = torch.rand(2)
    >>> with drawing_from(3):
    ...     bool((torch.rand(2) == first).all())
    True
    """
    place = torch.device(device)
    forks = place.type in ("cuda", "xpu")  # of others torch cannot keep the state by device
    with torch.random.fork_rng(
        [place] if forks else [], device_type=place.type if forks else "cuda"
    ):
        torch.manual_seed(seed)
        yield
