"""How many images an audit attacks: a number, all of them, or what a time allows."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from intriguing.audit.config import AuditConfig
from intriguing.audit.cost import quick
from intriguing.audit.subject import Subject
from intriguing.errors import InputError
from intriguing.results.store import read_run

UNITS = {"s": 1, "min": 60, "h": 3600}
SHARE = 0.8
"""Of a time that is planned for what grows with the images; bounds and certificates take rest."""


@dataclass(frozen=True)
class SampleSize:
    """So many images, None for all; or as many as `seconds` allow."""

    images: int | None = None
    seconds: float | None = None

    def planned(self, subject: Subject, folder: Path) -> AuditConfig:
        """The configuration with the number of images that the time allows.

        A folder that was begun keeps the number it was begun with, whatever the machine does now.
        """
        assert self.seconds is not None
        config = subject.config
        try:
            known = read_run(folder).config.get("images")
            if isinstance(known, int):
                return replace(config, images=known)
        except InputError:
            pass
        one = sum(quick(replace(subject, config=replace(config, images=1))).values())
        two = sum(quick(replace(subject, config=replace(config, images=2))).values())
        each = max(two - one, 1e-9)
        count = int((SHARE * self.seconds - max(one - each, 0)) / each)
        if count < 1:
            raise InputError(
                f"--images {self.seconds:.0f}s is too short for a single image; give more time, a "
                "lower --budget, or a --limit"
            )
        return replace(config, images=min(count, len(subject.images)))


def parse_sample_size(text: str) -> SampleSize:
    """ "64" images, "all", or a time such as "90s", "20min" or "2h".

    >>> parse_sample_size("64").images, parse_sample_size("20min").seconds
    (64, 1200.0)
    >>> parse_sample_size("all")
    SampleSize(images=None, seconds=None)
    """
    plain = text.strip().lower().replace(" ", "")
    if plain == "all":
        return SampleSize()
    if plain.isdecimal() and int(plain) > 0:
        return SampleSize(images=int(plain))
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h)", plain)
    if match and float(match[1]) > 0:
        return SampleSize(images=1, seconds=float(match[1]) * UNITS[match[2]])
    raise InputError(
        f"--images {text} is neither a number, nor all, nor a time; give 64, all, 90s, 20min or 2h"
    )
