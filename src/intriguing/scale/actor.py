"""What runs on the other side of Ray: an actor that sets its process up before torch is read.

Ray has processes ready for actors that ask for no environment of their own, so this one makes it
where it is. The file is sent as it is, and imports nothing else before the path is known.
"""

import io
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intriguing.scale.failure import Failure
    from intriguing.scale.fingerprint import Fingerprint
    from intriguing.scale.on_ray import Given

_TELL = 1.0
"""Seconds between two words about how far a job is."""


class Actor:
    """A process somewhere that holds the work.

    Args:
        environment: Variables that torch and MKL read once, when they begin.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        os.environ.update(environment)
        path = environment.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[:0] = [place for place in path if place and place not in sys.path]
        import torch

        from intriguing.memory import share_memory
        from intriguing.scale.engine import cores, keep_freed_memory
        from intriguing.written import write_beside_others

        torch.set_num_threads(1)
        keep_freed_memory()
        share_memory(cores())  # of this machine, as there is an actor a core
        write_beside_others()
        self.given: Given | None = None
        self.work: Any = None

    def read(self, given: "Given") -> "Failure | Fingerprint":
        """Get the work."""
        import ray

        from intriguing.scale.failure import Failure
        from intriguing.scale.fingerprint import Fingerprint
        from intriguing.scale.package import unpack

        try:
            if os.path.isdir(given.folder):  # as paths may be relative
                os.chdir(given.folder)
            self.work, sent = unpack(io.BytesIO(ray.get(given.work[0])))
        except Exception as error:
            return Failure.of(error)
        self.given = given
        return Fingerprint.here(sent)

    def do(self, job: object) -> "Failure | None":
        """Do a job."""
        from intriguing.scale.failure import Failure

        try:
            self._tell(0.0)
            self.work(job, self._teller())
        except Exception as error:
            return Failure.of(error)
        return None

    def forget(self) -> None:
        """Let go of the work."""
        self.given = self.work = None

    def _tell(self, share: float) -> None:
        assert self.given is not None
        self.given.board.write.remote(self.given.number, share)

    def _teller(self) -> Any:
        last = time.monotonic()

        def tell(share: float) -> None:
            nonlocal last
            if time.monotonic() - last > _TELL:
                last = time.monotonic()
                self._tell(share)

        return tell
