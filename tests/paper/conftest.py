"""One smoke-scale reproduction, undisturbed, that the tests of this folder look at."""

from pathlib import Path

import pytest

from tests import forked
from tests.paper import running


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smoke") / "results"
    forked.finish(*running.start(folder))
    return folder
