"""What a stage of an audit has besides a stage of any run: where it applies, and what it costs."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from intriguing.audit.subject import Subject
from intriguing.runs.run import Run
from intriguing.runs.stage import Stage

if TYPE_CHECKING:
    from intriguing.audit.probe import Cost, Probe


@dataclass(frozen=True)
class LeftOut:
    """Why a stage is not run for a network, or for all together; and whether anybody asked."""

    network: str
    why: str
    asked: bool = True


class AuditStage(Stage):
    """A question to the networks of an audit; `question` is in the reader's words.

    Attributes:
        attacked: Whether it is about the images that are attacked, so that without any it is none.
    """

    attacked: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def of(cls, subject: Subject, run: Run) -> Iterator["AuditStage | LeftOut"]:
        """The stages of a subject, in the order of its networks, or why there is none.

        Args:
            subject: Networks, images, and what is asked.
            run: What was done before.
        """

    @classmethod
    def costs(cls, probe: "Probe") -> Iterator["Cost"]:
        """What the stages would cost, where that is worth a line of a plan."""
        return iter(())
