"""Work that ends in every way there is, told by the job; in a module, as workers import it."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.memory import free_memory
from intriguing.scale.shards import run_in_shards

TOUCHING = {"raise": 0.25, "die": 0.5, "hang": 0.75}


class Touchy(nn.Module):
    """A network that fails in a way for each of three images of one value only."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 10)
        ).eval()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        there = {name for name, value in TOUCHING.items() if (x.flatten(1) == value).all(1).any()}
        if "raise" in there:
            raise ArithmeticError("of all images, this one")
        if "die" in there:
            os.kill(os.getpid(), signal.SIGKILL)
        while "hang" in there:
            time.sleep(0.1)
        answer: Tensor = self.inner(x)
        return answer


class Nervous(nn.Module):
    """A network that hangs at pixels that only much noise makes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        while bool((x < -0.1).any()):
            time.sleep(0.1)
        answer: Tensor = self.inner(x)
        return answer


@dataclass(frozen=True)
class Sweeps:
    """Computes the same shards in the same folder, whatever the job."""

    folder: Path

    def __call__(self, job: str, told: Callable[[float], None]) -> None:
        run_in_shards(
            lambda items, report: {"x": torch.arange(items.start, items.stop)}, 4, 2, self.folder,
            "key",
        )  # fmt: skip


@dataclass(frozen=True)
class Grows:
    """Writes its process, and keeps 400 MB more than before."""

    folder: Path

    def __call__(self, job: str, told: Callable[[float], None]) -> None:
        KEPT.append(bytearray(400_000_000))
        (self.folder / job).write_text(str(os.getpid()))
        time.sleep(1.1)  # loky measures no more often than once a second


KEPT: list[bytearray] = []


@dataclass(frozen=True)
class Writes:
    """Appends its process to a file of the job's name, and then does as the job says."""

    folder: Path

    def __call__(self, job: str, told: Callable[[float], None]) -> None:
        path = self.folder / job
        with path.open("a") as file:
            file.write(f"{os.getpid()}\n")
        begun = len(path.read_text().split())
        what = job.partition("-")[0]
        if what == "weighs":
            path.write_text(str(free_memory()))
        if what == "wrong":
            raise InputError("that is wrong")
        if what == "odd":
            raise LookupError("that is odd\nand long")
        if what == "poison" or (what == "frail" and begun == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        while what == "hang":
            told(0.5)
            time.sleep(0.1)
        told(1.0)

    def processes(self, job: str) -> list[int]:
        """Those that began the job."""
        return [int(line) for line in (self.folder / job).read_text().split()]
