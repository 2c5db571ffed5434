"""What Tables 1 to 4 measure, in the order of the paper's rows."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias, Unpack

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.noise import gaussian_noise
from intriguing.estimates import About, Rows
from intriguing.measures import distortion
from intriguing.results.rows import Condition, Measurement, Metric
from intriguing.scale.attack import Attacked
from intriguing.transfer.amplify import amplify
from intriguing.transfer.matrix import count_errors

Networks: TypeAlias = Mapping[str, nn.Module]
Attacks: TypeAlias = Mapping[str, Attacked]
"""For each network, by its name in the paper, the images distorted for it."""
Changed: TypeAlias = Iterable[tuple[Tensor, Tensor, Tensor]]
"""Originals x, changed images x′ and true labels, piece by piece."""


def table1(
    networks: Networks, train: ImageSet, test: ImageSet, attacks: Attacks, seed: int
) -> list[Measurement]:
    """Training error, test error, and average minimum distortion over the training set."""
    rows = Rows("table1", seed=seed)
    _errors(rows, networks, {"train": train, "test": test})
    _distances(rows, attacks, "train")
    return rows.made


def table2(
    networks: Networks, train: ImageSet, attacks: Attacks, generator: torch.Generator, seed: int
) -> list[Measurement]:
    """Error of every network on the training images distorted for each, and on noisy ones.

    Only images for which an adversarial one was found are shown.  Noise is not clipped to the
    box, so that its distortion is the stated standard deviation.
    """
    rows = Rows("table2", images="train", seed=seed)
    _examples(rows, networks, attacks)
    for stddev in (0.1, 0.3):
        _noise(rows, networks, train, stddev, generator)
    return rows.made


def table3(
    networks: Networks, sets: Mapping[str, ImageSet], attacks: Attacks, seed: int
) -> list[Measurement]:
    """Error of the split experiment's networks on P1, P2 and the test set, before distortion.

    Args:
        networks: By name.
        sets: "P1", "P2" and "test".
        attacks: On the test set.
        seed: Of the networks.
    """
    rows = Rows("table3", seed=seed)
    _errors(rows, networks, sets)
    _distances(rows, attacks, "test")
    return rows.made


def table4(
    networks: Networks, test: ImageSet, attacks: Attacks, generator: torch.Generator, seed: int
) -> list[Measurement]:
    """Error of the split experiment's networks on test images distorted for each; then amplified.

    Neither noise nor amplified images are clipped, so that their distortion is as stated.
    """
    rows = Rows("table4", images="test", seed=seed)
    _examples(rows, networks, attacks)
    _noise(rows, networks, test, 0.06, generator)
    for name, attacked in attacks.items():
        longer = ((x, amplify(x, far, 0.1), labels) for x, far, labels in attacked.found())
        _shown(rows, networks, longer, len(attacked), made_for=name, size=0.1,
               condition=Condition.AMPLIFIED)  # fmt: skip
    _noise(rows, networks, test, 0.1, generator)
    return rows.made


def _errors(rows: Rows, networks: Networks, sets: Mapping[str, ImageSet]) -> None:
    """Each network's error on images as they are."""
    for which, images in sets.items():
        for name, error in count_errors(networks, [(images.images, images.labels)]).items():
            rows.share(Metric.ERROR, error.count, error.total, network=name, images=which,
                       condition=Condition.CLEAN)  # fmt: skip


def _distances(rows: Rows, attacks: Attacks, which: str) -> None:
    """Average minimum distortion of the images for which an adversarial image was found."""
    for name, attacked in attacks.items():
        found = attacked.distortion[attacked.success]
        rows.mean(Metric.MEAN_DISTORTION, "distortion", found, len(attacked), network=name,
                  images=which)  # fmt: skip


def _examples(rows: Rows, networks: Networks, attacks: Attacks) -> None:
    for name, attacked in attacks.items():
        _shown(rows, networks, attacked.found(), len(attacked), made_for=name,
               condition=Condition.ADVERSARIAL)  # fmt: skip


def _noise(
    rows: Rows, networks: Networks, images: ImageSet, stddev: float, generator: torch.Generator
) -> None:
    noisy = (
        (batch.images, gaussian_noise(batch.images, stddev, generator), batch.labels)
        for batch in images.batches(10_000)
    )
    _shown(rows, networks, noisy, len(images), size=stddev, condition=Condition.NOISE)


def _shown(
    rows: Rows, networks: Networks, changed: Changed, total: int, **about: Unpack[About]
) -> None:
    """Every network's error on changed images, which `about` describes, and their mean change."""
    sizes = [torch.empty(0)]

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        for x, x_changed, labels in changed:
            sizes.append(distortion(x, x_changed))
            yield x_changed, labels

    for name, error in count_errors(networks, batches()).items():
        if error.total:
            judged: About = {**about, "network": name}
            rows.share(Metric.ERROR, error.count, error.total, **judged)
    rows.mean(Metric.MEAN_DISTORTION, "distortion", torch.cat(sizes), total, **about)
