"""The distances of an earlier run as the baseline of a gate, so that they need no second search."""

from pathlib import Path

import torch

from intriguing.data.dataset import ImageSet
from intriguing.distortion.search import Search
from intriguing.errors import InputError
from intriguing.gate.run import Baseline
from intriguing.results.parquet import read_columns
from intriguing.results.rows import ImageRow
from intriguing.results.store import read_run

_REMEDY = (
    "give the baseline's weights instead, or the results of `intriguing attack --targets "
    "untargeted`"
)


def read_baseline(folder: Path, images: ImageSet) -> Baseline:
    """The nearest examples that an attack or a certification found, for any wrong class.

    The search of the folder is taken for the network as well: distances by searches of different
    lengths cannot be compared.

    Raises:
        InputError: If the folder is no such run, is unfinished, or is of other images.
    """
    record = read_run(folder)
    if record.kind not in ("attack", "certify"):
        raise InputError(f"{folder} is of `intriguing {record.kind}`; {_REMEDY}")
    config = record.config
    if record.kind == "attack" and config.get("targets") != "untargeted":
        raise InputError(
            f"{folder} has examples of --targets {config.get('targets')}, and a gate asks for any "
            f"wrong class; {_REMEDY}"
        )
    if record.status != "complete":
        raise InputError(f"{folder} is not finished; run its command again to the end")
    if images.sha256 not in [one.sha256 for one in record.data]:
        raise InputError(
            f"{folder} is of other images than these; give the same DATA, --part and --limit, or "
            "the baseline's weights"
        )
    columns = read_columns(folder, ImageRow, ["image_id", "success", "l2"])
    pairs = zip(columns["image_id"], columns["success"], columns["l2"], strict=True)
    known = {name: float(l2) for name, success, l2 in pairs if success}
    if not known:
        raise InputError(
            f"{folder} has no adversarial example, so no distance to compare; {_REMEDY}"
        )
    search = Search(
        config.get("method", "closest"), config.get("budget"), config.get("levels"),
        config.get("seed", 0),
    )  # fmt: skip
    l2 = torch.tensor([known.get(name, torch.nan) for name in images.ids])
    return Baseline(record.models[0].name, None, l2, search)
