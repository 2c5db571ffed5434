"""Figure 5: photographs of anything, changed by next to nothing, that all become ostriches.

The images are the first ones that the network classifies correctly, in an order drawn by a seed:
none is left out for what becomes of it.  Every answer is an 8-bit image, saved as a PNG, read back
and classified afresh.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.data.png import read_png, write_png
from intriguing.distortion.methods import Config
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback, mean_interval, median, wilson_interval
from intriguing.names import file_name
from intriguing.results.published import published_numbers
from intriguing.results.schema import Cell
from intriguing.runs.pairs import Words, write_pairs
from intriguing.runs.predicting import predict
from intriguing.scale.attack import Attacked, attack_in_shards

TARGET = 9
"""Of ImageNet's classes: "ostrich, Struthio camelus"."""
LEVELS = 256
COUNT = int(published_numbers("figure5")["images"])
PAPER = published_numbers("figure5")["average_distortion"]
"""Average distortion over the paper's 64 images (§4.1, caption of Figure 5)."""
SHARD = 8


@dataclass(frozen=True)
class Ostriches:
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


def ostriches(
    model: nn.Module,
    chosen: ImageSet,
    folder: Path,
    *,
    name: str = "figure5",
    target: int = TARGET,
    method: str = "closest",
    budget: int | None = None,
    config: Config | None = None,
    seed: int = 0,
    shard_size: int = SHARD,
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
) -> Ostriches:
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
        model, chosen, goals, folder / "shards" / name, shard_size=shard_size, method=method,
        budget=budget, config=config, levels=LEVELS, seed=seed, batch_size=batch_size,
        stage=f"making every image class {target}", progress=progress,
    )  # fmt: skip
    says = _classify_files(model, attacked, folder / "pictures" / name, target)
    return Ostriches(attacked, target, says == target, says)


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
    made: Ostriches,
    *,
    name: str = "figure5",
    network: str = "",
    count: int = COUNT,
) -> None:
    """Keep the pairs for the report: original, difference, adversarial."""
    images = made.attacked.images
    rows = made.attacked.success.nonzero()[:count, 0]
    if not len(rows) or images.images.ndim != 4:
        return
    adversarial = made.attacked.shards.column("adversarial")[rows]
    sizes, labels = made.attacked.distortion.tolist(), images.labels.tolist()

    words = [
        Words(
            images.ids[row],
            called_in(images, labels[row]),
            called_in(images, int(made.says[row])),
            sizes[row],
        )
        for row in rows.tolist()
    ]
    write_pairs(
        folder, name, title, images.images[rows], adversarial, words, network=network,
        made="target",
    )  # fmt: skip


def called_in(images: ImageSet, number: int) -> str:
    """A class in words, its number where it has none."""
    names = images.class_names
    return names[number] if 0 <= number < len(names) else str(number)


def target_cells(name: str, order: int, made: Ostriches) -> tuple[Cell, ...]:
    """The row of one network in the table "target"; beside the paper's where it is Figure 5."""
    images, total = made.attacked.images, len(made.attacked)
    found, again = int(made.attacked.success.sum()), int(made.again.sum())
    sizes = made.attacked.distortion[made.attacked.success].double()
    of_figure5 = made.target == TARGET and images.classes == 1000
    shares = ((f"Became {called_in(images, made.target)}", found), ("Still so as PNG files", again))
    cells = []
    for place, (column, count) in enumerate(shares):
        low, high = wilson_interval(count, total)
        cells.append(
            Cell(
                "target", name, column, order, place, "%", 100 * count / total, 100 * low,
                100 * high, count, total,
            )
        )  # fmt: skip
    if len(sizes):
        span = mean_interval(sizes) if len(sizes) > 1 else (None, None)
        mean, paper = float(sizes.mean()), PAPER if of_figure5 else None
        cells += [
            Cell(
                "target", name, "Mean distortion", order, 2, "distortion", mean, span[0],
                span[1], len(sizes), total, paper,
            ),
            Cell(
                "target", name, "Median distortion", order, 3, "distortion", median(sizes),
                None, None, len(sizes), total,
            ),
        ]  # fmt: skip
    return tuple(cells)
