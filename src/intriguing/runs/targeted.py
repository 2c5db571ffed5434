"""Figure 5: photographs of anything, changed by next to nothing, that all become ostriches.

The images are the first ones that the network classifies correctly, in an order drawn by a seed:
none is left out for what becomes of it.  Every answer is an 8-bit image, saved as a PNG, read back
and classified afresh.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.data.png import read_png, write_png
from intriguing.distortion.search import Search
from intriguing.errors import InputError
from intriguing.estimates import Rows
from intriguing.measures import ProgressCallback, median
from intriguing.names import file_name
from intriguing.results.measured import Measurement, Metric
from intriguing.results.published import published_figure5
from intriguing.runs.pairs import Words, write_pairs
from intriguing.runs.predicting import predict
from intriguing.scale.attack import Attacked, attack_in_shards
from intriguing.scale.engine import HERE, Engine

TARGET = 9
"""Of ImageNet's classes: "ostrich, Struthio camelus"."""
LEVELS = 256
COUNT, _ = published_figure5()
"""Images that the paper shows (§4.1, caption of Figure 5)."""
SHARD = 8
SEARCH = Search()


@dataclass(frozen=True)
class Targeted:
    """Images with the answers of the search, and what became of the files.

    Attributes:
        attacked: The images and their minimum distortions.
        again: Whether the saved file, read back and classified afresh, is the target.
        says: The class that the network gives the file; −1 where there is none.
    """

    attacked: Attacked
    target: int
    again: Bool[Tensor, " image"]
    says: Int64[Tensor, " image"]


def make_target(
    model: nn.Module,
    chosen: ImageSet,
    folder: Path,
    *,
    name: str = "figure5",
    target: int = TARGET,
    search: Search = SEARCH,
    shard_size: int = SHARD,
    engine: Engine = HERE,
    progress: ProgressCallback | None = None,
) -> Targeted:
    """Turn every image into `target`, save the answers, and classify the files.

    The same call again continues; files are in folder/pictures/NAME/.

    Raises:
        InputError: As `minimum_distortion`, or if there are no images.
    """
    if not len(chosen):
        raise InputError(
            "no image is classified correctly, so there is none to change; check the network's "
            "preprocessing and the labels"
        )
    goals = torch.full((len(chosen),), target)
    attacked = attack_in_shards(
        model, chosen, goals, folder / "shards" / name, shard_size=shard_size,
        method=replace(search, levels=LEVELS), stage=f"making every image class {target}",
        engine=engine, progress=progress,
    )  # fmt: skip
    says = _classify_files(model, attacked, folder / "pictures" / name, target)
    return Targeted(attacked, target, says == target, says)


def _classify_files(model: nn.Module, attacked: Attacked, folder: Path, target: int) -> Tensor:
    """Save every adversarial image, and say what the network says of the file.

    What is no picture, as a clip or a row of numbers, is in no file, and is asked about as it is.
    """
    says = []
    for images, columns in attacked.parts():
        if images.images.ndim != 4:
            found = columns["success"]
            said = predict(model, columns["adversarial"].nan_to_num())[0]
            says += torch.where(found, said, -1).tolist()
            continue
        for row, found in enumerate(columns["success"].tolist()):
            if not found:
                says.append(-1)
                continue
            path = folder / f"{file_name(images.ids[row])}-as-{target}.png"
            write_png(path, columns["adversarial"][row])
            says.append(int(predict(model, read_png(path)[None])[0]))
    return torch.tensor(says)


def write_figure(
    folder: Path,
    title: str,
    made: Targeted,
    *,
    name: str = "figure5",
    network: str = "",
    rows: Tensor | None = None,
) -> None:
    """Keep pairs for the report: original, difference, adversarial; `rows`, or the paper's 64."""
    images = made.attacked.images
    if rows is None:
        rows = made.attacked.success.nonzero()[:COUNT, 0]
    if not len(rows) or images.images.ndim != 4:
        return
    adversarial = made.attacked.columns["adversarial"][rows]
    sizes, labels = made.attacked.distortion.tolist(), images.labels.tolist()

    words = [
        Words(
            images.ids[row],
            images.called(labels[row]),
            images.called(int(made.says[row])),
            sizes[row],
        )
        for row in rows.tolist()
    ]
    write_pairs(
        folder, name, title, images.images[rows], adversarial, words, network=network,
        made="target",
    )  # fmt: skip


def target_rows(name: str, made: Targeted) -> list[Measurement]:
    """What became of one network's images; where it is Figure 5, the rows say so."""
    images, total = made.attacked.images, len(made.attacked)
    sizes = made.attacked.distortion[made.attacked.success].double()
    of_figure5 = made.target == TARGET and images.classes == 1000
    rows = Rows(
        "target", network=name, setting=images.called(made.target),
        reference="figure5" if of_figure5 else "",
    )  # fmt: skip
    rows.share(Metric.BECAME, int(made.attacked.success.sum()), total)
    rows.share(Metric.REMAINED, int(made.again.sum()), total)
    rows.mean(Metric.MEAN_DISTORTION, "distortion", sizes, total)
    if len(sizes):
        rows.add(Metric.MEDIAN_DISTORTION, "distortion", median(sizes), len(sizes), total)
    return rows.made
