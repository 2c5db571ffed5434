"""Training a QuocNet: the stages without labels, one after another, then a linear classifier."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.data.patches import Patches
from intriguing.errors import InputError
from intriguing.keys import derive_key
from intriguing.measures import ProgressCallback
from intriguing.models.classifier import device_of, own_dtypes
from intriguing.models.families.quocnet import QuocNet, QuocNetClassifier, QuocNetConfig, Stage
from intriguing.models.initial import draw_glorot
from intriguing.training.classifier import train_classifier
from intriguing.training.engines import Engine, Reconstruction
from intriguing.training.lbfgs import LBFGSConfig
from intriguing.training.report import TrainingReport
from intriguing.training.steps import Steps, train_steps
from intriguing.training.subspace import confine, directions

_BEGINNINGS = 256
"""Images whose pieces the first filters begin as; every filter draws from one of them."""
_SEEN = 2000
"""Images that tell in which directions fields vary; a field has 100 to 1,000 numbers."""
_CLASSIFIER = LBFGSConfig(max_iterations=75, history=20)
"""When the linear classifier stops; its λ, not this, is chosen by held-out images."""


@dataclass(frozen=True)
class Plan:
    """How a QuocNet is trained.

    Attributes:
        steps: Of every stage.
        later: How many steps the stages above the first take, where they need fewer.
        sparsity: λ of every stage, or of each: the weight of the pooled responses beside the
            reconstruction error, of inputs of variance near 1 (Eq. 1 of Le et al.).
        asymmetric: Whether decoders have weights of their own.
        kept: The share of the energy of what its fields see that filters of the first stage are
            confined to once they are trained, see `subspace`.
        decay: λ's of the classifier to choose between by a fifth of its training images.
        classifier: When its training stops.
    """

    steps: Steps
    later: int | None = None
    sparsity: tuple[float, ...] = (0.2,)
    asymmetric: bool = False
    kept: float = 0.98
    decay: tuple[float, ...] = (0.03, 0.1, 0.5)
    classifier: LBFGSConfig = _CLASSIFIER

    def __post_init__(self) -> None:
        if not self.sparsity or not all(0 <= value < float("inf") for value in self.sparsity):
            raise InputError(f"sparsity {self.sparsity}; give one λ ≥ 0, or one a stage")
        if not 0 < self.kept <= 1:
            raise InputError(f"kept {self.kept}; give a share above 0 and at most 1")
        if not self.decay or not all(0 < value < float("inf") for value in self.decay):
            raise InputError(f"decay {self.decay}; give one λ > 0 or more")

    def steps_of(self, number: int) -> Steps:
        """The schedule of a stage, from 0."""
        count = self.steps.count if number == 0 or self.later is None else self.later
        return replace(self.steps, count=count)

    def of_stage(self, number: int, stages: int) -> float:
        """λ of a stage, from 0."""
        if len(self.sparsity) not in (1, stages):
            raise InputError(
                f"{len(self.sparsity)} values of sparsity for {stages} stages; give one or {stages}"
            )
        return self.sparsity[number if len(self.sparsity) > 1 else 0]


PLANS: Mapping[str, Plan] = {
    "quocnet-tiny": Plan(
        Steps(2000, batch=50, rate=0.01, every=250),
        later=500,
        sparsity=(0.3, 0.002, 0.002),
        decay=(0.1, 0.5, 2.0),
    ),
    "quocnet-small": Plan(Steps(5000, batch=50, rate=0.005, warmup=100), sparsity=(0.3,)),
    "quocnet-1b": Plan(Steps(50_000, batch=100, rate=0.002, warmup=500), sparsity=(0.1,)),
}
"""For the sizes that have names; the tiny one's was tuned, the others are where to begin."""


def train_unsupervised(
    config: QuocNetConfig,
    patches: Patches,
    plan: Plan,
    seed: int,
    *,
    engine: Engine = "alone",
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[QuocNet, tuple[TrainingReport, ...]]:
    """Whiten by the images, then train stage after stage to reconstruct sparsely what it sees.

    With torchrun every process calls this, inside `engines.processes`.

    Args:
        config: The size.
        patches: The images, without labels.
        plan: Steps, λ, decoder.
        seed: Of the weights and of the order of the images.
        engine: How processes share the work.
        device: Where to train.
        folder: For a checkpoint of each stage; a run that was stopped goes on from there.
        progress: Told of each stage.

    Returns:
        The trained network, and how each stage's training ended.

    Raises:
        InputError: If the images have another shape, or a checkpoint is another training's.
    """
    if patches.shape != config.shape:
        raise InputError(
            f"{patches.name} has images of {patches.shape}, {config.name} takes {config.shape}; "
            "cut or resize them"
        )
    network = prepared(config, patches, plan, seed).to(device)
    job = Reconstruction(network, engine)

    def take(places: Tensor) -> Tensor:
        return patches.take(places).to(device)

    key = derive_key(config, plan, seed, patches.fingerprint)
    reports = []
    for number in range(len(config.stages)):
        work = job.work(number, take, plan.of_stage(number, len(config.stages)))
        report = train_steps(
            work, len(patches), plan.steps_of(number), seed,
            identity=f"stage {number + 1} of {config.name}: {key}",
            checkpoint=None if folder is None else folder / f"stage{number + 1}",
            stage=f"stage {number + 1} of {len(config.stages)}", progress=progress,
        )  # fmt: skip
        if number == 0:
            with torch.no_grad():
                seen = network.whitening(take(torch.arange(min(len(patches), _SEEN))))
            generator = torch.Generator().manual_seed(seed)
            along = directions(seen, config.stages[0].field, plan.kept, generator)
            for weight in work.parameters.values():
                confine(weight, along)
        reports.append(report)
    return job.gathered(), tuple(reports)


def prepared(config: QuocNetConfig, patches: Patches, plan: Plan, seed: int) -> QuocNet:
    """The network before any step: whitened by the images, its weights drawn by the seed.

    Filters of the first stage begin as whitened pieces of images.  Training changes a filter only
    by combinations of what it sees; of a random one, what images never vary in, fine chequered
    colours above all, would stay as it is, unseen by the objective and open to attacks.
    """
    generator = torch.Generator().manual_seed(seed)
    network = QuocNet(config, asymmetric=plan.asymmetric)
    network.whitening.fit(patches.batches(500), generator)
    network.reset_parameters(generator)
    places = torch.randperm(len(patches), generator=generator)[:_BEGINNINGS]
    stage = network.stages[0]
    assert isinstance(stage, Stage)
    with torch.no_grad():
        pieces = _pieces(network.whitening(patches.take(places)), stage, generator)
        lengths = stage.filter.weight.flatten(3).norm(dim=3)
        stage.filter.weight.copy_(
            pieces * (lengths / pieces.flatten(3).norm(dim=3))[..., None, None, None]
        )
        if stage.decoder is not None:
            stage.decoder.copy_(stage.filter.weight)
    return network


def _pieces(x: Tensor, stage: Stage, generator: torch.Generator) -> Float[Tensor, "p q m i j c"]:
    """What each filter's field holds of one of the images, another for every filter."""
    (height, width), (down, right) = stage.filter.field, stage.filter.stride
    rows, columns, maps = stage.filter.weight.shape[:3]
    chosen = torch.randint(len(x), (rows, columns, maps), generator=generator)
    fields = x.unfold(2, height, down).unfold(3, width, right)
    row = torch.arange(rows).view(-1, 1, 1)
    column = torch.arange(columns).view(1, -1, 1)
    pieces: Tensor = fields[chosen, :, row, column].permute(0, 1, 2, 4, 5, 3)
    return pieces + 1e-6 * torch.randn(pieces.shape, generator=generator)


def with_classifier(
    network: QuocNet,
    images: Float[Tensor, "image channel height width"],
    labels: Int64[Tensor, " image"],
    plan: Plan,
    seed: int,
    *,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[QuocNetClassifier, TrainingReport, float]:
    """A linear classifier on the frozen features of the last stage.

    Returns:
        The whole network from images to logits, how its training ended, and the λ chosen.
    """
    classifier = QuocNetClassifier(network.config, int(labels.max()) + 1)
    classifier.to(device_of(network), own_dtypes(network)[0])
    classifier.features.load_state_dict(
        {name: value for name, value in network.state_dict().items() if "decoder" not in name}
    )
    found = fit_linear(
        features_of(network, images), labels, plan, seed, checkpoint=checkpoint, progress=progress
    )
    with torch.no_grad():
        classifier.mean.copy_(found.mean)
        classifier.deviation.copy_(found.deviation)
    classifier.head.load_state_dict(found.linear.state_dict())
    return classifier.eval(), found.report, found.decay


@dataclass(frozen=True)
class Linear:
    """A linear classifier of standardised features.

    Attributes:
        linear: From (features − mean) / deviation to logits.
        decay: The λ chosen.
    """

    linear: nn.Linear
    mean: Float[Tensor, " feature"]
    deviation: Float[Tensor, " feature"]
    decay: float
    report: TrainingReport

    @torch.no_grad()
    def predict(self, features: Float[Tensor, "image feature"]) -> Int64[Tensor, " image"]:
        """The classes of images."""
        logits: Tensor = self.linear((features - self.mean) / self.deviation)
        return logits.argmax(1)


def fit_linear(
    features: Float[Tensor, "image feature"],
    labels: Int64[Tensor, " image"],
    plan: Plan,
    seed: int,
    *,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Linear:
    """Multinomial logistic regression by full-batch L-BFGS, λ chosen by a fifth held out."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(features), generator=generator).to(features.device)
    held, kept = order[: len(order) // 5], order[len(order) // 5 :]
    labels = labels.to(features.device)
    right: dict[float, int] = {}
    for decay in plan.decay if len(plan.decay) > 1 else ():
        tried = _fit(features[kept], labels[kept], decay, plan.classifier, seed)
        right[decay] = int((tried.predict(features[held]) == labels[held]).sum())
    best = max(plan.decay, key=lambda decay: (right.get(decay, 0), decay))
    return _fit(
        features, labels, best, plan.classifier, seed, checkpoint=checkpoint, progress=progress
    )


def features_of(
    network: Callable[[Tensor], Tensor],
    images: Float[Tensor, "image channel height width"],
    batch: int = 250,
) -> Float[Tensor, "image feature"]:
    """What a network gives of images, on its device."""
    place, dtype = images.device, images.dtype
    if isinstance(network, nn.Module):
        place, dtype = device_of(network), own_dtypes(network)[0]
    with torch.no_grad():
        starts = range(0, len(images), batch)
        parts = (images[start : start + batch].to(place, dtype) for start in starts)
        return torch.cat([network(part) for part in parts])


def _fit(
    features: Tensor,
    labels: Tensor,
    decay: float,
    config: LBFGSConfig,
    seed: int,
    *,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Linear:
    mean, deviation = features.mean(0), features.std(0).clamp_min(1e-6)
    linear = nn.Linear(features.shape[1], int(labels.max()) + 1).to(features)
    draw_glorot([linear], torch.Generator().manual_seed(seed), gain=0.0)
    report = train_classifier(
        linear, (features - mean) / deviation, labels, [decay], config,
        identity=f"classifier λ={decay} seed={seed}", checkpoint=checkpoint, stage="classifier",
        progress=progress,
    )  # fmt: skip
    return Linear(linear, mean, deviation, decay, report)


def shortened(plan: Plan, count: int) -> Plan:
    """The same with fewer steps, to try the machinery."""
    steps = replace(plan.steps, count=count, warmup=min(count, 5))
    return replace(plan, steps=steps, later=None)
