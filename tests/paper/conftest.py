"""One smoke-scale reproduction, undisturbed, that the tests of this folder look at."""

from contextlib import suppress
from pathlib import Path

import pytest

from tests.paper import running


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smoke") / "results"
    process, steps = running.start(folder)
    with steps, suppress(EOFError):
        while True:
            steps.recv()
    process.join()
    assert process.exitcode == 0
    return folder
