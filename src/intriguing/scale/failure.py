"""Why a job was not done, as it travels from one process to another."""

from dataclasses import dataclass, field
from typing import Literal

from intriguing.errors import InputError, JobFailed, UnsoundBound
from intriguing.memory import out_of_memory


@dataclass(frozen=True)
class Failure:
    """Why a job was not done.

    Attributes:
        kind: The caller's mistake; a bound that is refuted; the disk; memory; time; a job that
            kills who does it; or any other error.
        said: In a sentence.
        cause: The error itself, where it came to pass in this process.
    """

    kind: Literal["input", "unsound", "disk", "memory", "time", "died", "failed"]
    said: str
    cause: Exception | None = field(default=None, compare=False)

    @property
    def ends_all(self) -> bool:
        """Whether it is not the job's, so that no other one would fare better."""
        return self.kind in ("unsound", "disk")

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """An error as it can travel from one process to another."""
        text = str(error)
        if isinstance(error, UnsoundBound):
            return cls("unsound", text)
        if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
            return cls("disk", text)
        if isinstance(error, InputError):
            return cls("input", text)
        said = text.strip().partition("\n")[0]
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
        return cls("memory" if out_of_memory(error) else "failed", said)

    def error(self) -> Exception:
        """To be raised where the job was asked for."""
        if self.cause is not None:
            return self.cause
        if self.kind == "unsound":
            return UnsoundBound(self.said)
        if self.kind == "disk":
            return InputError(self.said) if "--out" in self.said else OSError(self.said)
        return JobFailed(self.said) if self.kind == "failed" else InputError(self.said)
