"""What has to be the same wherever answers are computed: programs, and all that was sent."""

import hashlib
import platform
import socket
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy
import torch

from intriguing import __version__
from intriguing.errors import InputError


@dataclass(frozen=True)
class Fingerprint:
    """Of a process.

    Attributes:
        sent: Digest of the network, the images and the settings, as they were read.
        versions: Of what computes, by name; of this package, the digest of its source, too.
        host: The machine, for people.
    """

    sent: str
    versions: tuple[tuple[str, str], ...]
    host: str = field(compare=False, default_factory=socket.gethostname)

    @classmethod
    def here(cls, sent: str) -> "Fingerprint":
        """Of this process, which was sent that."""
        python = ".".join(platform.python_version_tuple()[:2])
        versions = {
            "Python": python, "torch": str(torch.__version__), "numpy": numpy.__version__,
            "intriguing": f"{__version__} ({_source()[:12]})",
        }  # fmt: skip
        return cls(sent, tuple(versions.items()))

    def check(self, worker: "Fingerprint") -> None:
        """Refuse a worker that would not compute the same.

        Raises:
            InputError: If it has other programs, or read other weights or images.
        """
        differing = [
            f"{name} {theirs}, not {ours}"
            for (name, ours), (_, theirs) in zip(self.versions, worker.versions, strict=True)
            if ours != theirs
        ]
        if differing:
            raise InputError(
                f"a worker on {worker.host} has {'; '.join(differing)}: its answers could differ; "
                "install the same there"
            )
        if self.sent != worker.sent:
            raise InputError(
                f"a worker on {worker.host} read other weights or images than it was sent; look "
                "after the memory and the disk of that machine"
            )


@cache
def _source() -> str:
    """Digest of this package's files."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
