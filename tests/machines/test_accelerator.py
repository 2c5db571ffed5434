"""Every analysis on the emulated accelerator, in a process of its own.

Once torch knows of an accelerator it asks it everywhere, and would do so in all tests after these.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch


@pytest.mark.parametrize("tests", ["on_accelerator.py", "launches_on_accelerator.py"])
def test_on_an_accelerator(tests: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"]
    here = Path(__file__).parent
    done = subprocess.run(
        [*command, str(here / tests)], capture_output=True, text=True, timeout=600,
        cwd=here.parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_no_other_test_knows_of_it() -> None:
    assert torch._C._get_privateuse1_backend_name() == "privateuseone"
