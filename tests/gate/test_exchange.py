"""What a gate writes for other tools, held against their own validators."""

import html
import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import intriguing as it
from tests.gate.nets import PIXELS, Hiding, Plane, images_at, spread

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of a gate that passes, one that fails, and one that may not pass."""
    folder, images = tmp_path_factory.mktemp("gates"), images_at(spread(60), "a|b <i>@me</i>")
    asked = {
        "pass": (Plane(), 0.3),
        "fail": (Plane(), 0.9),
        "undecided": (Hiding("quantised"), 0.1),
    }
    for ruling, (model, limit) in asked.items():
        config = it.GateConfig(
            at_least=limit / math.sqrt(PIXELS), budget=40, sample=2, sample_budget=20
        )
        ended = it.run_gate(model, images, folder / ruling, config, name="net`1`", command="run it")
        assert ended.ruling == ruling
    return {ruling: folder / ruling / "report" for ruling in asked}


@pytest.mark.parametrize("ruling", ["pass", "fail", "undecided"])
def test_evidence_satisfies_its_schema_and_says_what_was_found(
    ruling: str, reports: dict[str, Path]
):
    record = json.loads((reports[ruling] / "evidence.json").read_text())
    schema = json.loads((reports[ruling] / "evidence.schema.json").read_text())
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(record, schema)
    assert record["verdict"]["ruling"] == ruling
    assert sum(one["value"] for one in record["results"][1:]) == record["test"]["images"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**record, "verdict": {"ruling": "robust"}}, schema)


@pytest.mark.parametrize("ruling", ["pass", "fail", "undecided"])
def test_sarif_satisfies_its_schema(ruling: str, reports: dict[str, Path]):
    log = json.loads((reports[ruling] / "gate.sarif").read_text())
    verdict, *others = log["runs"][0]["results"]
    assert (verdict["kind"], verdict["level"]) == {
        "pass": ("pass", "none"), "fail": ("fail", "error"), "undecided": ("open", "none")
    }[ruling]  # fmt: skip
    assert ("hidden-examples" in {one["ruleId"] for one in others}) == (ruling == "undecided")
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((HERE / "sarif-2.1.0.schema.json").read_text())
    jsonschema.validate(log, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**log, "runs": [{"results": []}]}, schema)


def test_junit_has_a_failure_an_error_or_neither(reports: dict[str, Path]):
    counts = {}
    for ruling, report in reports.items():
        suite = ET.parse(report / "junit.xml").getroot()[0]
        asked = suite.findall("testcase")[0]
        counts[ruling] = [len(asked.findall(kind)) for kind in ("failure", "error")]
        assert int(suite.get("tests", 0)) == len(suite.findall("testcase"))
        for kind in ("failure", "error"):
            assert int(suite.get(f"{kind}s", -1)) == len(suite.findall(f"testcase/{kind}"))
    assert counts == {"pass": [0, 0], "fail": [1, 0], "undecided": [0, 1]}


def test_markdown_holds_no_markup_of_others(reports: dict[str, Path]):
    text = (reports["fail"] / "summary.md").read_text()
    assert "FAIL: net\\`1\\`" in text
    assert not re.search(r"(?<!\\)[<@]", text)
    marks = (reports["fail"] / "annotations.txt").read_text().splitlines()
    assert marks[0].startswith("::error ")
    assert len(marks) == 4  # the three images that say most


def test_no_output_says_robust(reports: dict[str, Path]):
    for name in ("summary.md", "junit.xml", "gate.sarif", "evidence.json", "index.html"):
        words = (reports["pass"] / name).read_text().lower().replace("robust_accuracy", "")
        assert "robust" not in words, name
    assert "no nearer example was found" in ((reports["undecided"] / "summary.md").read_text())
    assert "proved" in (reports["pass"] / "summary.md").read_text()


def test_the_model_card_comes_back_from_the_hub_s_own_reader(reports: dict[str, Path]):
    text = (reports["pass"] / "model-card.md").read_text()
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(text)
    again = hub.ModelCard(str(card)).data.eval_results
    value = json.loads((reports["pass"] / "evidence.json").read_text())["results"][0]["value"]
    assert {one.metric_type: one.metric_value for one in again}["minimum_distortion"] == value
    assert card.data.model_name == "net`1`"


def test_the_page_shows_the_verdict_and_the_images_that_say_most(reports: dict[str, Path]):
    page = (reports["fail"] / "index.html").read_text()
    assert "FAIL" in page
    assert "The images that say most" in page
    assert "<i>@me" not in page


@pytest.mark.parametrize("ruling", ["pass", "undecided"])
def test_the_page_holds_the_record_of_evidence(ruling: str, reports: dict[str, Path]):
    page = html.unescape((reports[ruling] / "index.html").read_text())
    record = json.loads((reports[ruling] / "evidence.json").read_text())
    assert all(f">{key}" in page for key in record)
    for part in ("subject", "data"):
        assert all(f"sha256: {one['sha256']}" in page for one in record[part])
    for one in (*record["results"], *record["flaws"]):
        assert " · ".join(f"{key}: {_word(value)}" for key, value in one.items()) in page
    assert all(limit in page for limit in record["limits"])


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
