"""SARIF 2.1.0, as code scanning reads it: what stands in the way of a release, and where."""

from typing import Any
from urllib.parse import quote

from intriguing.names import storable
from intriguing.report.gated import Gated, image_words
from intriguing.results.gate import GateRow
from intriguing.results.schema import RunRecord

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"pass": ("pass", "none"), "fail": ("fail", "error"), "undecided": ("open", "none")}
"""kind and level of a result: SARIF gives levels to failures alone (section 3.27.10)."""
_RULES = {
    "verdict": "Is the network as hard to fool as it has to be?",
    "near-example": "An adversarial example nearer than it may be.",
    "hidden-examples": "Gradients hide adversarial examples from searches.",
}


def sarif(gate: Gated, run: RunRecord) -> dict[str, Any]:
    """One run: the verdict, the images that say most where they are too near, and flaws."""
    where = _locations(run)
    kind, level = _LEVELS[gate.verdict.ruling]
    results = [_result("verdict", kind, level, " ".join(gate.sentences), where)]
    results += [
        {**_result("near-example", "fail", "warning", image_words(row), where),
         "partialFingerprints": {"image/v1": row.image_id}, "properties": _properties(row)}
        for row in gate.telling if row.near == "near"
    ]  # fmt: skip
    results += [
        _result("hidden-examples", "fail", "warning", f"{f.what}: {f.seen}; {f.follows}.", where)
        for f in gate.flaws if f.decides
    ]  # fmt: skip
    driver = {
        "name": "intriguing", "semanticVersion": run.versions.get("intriguing", "0.0.0"),
        "rules": [{"id": id, "shortDescription": {"text": text}} for id, text in _RULES.items()],
    }  # fmt: skip
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "invocations": [{"commandLine": run.command, "executionSuccessful": True}],
                "results": results,
                "columnKind": "unicodeCodePoints",
            }
        ],
    }


def _result(
    rule: str, kind: str, level: str, text: str, where: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "ruleId": rule, "ruleIndex": list(_RULES).index(rule), "kind": kind, "level": level,
        "message": {"text": text}, "locations": where,
    }  # fmt: skip


def _locations(run: RunRecord) -> list[dict[str, Any]]:
    """The file of the network, as far as it was given as one; else its name."""
    name = run.models[0].name
    spec = str((run.config.get("models") or [name])[0])
    head, _, tail = spec.rpartition(":")
    file = head if head.endswith(".py") else tail
    return [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": quote(storable(file).lstrip("/"))},
                "region": {"startLine": 1},
            },
            "logicalLocations": [{"name": name, "kind": "module"}],
        }
    ]


def _properties(row: GateRow) -> dict[str, Any]:
    return {"image": row.image_id, "class": row.label, "becomes": row.became, "l2": row.found}
