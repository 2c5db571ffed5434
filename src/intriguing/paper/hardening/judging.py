"""How one network of the study is judged: attacked, certified, and tried without its gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing import __version__
from intriguing.data.dataset import ImageSet
from intriguing.distortion.noise import gaussian_noise
from intriguing.estimates import Rows
from intriguing.keys import derive_key
from intriguing.measures import UNIT_BOX
from intriguing.models.classifier import Classifier
from intriguing.models.preflight import preflight
from intriguing.results.measured import Condition, Metric
from intriguing.runs.examples import Examples
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Stage
from intriguing.runs.training import Training
from intriguing.scale.attack import Attacked
from intriguing.scale.shards import run_in_shards
from intriguing.spectral.certificates.certificate import certify

_WAYS = 200
"""Points that are tried on the way to another network's example."""
_NOISES = 20
"""Draws of noise an image."""


@dataclass(frozen=True)
class Certified(Stage):
    """The certified radius of every image by the layers' bounds; 0 where it is misclassified.

    `intriguing certify` proves more, in a minute a network, which fifty of them do not get here.
    """

    name: ClassVar[str] = "certify"
    question: ClassVar[str] = "How far is every image surely safe?"
    network: Training
    images: ImageSet

    def compute(self, run: Run) -> Made:
        """Nothing but what is on disk."""
        run.loaded(self)
        return Made()

    def load(self, run: Run) -> Float[Tensor, " image"]:
        """The radii, computed if they are not on disk."""
        model, images = run.model(self.network), self.images

        def compute(items: slice, report: Callable[[int], None]) -> dict[str, Tensor]:
            made = certify(model, images.images[items], images.labels[items], semidefinite=False)
            return {"radius": made.radius.cpu()}

        key = derive_key(model, images.sha256, __version__)
        shards = run_in_shards(
            compute, len(images), len(images), run.shards(self), key, stage=self.title,
            progress=run.progress,
        )  # fmt: skip
        return shards.column("radius")

    @property
    def identity(self) -> tuple[str, ...]:
        return self.name, self.network.slug


@dataclass(frozen=True)
class Judged(Stage):
    """A network with its nearest examples and its certificates, which one process makes.

    Attributes:
        network: Its training.
        attack: On the first test images, for any wrong class.
        certified: Of all test images.
    """

    name: ClassVar[str] = "judge"
    apart: ClassVar[bool] = True
    question: ClassVar[str] = "How far is the nearest example, and how far is surely none?"
    network: Training
    attack: Examples
    certified: Certified

    def compute(self, run: Run) -> Made:
        """What the search cost."""
        return Made(passes=run.keep(self.attack).made.passes)

    @property
    def identity(self) -> tuple[str, ...]:
        return self.name, self.network.slug


@dataclass(frozen=True)
class Masked(Stage):
    """Whether the gradients that the attack follows hide anything.

    Attributes:
        network: Its training.
        own: The attack on it.
        baseline: The attack on the plain network of the same seed.
        seed: Draws the noise.
    """

    name: ClassVar[str] = "masking"
    question: ClassVar[str] = "Do its gradients lead to what is there?"
    network: Training
    own: Examples
    baseline: Examples
    seed: int

    def compute(self, run: Run) -> Made:
        """Shares in percent, and how many flaws `preflight` finds."""
        found = masking(
            run.model(self.network), self.own.plan.images, run.loaded(self.own),
            run.loaded(self.baseline), self.seed,
        )  # fmt: skip
        rows = Rows("masking", method=self.network.called, images="test", seed=self.network.number)
        rows.add(Metric.FOOLED, "%", 100 * found.found, condition=Condition.ADVERSARIAL)
        if self.baseline != self.own:  # its own examples say nothing of what its gradients hide
            share = 100 * found.transferred
            rows.add(Metric.SHORTER, "%", share, condition=Condition.ADVERSARIAL)
        rows.add(Metric.FOOLED, "%", 100 * found.noise, condition=Condition.NOISE)
        rows.add(Metric.FLAWS, "images", len(found.findings), len(found.findings), 1)
        return Made(tuple(rows.made))

    @property
    def identity(self) -> tuple[str, ...]:
        return self.name, self.network.slug


@dataclass(frozen=True)
class Masking:
    """What was reached without following a network's own gradients.

    Attributes:
        found: Share of the attacked images for which an example was found.
        transferred: Share for which an example on the way to the baseline's example, as short or
            shorter than the network's own, fools it: the direct attack missed something.
        noise: Share of correctly classified images that are misclassified under Gaussian noise as
            long as the median example.
        findings: What `preflight` says of the network.
    """

    found: float
    transferred: float
    noise: float
    findings: tuple[str, ...]


@torch.no_grad()
def masking(
    model: nn.Module, images: ImageSet, own: Attacked, baseline: Attacked, seed: int
) -> Masking:
    """Try to fool a network without its gradients: what that reaches, the attack must reach.

    Args:
        model: The network.
        images: That were attacked.
        own, baseline: The attacks on it, and on a network of which nothing is hidden.
        seed: Draws the noise.
    """
    asked = Classifier.of(model)
    x, labels = asked.fit(images.images), images.labels.to(asked.device)
    nearest = own.shards.column("l2").to(x)
    found, known = own.success.to(asked.device), baseline.success.to(asked.device)
    theirs = baseline.shards.column("adversarial").to(x)
    r = torch.where(known.view(-1, *[1] * (x.ndim - 1)), theirs - x, torch.zeros_like(x))
    length = r.flatten(1).norm(dim=1).clamp_min(torch.finfo(x.dtype).tiny)
    shorter = torch.zeros_like(found)
    for step in range(1, _WAYS + 1):
        # As far as the network's own example, no farther: 0.1 % is the rounding of both.
        reach = 0.999 * torch.where(found, nearest, 10 * length) * step / _WAYS
        way = UNIT_BOX.clamp(x + (reach / length).view(-1, *[1] * (x.ndim - 1)) * r)
        shorter |= (asked.each(way).argmax(1) != labels) & (nearest > 0) & known
    right = asked.each(x).argmax(1) == labels
    median = float(nearest[found & (nearest > 0)].median()) if bool(found.any()) else 0.0
    generator = torch.Generator().manual_seed(seed)
    fooled = 0
    for _ in range(_NOISES):
        noise = gaussian_noise(images.images, median / x[0].numel() ** 0.5, generator, UNIT_BOX)
        fooled += int(((asked.each(noise.to(x)).argmax(1) != labels) & right).sum())
    tried = max(1, _NOISES * int(right.sum()))
    with torch.enable_grad():
        said = preflight(model, x)
    return Masking(
        float(found.float().mean()), float(shorter.float().mean()), fooled / tried,
        tuple(f"{warning.name}: {warning.measured}" for warning in said),
    )  # fmt: skip
