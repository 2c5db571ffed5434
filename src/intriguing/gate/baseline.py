"""The distances of an earlier run as the baseline of a gate, so that they need no second search."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from intriguing.data.dataset import ImageSet
from intriguing.distortion.search import Search
from intriguing.errors import InputError
from intriguing.gate.plan import Baseline
from intriguing.results.gate import GateRow, RulingRow
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.rows import ImageRow
from intriguing.results.schema import RunRecord
from intriguing.results.store import read_run

_KINDS = ("attack", "certify", "audit", "gate")
_REMEDY = (
    "give the baseline's weights instead, or the results of `intriguing attack --targets "
    "untargeted`, `audit`, `certify` or `gate`"
)


@dataclass(frozen=True)
class _Distances:
    """What a run found, and how.

    Attributes:
        l2: ‖r‖₂ by the id of the image; NaN where it was searched for in vain.
        search: By which.
    """

    l2: dict[str, float]
    search: Search


def read_baseline(folder: Path, images: ImageSet) -> tuple[Baseline, ImageSet]:
    """The nearest examples that an earlier run found, for any wrong class, and for which images.

    The search of the folder is taken for the network as well: distances by searches of different
    lengths cannot be compared. An audit has searched those of its images that its network
    classifies correctly; a gate has searched all that it looked at for a few passes.

    Raises:
        InputError: If the folder is no such run, is unfinished, or is of other images.
    """
    record = read_run(folder)
    if record.kind not in _KINDS:
        raise InputError(f"{folder} is of `intriguing {record.kind}`; {_REMEDY}")
    targets = record.config.get("targets")
    if record.kind == "attack" and targets != "untargeted":
        raise InputError(
            f"{folder} has examples of --targets {targets}, and a gate asks for any wrong class; "
            f"{_REMEDY}"
        )
    if record.kind == "audit" and len(record.models) > 1:
        raise InputError(
            f"{folder} is an audit of {len(record.models)} networks, and a gate has one baseline; "
            "give its weights, or an audit of it alone"
        )
    if record.status != "complete":
        raise InputError(f"{folder} is not finished; run its command again to the end")
    if images.sha256 not in [one.sha256 for one in record.data]:
        raise InputError(
            f"{folder} is of other images than these; give the same DATA, --part and --limit, or "
            "the baseline's weights"
        )
    found = _gated(folder, record) if record.kind == "gate" else _attacked(folder, record)
    if not any(math.isfinite(size) for size in found.l2.values()):
        raise InputError(
            f"{folder} has no adversarial example, so no distance to compare; {_REMEDY}"
        )
    known = images.subset(torch.tensor([i for i, id in enumerate(images.ids) if id in found.l2]))
    l2 = torch.tensor([found.l2[id] for id in known.ids])
    return Baseline(record.models[0].name, None, l2, found.search), known


def _attacked(folder: Path, record: RunRecord) -> _Distances:
    """A row an image that was attacked."""
    columns = read_columns(folder, ImageRow, ["image_id", "success", "l2"])
    pairs = zip(columns["image_id"], columns["success"], columns["l2"], strict=True)
    known = {str(name): float(l2) if success else math.nan for name, success, l2 in pairs}
    config = record.config
    search = Search(
        config.get("method", "closest"), config.get("budget"), config.get("levels"),
        config.get("seed", 0),
    )  # fmt: skip
    return _Distances(known, search)


def _gated(folder: Path, record: RunRecord) -> _Distances:
    """What the first search found: longer ones were not made for every image."""
    (verdict,) = read_rows(folder, RulingRow)
    rows = read_rows(folder, GateRow)
    sizes = {row.image_id: row.first if verdict.first else row.short for row in rows}
    known = {
        name: size if math.isfinite(size) else math.nan
        for name, size in sizes.items() if not math.isnan(size)
    }  # fmt: skip
    levels, budget = record.config.get("levels"), verdict.first or verdict.short
    return _Distances(known, Search(verdict.method, budget, levels, verdict.seed))
