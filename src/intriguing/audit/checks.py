"""Is a network fit to be judged? Checks before hours are spent, each with its consequence."""

from intriguing.audit.kept import Made
from intriguing.audit.subject import Subject
from intriguing.models.preflight import preflight as look


def preflight(subject: Subject, name: str) -> Made:
    """Warnings about a network, each with what follows from it."""
    found = look(subject.networks[name], subject.images.images[:16])
    warnings = [
        {"what": one.name, "seen": one.measured, "follows": one.consequence} for one in found
    ]
    words = tuple(str(one) for one in found)
    return Made(words, {"warnings": warnings})
