"""Bridges to other libraries, each against the real one; skipped where it is not installed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import intriguing as it
from intriguing.adapter import MinimumDistortion
from intriguing.bridges.foolbox import judged, to_foolbox
from intriguing.bridges.maite import (
    ErrorRate,
    MaiteDataset,
    MaiteModel,
    NearestExamples,
    from_maite_dataset,
    from_maite_model,
)
from intriguing.bridges.metric import distortion_metric
from intriguing.bridges.tracking import log_to_mlflow, log_to_wandb
from tests.gate.nets import PIXELS, Plane, images_at, spread

IMAGES = images_at(torch.cat([spread(6), -spread(2)]))


def test_images_and_networks_come_back_from_maite_s_protocols_as_they_were():
    again = from_maite_dataset(MaiteDataset(IMAGES))
    assert again.sha256 == IMAGES.sha256
    assert (again.ids, again.class_names) == (IMAGES.ids, IMAGES.class_names)
    network, model = Plane(), MaiteModel(Plane(), "plane")
    answers = from_maite_model(model)(IMAGES.images)
    assert torch.equal(answers, network(IMAGES.images))


def test_what_maite_has_gradients_of_can_be_searched():
    network = Plane()
    model = from_maite_model(lambda batch: list(network(torch.stack(list(batch)))))
    found = it.minimum_distortion(model, IMAGES.images[:3], IMAGES.labels[:3], "untargeted")
    assert torch.allclose(found.l2, spread(6)[:3], rtol=1e-3)


def test_maite_evaluates_our_parts_by_its_own_task():
    protocols = pytest.importorskip("maite.protocols.image_classification")
    from maite.tasks import evaluate

    network = Plane()
    model, dataset, metric = MaiteModel(network, "plane"), MaiteDataset(IMAGES), ErrorRate()
    attack = NearestExamples(network)
    ours = (model, dataset, metric, attack)
    theirs = (protocols.Model, protocols.Dataset, protocols.Metric, protocols.Augmentation)
    assert all(isinstance(one, kind) for one, kind in zip(ours, theirs, strict=True))
    clean, _, _ = evaluate(model=model, dataset=dataset, metric=metric, batch_size=3)
    assert (clean["error"], clean["images"]) == (0.25, 8)
    metric.reset()
    fooled, _, _ = evaluate(
        model=model, dataset=dataset, metric=metric, batch_size=4, augmentation=attack
    )
    assert fooled["error"] == 1.0


def test_what_foolbox_s_attacks_answer_is_judged_as_ours_is():
    foolbox = pytest.importorskip("foolbox")
    network, images, labels = Plane(), IMAGES.images[:6], IMAGES.labels[:6]
    theirs = judged(foolbox.attacks.L2DeepFoolAttack(overshoot=1e-3), network, images, labels)
    assert torch.allclose(theirs.l2, spread(6), rtol=2e-3)
    assert torch.allclose(theirs.distortion * PIXELS**0.5, theirs.l2)
    model = to_foolbox(network)
    assert foolbox.accuracy(model, IMAGES.images, IMAGES.labels) == 0.75
    ours = MinimumDistortion(budget=40)(model, images, labels, epsilons=[0.2, 0.6])[2]
    assert ours.sum(1).tolist() == [1, 3]

    def liar(
        model: object, inputs: Tensor, criterion: object, **more: object
    ) -> tuple[Tensor, ...]:
        outside = torch.where(torch.arange(6).view(-1, 1, 1, 1) < 3, inputs, inputs - 2)
        return outside, outside, torch.ones(6, dtype=torch.bool)

    found = judged(liar, network, images, labels)
    assert not found.success.any()
    assert found.l2.isinf().all()
    assert found.adversarial.isnan().all()


def test_torchmetrics_adds_distortions_up_over_batches():
    pytest.importorskip("torchmetrics")
    metric = distortion_metric(Plane(), budget=40)
    for rows in (slice(0, 2), slice(2, 5)):
        metric.update(IMAGES.images[rows], IMAGES.labels[rows])
    assert float(metric.compute()) == pytest.approx(float(spread(6)[2]) / PIXELS**0.5, rel=1e-3)
    metric.reset()
    metric.update(IMAGES.images[:1], IMAGES.labels[:1])
    assert float(metric.compute()) == pytest.approx(float(spread(6)[0]) / PIXELS**0.5, rel=1e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a gate that passes."""
    made = tmp_path_factory.mktemp("gate") / "results"
    config = it.GateConfig(at_least=0.05, budget=40, sample=2, sample_budget=20)
    assert it.run_gate(Plane(), images_at(spread(40)), made, config).ruling == "pass"
    return made


def test_mlflow_keeps_metrics_tags_and_the_report(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    run = mlflow.MlflowClient().get_run(log_to_mlflow(folder))
    assert run.data.metrics["gate.passed"] == 1.0
    assert run.data.tags["intriguing.ruling"] == "pass"
    kept = [one.path for one in mlflow.MlflowClient().list_artifacts(run.info.run_id, "report")]
    assert "report/evidence.json" in kept
    assert mlflow.active_run() is None


def test_wandb_gets_a_summary_and_the_report(folder: Path, monkeypatch: pytest.MonkeyPatch):
    class Kept:
        def __init__(self, *words: str, **more: str) -> None:
            self.files: list[str] = []

        def add_file(self, path: str) -> None:
            self.files.append(path)

        def add_dir(self, path: str, name: str) -> None:
            self.files.append(path)

    class Run:
        summary: dict[str, Any] = {}  # noqa: RUF012
        logged: list[Kept] = []  # noqa: RUF012

        def log_artifact(self, artifact: Kept) -> None:
            self.logged.append(artifact)

    class Module:
        Artifact, run = Kept, None

    monkeypatch.setitem(__import__("sys").modules, "wandb", Module)  # type: ignore[arg-type]
    run = log_to_wandb(folder, Run())
    assert run.summary["gate.passed"] == 1.0
    assert run.logged[0].files == [str(folder / "run.json"), str(folder / "report")]


def test_wandb_s_own_client_keeps_a_run_offline(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    run = log_to_wandb(folder, wandb.init(project="gates"))
    assert run.summary["gate.passed"] == 1.0
    assert run.summary["intriguing.ruling"] == "pass"
    run.finish()
    (kept,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert b"evidence.json" in kept.read_bytes()


def test_what_is_not_installed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch):
    for name, call in (("mlflow", log_to_mlflow), ("wandb", log_to_wandb)):
        monkeypatch.setitem(__import__("sys").modules, name, None)
        with pytest.raises(it.InputError, match=rf"pip install 'intriguing\[{name}\]'"):
            call(folder)
    monkeypatch.setitem(__import__("sys").modules, "foolbox", None)
    with pytest.raises(it.InputError, match="pip install foolbox"):
        to_foolbox(Plane())
