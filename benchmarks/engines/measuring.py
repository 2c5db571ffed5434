"""What the measurements of engines share: digits, a network, and what processes take."""

import csv
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import nn

import intriguing as it

FIGURES = Path(__file__).parents[1] / "figures"


@cache
def digits(count: int) -> it.ImageSet:
    """MNIST's test images, or the first of them."""
    return it.load_data("mnist").test.first(count)


@cache
def network(seed: int = 0) -> nn.Module:
    """FC100-100-10 after an epoch or so of 5,000 images; its weights are those of the seed."""
    images = it.load_data("mnist").train.first(5000)
    torch.manual_seed(seed)
    model = it.build_network("fc100-100-10")
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(10):
        for batch in torch.randperm(len(images)).split(100):
            loss = nn.functional.cross_entropy(model(images.images[batch]), images.labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.eval()


def tensors(folder: Path) -> str:
    """Digest of all tensors of a folder of shards, without the times that stand beside them."""
    found, paths = hashlib.sha256(), sorted(folder.glob("*.safetensors"))
    for path in paths:
        content = path.read_bytes()
        found.update(path.name.encode() + content[8 + int.from_bytes(content[:8], "little") :])
    return f"{found.hexdigest()[:16]} of {len(paths)}"


def files(folder: Path) -> str:
    """Digest of all files of a folder."""
    found, paths = hashlib.sha256(), sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths:
        found.update(path.name.encode() + path.read_bytes())
    return f"{found.hexdigest()[:16]} of {len(paths)}"


def spent(names: tuple[str, ...] = ()) -> dict[int, float]:
    """CPU seconds of this process and of all that it started, and they, by their numbers.

    Args:
        names: Of which one is in the command line of other processes that count as well.
    """
    ticks, parents, own = {}, {}, {os.getpid()}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            said = (path / "stat").read_text().rpartition(")")[2].split()
            line = (path / "cmdline").read_bytes().decode(errors="replace") if names else ""
            if any(name in line for name in names):
                own.add(int(path.name))
        except OSError:  # it has ended
            continue
        parents[int(path.name)] = int(said[1])
        ticks[int(path.name)] = (int(said[11]) + int(said[12])) / os.sysconf("SC_CLK_TCK")
    while more := {one for one, parent in parents.items() if parent in own} - own:
        own |= more
    return {one: ticks[one] for one in own if one in ticks}


def peak() -> float:
    """The peak of memory of this process in GB, without that of the one that started it."""
    said = Path("/proc/self/status").read_text()
    return int(said.split("VmHWM:")[1].split()[0]) / 1e6


@contextmanager
def largest_child() -> Iterator[list[float]]:
    """The peak of memory of the largest child so far, in GB."""
    largest, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            for path in Path("/proc").glob("[0-9]*"):
                try:
                    said = (path / "status").read_text()
                except OSError:
                    continue
                if f"PPid:\t{os.getpid()}\n" in said and "VmHWM:" in said:
                    largest[0] = max(largest[0], int(said.split("VmHWM:")[1].split()[0]) / 1e6)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield largest
    finally:
        ended.set()
        thread.join()


def begun(what: Callable[..., None], *given: str | int) -> "subprocess.Popen[bytes]":
    """Do it in a process of its own, whose peak of memory and CPU time are its own."""
    folder, name = Path(__file__).parent, what.__name__
    call = f"from {Path(what.__code__.co_filename).stem} import {name}; {name}(*{given!r})"
    return subprocess.Popen([sys.executable, "-c", call], cwd=folder)


def apart(what: Callable[..., None], *given: str | int) -> None:
    """The same to its end."""
    if code := begun(what, *given).wait():
        raise SystemExit(code)


def keep(name: str, row: dict[str, object]) -> None:
    """Print a row, and put it behind the others of `benchmarks/figures`."""
    row = {**row, "load": round(os.getloadavg()[0], 1)}
    print(row, flush=True)
    path = FIGURES / f"{name}.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def timed(what: Callable[[], object]) -> float:
    """Seconds by the clock."""
    start = time.perf_counter()
    what()
    return time.perf_counter() - start
