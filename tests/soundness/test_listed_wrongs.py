"""The list of wrongs that tests have to notice has kept up with the code."""

import tomllib
from pathlib import Path

import intriguing

SOURCE = Path(intriguing.__file__).parent
LIST = Path(__file__).parents[2] / "benchmarks" / "mutations.toml"


def test_every_listed_wrong_has_its_place() -> None:
    listed = tomllib.loads(LIST.read_text(encoding="utf-8"))["mutation"]
    assert len(listed) > 100
    texts = {one["file"]: (SOURCE / one["file"]).read_text(encoding="utf-8") for one in listed}
    assert not [one["what"] for one in listed if texts[one["file"]].count(one["old"]) != 1]
