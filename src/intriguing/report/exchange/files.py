"""All files for other tools, beside the page."""

import json
from pathlib import Path

from intriguing.files import write_whole
from intriguing.report.contents import Contents
from intriguing.report.exchange.evidence import evidence, schema
from intriguing.report.exchange.junit import junit
from intriguing.report.exchange.markdown import annotations, summary
from intriguing.report.exchange.model_card import model_card
from intriguing.report.exchange.sarif import sarif
from intriguing.report.gated import gated


def write_exchange(contents: Contents, report: Path) -> None:
    """junit.xml, gate.sarif, summary.md, annotations.txt, model-card.md and evidence.json."""
    gate = gated(contents)
    if gate is None:
        return
    run = contents.run
    whole = {
        "junit.xml": junit(gate, run), "gate.sarif": _json(sarif(gate, run)),
        "summary.md": summary(gate, run), "annotations.txt": annotations(gate),
        "model-card.md": model_card(gate, run), "evidence.json": _json(evidence(gate, run)),
        "evidence.schema.json": _json(schema()),
    }  # fmt: skip
    for name, text in whole.items():
        write_whole(report / name, text)


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
