"""A record of evidence: what was tested, on what, how, with which result, and what it leaves open.

Laid out so that documentation can cite it field by field; docs/gate.md says which field belongs
where. The schema is `evidence.schema.json` beside this file.
"""

import json
import math
from importlib.resources import files
from typing import Any

from intriguing.report.gated import Gated, what_is_near
from intriguing.results.gate import GateRow
from intriguing.results.schema import RunRecord

FORMAT = "intriguing-evidence/1"


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) that a record satisfies."""
    text = files("intriguing.report.exchange").joinpath("evidence.schema.json").read_text("utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def evidence(gate: Gated, run: RunRecord) -> dict[str, Any]:
    """The record of a gate."""
    verdict = gate.verdict
    certified = verdict.kind == "certified accuracy"
    return {
        "format": FORMAT,
        "verdict": {
            "ruling": verdict.ruling, "words": gate.headline, "asked": gate.asked,
            "refused": verdict.refused,
        },
        "subject": [
            {"role": "model" if not index else "compared", "name": one.name, "sha256": one.sha256,
             "architecture": one.architecture, "parameters": one.parameters}
            for index, one in enumerate(run.models)
        ],
        "baseline": verdict.baseline or None,
        "data": [
            {"name": one.name, "images": one.images, "sha256": one.sha256} for one in run.data
        ],
        "threat_model": {
            "norm": "L2", "goal": "any wrong class", "pixels": [0, 1],
            "knowledge": "whoever looks for examples" if certified else "white box: all weights",
            "search": None if certified else {
                "method": verdict.method, "budget_passes": verdict.budget or None,
                "first_budget_passes": verdict.first or verdict.short,
                "short_budget_passes": verdict.short,
                "ended_after_first": {
                    "images": verdict.far, "beyond_limits": _number(verdict.beyond),
                },
            },
            "checked_without_gradients": verdict.checked,
        },
        "metric": {
            "kind": verdict.kind, "threshold": verdict.limit,
            "unit": {"distance": "distortion", "ratio": "ratio"}.get(verdict.kind, "L2"),
            "share_allowed": verdict.share, "too_near": what_is_near(verdict),
        },
        "test": {
            "method": "sequential; mixture of likelihood ratios, valid at any stopping time",
            "level": verdict.level, "order": "random", "seed": verdict.seed,
            "images": verdict.images, "images_at_most": verdict.most, "near": verdict.near,
            "unknown": verdict.unknown,
            "interval": {"low": verdict.low, "high": verdict.high,
                         "confidence": 1 - 2 * verdict.level},
            "log_e_value_passing": _number(verdict.passing),
            "log_e_value_failing": _number(verdict.failing),
        },
        "results": _results(gate),
        "images": [_image(row) for row in gate.telling],
        "flaws": [
            {"what": flaw.what, "seen": flaw.seen, "follows": flaw.follows,
             "decides": flaw.decides}
            for flaw in gate.flaws
        ],
        "conditions": list(run.notes),
        "limits": list(gate.limits),
        "reproduction": {
            "command": run.command, "versions": run.versions, "machine": run.machine,
            "rows": "rows/gate.parquet", "record": "run.json",
        },
    }  # fmt: skip


def _results(gate: Gated) -> list[dict[str, Any]]:
    """What is known, each with the kind of knowledge that it is."""
    verdict = gate.verdict
    wrong = sum(row.ended == "misclassified" for row in gate.rows)
    others = verdict.images - verdict.near - verdict.unknown
    value = {
        "kind": "proved" if verdict.kind == "certified accuracy" else "found",
        "what": "value", "value": _number(verdict.value), "at_most": verdict.value_at_most,
    }  # fmt: skip
    counts = [
        ("measured", "misclassified as they are", wrong),
        ("found", "with an example nearer than allowed", verdict.near - wrong),
        ("found", "no nearer example found by the search", others - verdict.proved),
        ("proved", "proved to have no nearer example", verdict.proved),
    ]
    if verdict.kind == "certified accuracy":
        counts = [
            ("proved", "proved to have no nearer example", others),
            ("proved", "without such a certificate", verdict.near),
        ]
    return [value] + [
        {"kind": kind, "what": what, "value": count, "of": verdict.images}
        for kind, what, count in counts
    ]


def _image(row: GateRow) -> dict[str, Any]:
    return {
        "id": row.image_id, "class": row.label, "becomes": row.became, "l2": _number(row.found),
        "distortion": _number(row.found / math.sqrt(row.pixels)), "limit_l2": _number(row.limit),
    }  # fmt: skip


def _number(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None
