"""A section of a Hugging Face model card, with metrics that the hub reads (`model-index`)."""

import json
import math
from typing import Any

from intriguing.names import storable
from intriguing.report.exchange.markdown import cell
from intriguing.report.gated import CAPITALS, Gated, image_words
from intriguing.results.gate import RulingRow
from intriguing.results.schema import RunRecord


def model_card(gate: Gated, run: RunRecord) -> str:
    """Front matter with `model-index`, and a section "Robustness" in words.

    The front matter is JSON, which is YAML as well. Of a card that is there already take both in.
    """
    matter = json.dumps({"model-index": [_index(gate, run)]}, indent=2, ensure_ascii=True)
    front = [line.removeprefix("  ") for line in matter.splitlines()[1:-1]]  # without its braces
    lines = ["---", *front, "---", "", "## Robustness", ""]
    lines += [cell(sentence) for sentence in (*gate.sentences, *gate.limits)]
    if gate.telling:
        lines += ["", "The images that say most:", ""]
        lines += [f"- {cell(image_words(row))}" for row in gate.telling]
    return storable("\n".join(lines) + "\n")


def _index(gate: Gated, run: RunRecord) -> dict[str, Any]:
    data = run.data[0]
    dataset = {"type": data.name, "name": data.name, "revision": data.sha256}
    return {
        "name": gate.verdict.network,
        "results": [
            {
                "task": {"type": "image-classification"},
                "dataset": dataset,
                "metrics": _metrics(gate.verdict),
            }
        ],
    }


def _metrics(verdict: RulingRow) -> list[dict[str, Any]]:
    """The value that was found, where it is finite, and how many images are not too near."""
    name = {
        "distance": f"{verdict.share:g} quantile of the minimum distortion found",
        "ratio": f"{verdict.share:g} quantile of the ratio of distances to {verdict.baseline}",
        "accuracy": f"accuracy under attack within L2 {verdict.limit:g}",
        "certified accuracy": f"certified accuracy within L2 {verdict.limit:g}",
    }[verdict.kind]
    kinds = {"distance": "minimum_distortion", "ratio": "minimum_distortion_ratio",
             "accuracy": "robust_accuracy", "certified accuracy": "certified_accuracy"}  # fmt: skip
    share = 1 - (verdict.near + verdict.unknown) / max(verdict.images, 1)
    metrics: list[dict[str, Any]] = [
        {"type": "gate", "name": f"gate: {CAPITALS[verdict.ruling]}", "value": verdict.ruling},
        {"type": "share_not_too_near", "name": "share of images not too near", "value": share},
    ]  # fmt: skip
    if math.isfinite(verdict.value):
        metrics.insert(0, {"type": kinds[verdict.kind], "name": name, "value": verdict.value})
    return metrics
