"""`intriguing VERB …`: runs the verb, and turns what goes wrong into one clean message."""

import errno
import importlib
import io
import os
import re
import sys
from collections.abc import Sequence

from intriguing import __version__
from intriguing.cli.command import running
from intriguing.errors import InputError, JobFailed, UnsoundBound
from intriguing.names import visible
from intriguing.scale.engine import keep_freed_memory, steady_sums

VERBS = {
    "reproduce": "train the paper's networks and make its tables and figures, and more",
    "attack": "find the nearest adversarial example of every image, for any network",
    "compare": "several methods on the same images: which is shortest, and at what cost",
    "transfer": "do examples made for one network fool the others?",
    "spectrum": "how far can each layer, and the whole, carry a small change?",
    "certify": "how far is every image safe, proved, beside the nearest example found",
    "layers": "the layers of a network: names, shapes, units, receptive fields",
    "units": "what excites each unit, and each random direction: is there a distinction?",
    "gate": "is it as hard to fool as it has to be? pass, fail or undecided, for a CI",
    "audit": "all of these on networks of yours, and one report that says what it means",
    "diff": "what changed between two results folders, such as two audits",
    "explain": "one image of an audit: its whole story",
    "fool": "images of nothing that a network reads with confidence",
    "train": "train a network of the paper",
    "playground": "a page to play with: the search in a browser, on networks of digits",
    "report": "draw the report of a results folder again",
    "doctor": "what this machine has: torch, devices, data, disk",
}

# What is printed without a verb.
HELP = f"""\
usage: intriguing VERB ...        intriguing VERB --help explains one, with examples

How close is a classifier to being fooled, by what, and why
(after Szegedy et al., "Intriguing properties of neural networks", 2013).

verbs:
{chr(10).join(f"  {verb:<11}{summary}" for verb, summary in VERBS.items())}

start here:
  intriguing doctor                         is everything there?
  intriguing reproduce                      the paper on 5,000 digits, in minutes
  intriguing reproduce --scale paper        the paper on all of MNIST
  intriguing train fc100-100-10 mnist-5k    a network of your own ...
  intriguing attack fc100-100-10.safetensors mnist-5k --limit 100    ... and how close it is

Every verb that computes leaves a results folder with a report, and continues where it stopped
when the same command is run again.
"""

SUCCESS, FAILED, WRONG_INPUT, STOPPED = 0, 1, 2, 130
"""Exit codes: 2 as shells and argparse have it for wrong usage, 130 for Ctrl-C (128 + SIGINT)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code.

    2: wrong input, 1: the disk is full or a bound was refuted, 130: stopped.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):  # a path that is no UTF-8 must not end its message
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        _complain("stopped; run the same command again to continue")
        return STOPPED
    except InputError as error:
        _complain(str(error))
        return FAILED if _disk_full(error.__cause__) else WRONG_INPUT
    except UnsoundBound as refuted:
        _complain(f"UnsoundBound: {refuted}")
        return FAILED
    except JobFailed as error:
        _complain(f"a worker failed: {error}; --engine here shows where")
        return FAILED
    except (MemoryError, RuntimeError) as error:
        from intriguing.memory import out_of_memory

        if not out_of_memory(error):
            raise
        said = str(error).partition("\n")[0] or type(error).__name__
        _complain(
            f"the memory does not suffice ({said}); take a machine with more, or less at once"
        )
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SUCCESS
    except OSError as error:
        if error.filename is None and not _disk_full(error):
            raise
        _complain(
            "the disk is full; free some space and run the same command again to continue"
            if _disk_full(error)
            else f"cannot use {error.filename} ({error.strerror}); choose another path"
        )
        return FAILED


def _run(arguments: list[str]) -> int:
    # Threads that spin long while they wait make a busy machine ten times slower, and threads that
    # never spin cost half of a quiet one's speed. torch reads this once, when it is imported.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if sums := steady_sums():
        os.environ.setdefault("MKL_CBWR", sums)
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show ends no run
            stream.reconfigure(errors="backslashreplace")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(HELP)
        return SUCCESS
    if arguments[0] == "--version":
        sys.stdout.write(f"intriguing {__version__}\n")
        return SUCCESS
    verb, *rest = arguments
    if verb not in VERBS:
        raise InputError(f"unknown verb {verb!r}; one of {', '.join(VERBS)}")
    for word, after in zip(rest, (*rest[1:], ""), strict=False):
        option, _, value = word.partition("=")
        if now := RENAMED.get((verb, option)):
            raise InputError(f"{option} is called {now} now")
        if option == "--budget" and TIME.fullmatch(time := value or after):
            instead = f"; how long all may take is --images {time}" if verb == "audit" else ""
            raise InputError(f"--budget {time} is a time, and a budget is passes an image{instead}")
    import tyro

    module = importlib.import_module(f"intriguing.cli.{verb}")
    with running(arguments):
        tyro.cli(
            getattr(module, verb),
            prog=f"intriguing {verb}",
            description=module.__doc__,
            args=rest,
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    return SUCCESS


RENAMED = {
    ("audit", "--passes"): "--budget (how many images, or how long, is --images)",
    ("audit", "--target-passes"): "--target-budget",
    ("reproduce", "--passes"): "--budget",
}
"""Options that were called otherwise, and what they are called now."""
TIME = re.compile(r"\d+(\.\d+)?(s|min|h)")
"""As `audit --images` takes it."""


def _disk_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _complain(message: str) -> None:
    line = visible(message).replace("\n", "\\n")  # of a name: our own are of one line
    sys.stderr.write(f"intriguing: {line}\n")
