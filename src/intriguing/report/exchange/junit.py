"""JUnit XML: a test a question, as CI servers show them."""

from xml.etree import ElementTree as ET

from intriguing.names import visible
from intriguing.report.gated import Gated, image_words
from intriguing.results.schema import RunRecord


def junit(gate: Gated, run: RunRecord) -> str:
    """One suite of two tests: the verdict, and whether gradients hide examples.

    A fail is a failure, and a gate that could not decide an error: either turns the run red.
    """
    verdict = gate.verdict
    flaws = [flaw for flaw in gate.flaws if flaw.decides]
    undecided = verdict.ruling == "undecided"
    suite = ET.Element(
        "testsuite", name="intriguing gate", tests="2", errors=str(int(undecided)),
        failures=str(int(verdict.ruling == "fail") + bool(flaws)), skipped="0",
        time=f"{sum(stage.wall_seconds for stage in run.stages):.3f}",
    )  # fmt: skip
    properties = ET.SubElement(suite, "properties")
    for name, value in (("command", run.command), *_facts(gate)):
        ET.SubElement(properties, "property", name=name, value=_clean(value))
    asked = _case(suite, verdict.network, gate.asked)
    details = "\n".join((*gate.sentences, *map(image_words, gate.telling), *gate.limits))
    if verdict.ruling != "pass":
        kind = "error" if undecided else "failure"
        ended = ET.SubElement(asked, kind, message=_clean(gate.headline), type=verdict.ruling)
        ended.text = _clean(details)
    ET.SubElement(asked, "system-out").text = _clean(details)
    hidden = _case(suite, verdict.network, "gradients hide no examples")
    if flaws:
        words = [f"{flaw.what}: {flaw.seen}; {flaw.follows}." for flaw in flaws]
        ET.SubElement(hidden, "failure", message=_clean(words[0]), type="hidden").text = _clean(
            "\n".join(words)
        )
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, "unicode") + "\n"


def _case(suite: ET.Element, network: str, name: str) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname=_clean(f"intriguing.{network}"), name=_clean(name)
    )


def _facts(gate: Gated) -> list[tuple[str, str]]:
    verdict = gate.verdict
    return [
        ("ruling", verdict.ruling), ("images", str(verdict.images)), ("near", str(verdict.near)),
        ("proved", str(verdict.proved)), ("level", str(verdict.level)),
    ]  # fmt: skip


def _clean(text: str) -> str:
    """Without what XML cannot hold."""
    return visible(text)
