"""A results folder may be anybody's: what it holds besides what is checked when it is read."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intriguing.errors import InputError

REMEDY = "run the command that is in its run.json again, which makes it anew"


@contextmanager
def blame(folder: Path) -> Iterator[None]:
    """Whatever ends the reading of a folder is said of the folder, in one line.

    What is read here was written by a run of this package, or looks as if: tensors, notes and facts
    of any shape, of which reading checks only those that everything needs.

    Raises:
        InputError: In place of any error but one of a disk and one that is said already.
    """
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        words = str(error).strip().splitlines() or [""]
        raise InputError(
            f"{folder} is damaged or not ours: it cannot be read "
            f"({type(error).__name__}: {words[0][:200]}; {Path(last.filename).name}, line "
            f"{last.lineno}); {REMEDY}, or choose another folder"
        ) from error
