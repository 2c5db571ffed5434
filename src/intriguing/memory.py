"""How much memory is free, and whether it ran out, so that work can be cut to fit."""

import os
from pathlib import Path

import torch

_GROUP = Path("/sys/fs/cgroup")
_sharing = 1


def share_memory(processes: int) -> None:
    """From now on this process is one of so many that take the machine's memory alike."""
    global _sharing
    _sharing = processes


def free_memory(device: torch.device | str = "cpu") -> int:
    """Bytes that are free on a device, as far as the system says; never more than really are.

    A limit on this process's group counts as well as the machine's memory. Where the system says
    nothing, half of the machine's memory is taken to be free, or 2 GiB. A worker's part is an equal
    one (`share_memory`).
    """
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return _free_here() // _sharing


def _free_here() -> int:
    """Of the machine."""
    found = [bytes_ for bytes_ in (_available(), _left_in_group()) if bytes_ is not None]
    if found:
        return min(found)
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


def _left_in_group() -> int | None:
    try:
        limit = int((_GROUP / "memory.max").read_text())
        return max(limit - int((_GROUP / "memory.current").read_text()), 0)
    except (OSError, ValueError):
        return None
