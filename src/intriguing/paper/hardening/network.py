"""One network of the study: trained, attacked, certified, and tried without its gradients."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing import __version__
from intriguing.data.dataset import ImageSet
from intriguing.distortion.noise import gaussian_noise
from intriguing.distortion.result import Status
from intriguing.errors import InputError
from intriguing.keys import derive_key
from intriguing.measures import UNIT_BOX, Progress, ProgressCallback
from intriguing.models.asking import Classifier
from intriguing.models.load import load_model
from intriguing.models.preflight import preflight
from intriguing.models.weights import read_model, save_model
from intriguing.paper.hardening.config import BUDGET, Trial
from intriguing.results.schema import ModelRecord, Stage
from intriguing.runs.provenance import record_model
from intriguing.scale.attack import Attacked, attack_in_shards
from intriguing.scale.shards import run_in_shards
from intriguing.spectral.certificates.certificate import certify
from intriguing.training.recipe import train_network
from intriguing.transfer.matrix import count_errors

_SHARD, _WAYS, _NOISES = 250, 200, 20


@dataclass(frozen=True)
class Trained:
    """A trained network in evaluation mode, its record, what it cost, its errors in percent."""

    trial: Trial
    model: nn.Module
    record: ModelRecord
    stage: Stage
    error: float
    wrong: int
    total: int


@dataclass(frozen=True)
class Masking:
    """Whether the gradients that the attack follows hide anything.

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


def train_trial(
    trial: Trial,
    data: ImageSet,
    judged_by: ImageSet,
    folder: Path,
    device: str,
    progress: ProgressCallback | None = None,
) -> Trained:
    """Train the trial's network, or read it from `folder` where this very training is done."""
    family, path = trial.family, folder / "models" / f"{trial.key}.safetensors"
    key = derive_key(family, trial.draw("training"), data.sha256, device)
    report = _finished(path, key)
    if report is None:
        seed = trial.draw("training")
        harden = partial(family.harden, seed=seed) if family.places or family.penalty else None
        model, outcome = train_network(
            family.recipe, data, seed, device=device, harden=harden,
            checkpoint=path.with_suffix(".checkpoint"),
            progress=_renamed(progress, f"train {trial.title}"),
        )  # fmt: skip
        report = asdict(outcome)
        save_model(path, model, family.recipe.architecture, {"key": key, "report": report})
    path.with_suffix(".checkpoint").unlink(missing_ok=True)
    model = load_model(path).to(device)
    errors = count_errors({"": model}, [(judged_by.images, judged_by.labels)])[""]
    record = record_model(family.name, model, trial.seed, training=report, test_error=errors.rate)
    passes = report["evaluations"] * len(data)
    stage = Stage(f"train {trial.title}", report["wall_seconds"], passes, passes)
    return Trained(trial, model, record, stage, 100 * errors.rate, errors.count, errors.total)


def attack_trained(
    trained: Trained, images: ImageSet, folder: Path, progress: ProgressCallback | None = None
) -> Attacked:
    """The nearest adversarial example of any wrong class, by the library's best search."""
    return attack_in_shards(
        trained.model, images, "untargeted", folder / "shards" / trained.trial.key,
        shard_size=_SHARD, method="closest", budget=BUDGET,
        stage=f"attack {trained.trial.title}", progress=progress,
    )  # fmt: skip


def certified_radii(
    trained: Trained, images: ImageSet, folder: Path, progress: ProgressCallback | None = None
) -> Float[Tensor, " image"]:
    """The certified radius of every image by the layers' bounds; 0 where it is misclassified.

    `intriguing certify` proves more, in a minute a network, which fifty of them do not get here.
    """
    stage = f"certify {trained.trial.title}"
    model = trained.model
    key = derive_key(model, images.sha256, __version__)

    def compute(items: slice, report: Callable[[int], None]) -> dict[str, Tensor]:
        made = certify(model, images.images[items], images.labels[items], semidefinite=False)
        return {"radius": made.radius.cpu()}

    shards = run_in_shards(
        compute, len(images), len(images), folder / "shards" / f"{trained.trial.key}-certified",
        key, stage=stage, progress=progress,
    )  # fmt: skip
    return shards.column("radius")


@torch.no_grad()
def masking(trained: Trained, images: ImageSet, own: Attacked, baseline: Attacked) -> Masking:
    """Try to fool the network without its gradients: what that reaches, the attack must reach."""
    asked = Classifier.of(trained.model)
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
    generator = torch.Generator().manual_seed(trained.trial.draw("noise"))
    fooled = 0
    for _ in range(_NOISES):
        noise = gaussian_noise(images.images, median / x[0].numel() ** 0.5, generator, UNIT_BOX)
        fooled += int(((asked.each(noise.to(x)).argmax(1) != labels) & right).sum())
    tried = max(1, _NOISES * int(right.sum()))
    with torch.enable_grad():
        said = preflight(trained.model, x)
    return Masking(
        float(found.float().mean()), float(shorter.float().mean()), fooled / tried,
        tuple(f"{finding.name}: {finding.measured}" for finding in said),
    )  # fmt: skip


def image_rows(trained: Trained, attacked: Attacked) -> dict[str, Any]:
    """Columns of images.parquet."""
    column = attacked.shards.column
    names = ("distortion", "l2", "c", "gap", "local_gap", "forward_passes", "backward_passes")
    return {
        "network": trained.trial.family.name,
        "seed": trained.trial.seed,
        "method": "closest",
        "image_id": attacked.images.ids,
        "label": attacked.images.labels.numpy(),
        "target": column("targets").numpy(),
        "status": [Status(code).name for code in attacked.status.tolist()],
        "success": attacked.success.numpy(),
        **{name: column(name).numpy() for name in names},
    }


def _finished(path: Path, key: str) -> dict[str, Any] | None:
    """The report of the finished training in `path`; None if there is none, or another's."""
    if not path.exists():
        return None
    try:
        _, _, metadata = read_model(path)
    except InputError:
        return None
    return metadata["report"] if metadata.get("key") == key else None


def _renamed(progress: ProgressCallback | None, stage: str) -> ProgressCallback | None:
    if progress is None:
        return None
    return lambda step: progress(Progress(stage, step.done, step.total, step.detail))
