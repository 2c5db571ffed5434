"""What makes sums come out the same wherever they are computed: threads, and settings of MKL."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with a single thread, so that sums are added in the same order everywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Of a worker: one thread, as there is a worker a core."""


def same_environment() -> dict[str, str]:
    """What else of this process's environment a worker needs to compute the same."""
    kept = ("MKL_CBWR", "PYTHONPATH", "CUBLAS_WORKSPACE_CONFIG")
    return ENVIRONMENT | {name: os.environ[name] for name in kept if name in os.environ}
