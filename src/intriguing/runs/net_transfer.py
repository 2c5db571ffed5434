"""What distorted images do beyond what a network misreads anyway, image by image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from intriguing.estimates import Rows
from intriguing.results.measured import Condition, Measurement, Metric


@dataclass(frozen=True)
class Shown:
    """Images that networks are shown: what was done to them, for whom, and how much of it."""

    condition: Condition
    made_for: str = ""
    size: float | None = None


@dataclass(frozen=True)
class Beside:
    """What a network misreads of some images, and of the same ones unchanged.

    Attributes:
        network: Its name.
        places: Of the images among all.
        wrong, clean: Whether each is misread, changed and unchanged.
    """

    network: str
    places: Tensor
    wrong: Tensor
    clean: Tensor


def net_rows(raw: Rows, pairs: Mapping[Shown, Sequence[Beside]], images: int) -> list[Measurement]:
    """Errors on what was not made for a network, those on the same images unchanged, and between.

    They are of the analysis "NAME-net" beside the `raw` rows of the analysis NAME. The difference
    is paired: of every image, then Student's interval of the mean. A row without names is over all
    pairs, of which an image counts once, with the mean of its pairs.
    """
    rows = Rows(f"{raw.analysis}-net", seed=raw.about.get("seed"))
    whole: dict[Shown, list[Beside]] = {}
    for shown, some in pairs.items():
        others = [pair for pair in some if pair.network != shown.made_for]
        whole.setdefault(Shown(shown.condition, size=shown.size), []).extend(others)
        for pair in others:
            about = {"network": pair.network, **vars(shown)}
            for which, wrong in (("", pair.wrong), ("clean", pair.clean)):
                rows.share(Metric.ERROR, int(wrong.sum()), len(wrong), images=which, **about)
            net = pair.wrong.double() - pair.clean.double()
            rows.mean(Metric.ERROR_DIFFERENCE, "% more", 100 * net, len(net), **about)
    for shown, some in whole.items():
        means = [_by_image([(p.places, w) for p, w in zip(some, column, strict=True)], images)
                 for column in ([p.wrong for p in some], [p.clean for p in some])]  # fmt: skip
        for which, mean in zip(("", "clean"), means, strict=True):
            rows.mean(Metric.ERROR, "%", 100 * mean, len(mean), images=which, **vars(shown))
        net = 100 * (means[0] - means[1])
        rows.mean(Metric.ERROR_DIFFERENCE, "% more", net, len(net), **vars(shown))
    return rows.made


def _by_image(parts: Sequence[tuple[Tensor, Tensor]], images: int) -> Tensor:
    """The mean of each image over the parts that have it; without those that none has."""
    total, count = torch.zeros(images).double(), torch.zeros(images).double()
    for places, wrong in parts:
        total[places] += wrong.double()
        count[places] += 1
    return (total / count)[count > 0]
