"""Work that ends in every way there is, told by the job; in a module, as workers import it."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from intriguing.errors import InputError


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
