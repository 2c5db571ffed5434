"""Where many jobs are computed: in this process, in several here, or on a Ray cluster."""

import ctypes
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

from intriguing.errors import InputError

EngineName: TypeAlias = Literal["here", "processes", "ray"]


@dataclass(frozen=True)
class EngineOptions:
    """Who is to compute, as somebody says it.

    Args:
        engine: In this process (here), in several of this machine (processes), or on the machines
            of a Ray cluster that see the same results folder (ray).
        workers: At most so many at once; a core or a GPU each when not given.
        ray_address: Of the cluster's head, or auto; a cluster of this machine when not given.
        job_minutes: A job that takes longer is stopped, and the others go on. A job is a shard of
            images, a network, or another piece that is saved by itself. Where nothing is said, one
            is stopped that takes 10 minutes, and 20 times as long as all before it, and as it is
            thought to take by a moment's trial.
    """

    engine: EngineName = "here"
    workers: int | None = None
    ray_address: str | None = None
    job_minutes: float | None = None


@dataclass(frozen=True)
class Engine(EngineOptions):
    """Who computes, looked after; no answer depends on it.

    Raises:
        InputError: If the options do not fit each other, or Ray is not installed.
    """

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers {self.workers}; give 1 or more")
        if self.job_minutes is not None and not self.job_minutes > 0:
            raise InputError(f"--job-minutes {self.job_minutes}; give a time above 0")
        if self.engine == "here" and (self.workers or self.job_minutes):
            raise InputError(
                "--workers and --job-minutes are of --engine processes and ray; here there is one "
                "process, which nobody could stop"
            )
        if self.engine != "ray" and self.ray_address is not None:
            raise InputError("--ray-address is of --engine ray; give both, or neither")
        if self.engine == "ray" and find_spec("ray") is None:
            raise InputError("--engine ray needs Ray: pip install 'intriguing[ray]'")

    @property
    def here(self) -> bool:
        """Whether nothing leaves this process."""
        return self.engine == "here"

    @property
    def most(self) -> int:
        """Workers at once, as far as is known before there are any."""
        return 1 if self.here else self.workers or cores()


HERE = Engine()
"""What holds when nothing else is said."""


def steady_sums() -> str | None:
    """For MKL_CBWR: products of matrices are the same to the bit on any number of threads.

    Otherwise MKL adds in another order on two threads than on one, and what is computed here would
    differ in its last digits from what workers of a thread each compute. MKL reads it once, before
    it first computes. It costs nothing that could be measured with AVX-512, nor with AVX2 where
    there is no more.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    except (OSError, UnicodeDecodeError):  # elsewhere there is no MKL, or threads decide
        return None
    return "AVX512,STRICT" if "avx512f" in flags else "AVX2,STRICT" if "avx2" in flags else None


def keep_freed_memory() -> None:
    """Let the C library keep what is freed for what is asked for next, up to a quarter of a GiB.

    Where it gives pages of every large tensor back, a search of small images spends a quarter of
    its time on being given them again. Other C libraries than GNU's have no such setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, 32 << 20)
    mallopt(_TRIM_THRESHOLD, 256 << 20)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""As malloc.h has them."""


def cores() -> int:
    """Of this machine, as many as this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
