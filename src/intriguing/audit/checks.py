"""Is a network fit to be judged? Checks before hours are spent, each with its consequence."""

from intriguing.audit.kept import Made
from intriguing.audit.subject import Subject
from intriguing.models.clean_accuracy import clean_accuracy
from intriguing.models.preflight import preflight as look


def preflight(subject: Subject, name: str) -> Made:
    """Warnings about a network and how it fits the labels, each with what follows from it."""
    found = list(look(subject.networks[name], subject.images.images[:16]))
    if subject.labelled:
        found += clean_accuracy(
            subject.networks[name], subject.images, seed=subject.config.seed,
            progress=subject.progress,
        ).findings  # fmt: skip
    warnings = [
        {"what": one.name, "seen": one.measured, "follows": one.consequence} for one in found
    ]
    words = tuple(str(one) for one in found)
    return Made(words, {"warnings": warnings})
