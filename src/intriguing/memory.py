"""How much memory is free, whether it ran out or is about to, so that work can be cut to fit."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

_GROUPS = Path("/sys/fs/cgroup")
_MARGIN = 64 << 20
"""Bytes that are left free: what allocators and kernels take without being asked."""
_STEPS = 2
"""Steps like the largest between two looks that are left free."""
_EVERY = 0.1
"""Seconds between two looks at the memory, each of which may take most of a millisecond."""
_sharing = 1


class MemoryNear(MemoryError):
    """As much again as was taken before would go beyond a limit of memory."""


def share_memory(processes: int) -> None:
    """From now on this process is one of so many that take the machine's memory alike."""
    global _sharing
    _sharing = processes


def free_memory(device: torch.device | str = "cpu") -> int:
    """Bytes that are free on a device, as far as the system says; never more than really are.

    Limits on this process and on the groups that it is in (of a container, of a job of SLURM's)
    count as well as the machine's memory. Where the system says nothing, half of the machine's
    memory is taken to be free, or 2 GiB. A worker's part is an equal one (`share_memory`). Of a
    GPU, what torch keeps of freed memory is free.
    """
    if torch.device(device).type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    return _free_here() // _sharing


@contextmanager
def watched() -> Iterator[None]:
    """Inside, `look` raises `MemoryNear` before a limit of memory is passed that kills, not warns.

    What was taken at most since the beginning is taken again and again, so where that would not fit
    any more, it is time to take less. A GPU's limit needs no watch: it is an error, and no death.
    """
    global _watch
    before, _watch = _watch, _Watch()
    try:
        yield
    finally:
        _watch = before


def look() -> None:
    """See whether memory suffices to go on; costs nothing where nobody watches."""
    if _watch is not None:
        _watch.look()


class _Watch:
    def __init__(self) -> None:
        with suppress(OSError):  # else the peak is that of the process's life
            Path("/proc/self/clear_refs").write_text("5")
        self._start, self._next = _resident()[0], 0.0
        self._held, self._step = self._start, 0

    def look(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        held, peak = _resident()
        self._step, self._held = max(self._step, held - self._held), held
        if peak - self._start < _MARGIN:  # whoever takes the memory, it is not this work
            return
        # Before the peak is known, a pass goes on growing as it grew.
        if _free_here() < max(peak - held, _STEPS * self._step) + _MARGIN:
            raise MemoryNear(f"{readable(peak - self._start)} taken, and a limit is near")


_watch: _Watch | None = None


def _resident() -> tuple[int, int]:
    """Bytes of this process in memory: now, and at most; zeros where nobody says."""
    try:
        said = Path("/proc/self/status").read_text()
        return tuple(int(said.split(f"{k}:")[1].split()[0]) << 10 for k in ("VmRSS", "VmHWM"))  # type: ignore[return-value]
    except (OSError, IndexError, ValueError):
        return 0, 0


def _free_here() -> int:
    """Of the machine."""
    known = _available(), *_left_in_groups(), *_left_of_limits()
    found = [size for size in known if size is not None]
    if found:
        return max(min(found), 0)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return 2 << 30


def readable(size: float) -> str:
    """A number of bytes as people write it.

    >>> readable(3 << 30)
    '3.0 GiB'
    """
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or elsewhere."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    words = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")
    return isinstance(error, RuntimeError) and any(word in text for word in words)


def _available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _left_in_groups() -> Iterator[int]:
    """What is left of the limits of this process's group and of those above it.

    Pages of files that nobody reads any more count as free: they go when they are needed.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, name = line.split(":", 2)
        second = number == "0" and not controllers
        if not second and "memory" not in controllers.split(","):
            continue
        root = _GROUPS if second else _GROUPS / "memory"
        names = ("memory.max", "memory.current", "inactive_file") if second else (
            "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        )  # fmt: skip
        inside = Path(name.lstrip("/"))
        for group in (inside, *inside.parents):
            with suppress(OSError, ValueError, IndexError):  # "max" is no limit
                limit, used = (int((root / group / one).read_text()) for one in names[:2])
                stat = (root / group / "memory.stat").read_text()
                idle = int(stat.split(f"{names[2]} ")[1].split()[0])
                yield limit - max(used - idle, 0)


def _left_of_limits() -> Iterator[int]:
    """What is left of the limits on this process (`ulimit`)."""
    try:
        import resource  # which Windows has not

        said = Path("/proc/self/status").read_text()
    except (ImportError, OSError):
        return
    for limit, taken in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY:
            yield most - (int(said.split(f"{taken}:")[1].split()[0]) << 10)
