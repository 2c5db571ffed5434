"""Uses everything that CONTRIBUTING.md adds, from the source that is on the path; prints JSON.

`test_contributing` runs it in a process of its own, in an empty folder.
"""

import contextlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from intriguing import build_network, lipschitz_report, load_data, load_model, minimum_distortion
from intriguing.audit.config import AuditConfig
from intriguing.audit.right import first_right
from intriguing.audit.run import prepare
from intriguing.cli.main import main
from intriguing.models.weights import model_sha256, save_model
from intriguing.results.parquet import read_columns
from intriguing.results.rows import ImageRow
from intriguing.runs.run import Run

DATA = load_data("digits")


def call(*words: object) -> str:
    """What a command line prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = main([str(word) for word in words])
    assert code == 0, said.getvalue()
    return said.getvalue()


def means() -> nn.Module:
    """A linear classifier of the digits: the nearest mean."""
    x, labels = DATA.train.images.flatten(1), DATA.train.labels
    middle = torch.stack([x[labels == label].mean(0) for label in range(10)])
    model = build_network("fc10", 64).eval()
    model.layers[0].weight.data.copy_(3 * middle)
    model.layers[0].bias.data.copy_(-1.5 * middle.square().sum(1))
    return model


def attack() -> dict[str, object]:
    """Distances by the library with three seeds, by the command line twice, and proved ones."""
    model, few = means(), DATA.test.first(12)
    save_model(Path("means.safetensors"), model, "fc10")

    def l2(method: str, seed: int = 0) -> list[float]:
        found = minimum_distortion(model, few.images, few.labels, "untargeted", method, seed=seed)
        return found.l2.tolist()

    def written(out: str) -> list[float]:
        call("attack", "means.safetensors", "digits", "--limit", 12, "--targets", "untargeted",
             "--method", "rfgsm", "--out", out)  # fmt: skip
        return read_columns(Path(out), ImageRow)["l2"].tolist()

    return {
        "seeds": [l2("rfgsm", seed) for seed in (0, 0, 1)],
        "written": [written("once"), written("twice")],
        "nearest": l2("closest"),
    }


class Waves(nn.Module):
    """A network with the operation that gets a bound."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(9, 9), nn.Linear(9, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.sinc(self.first(x.flatten(1))))


def bound() -> dict[str, object]:
    """The bound of a network, of the operation alone, and the steepest slopes that were met."""
    torch.manual_seed(0)
    model = Waves().eval()
    report = lipschitz_report(model, (1, 3, 3), lower=False)
    (layer,) = [one.upper for one in report.layers if one.kind == "activation"]
    points = torch.randn(2000, 1, 3, 3)
    slopes = torch.func.vmap(torch.func.jacrev(lambda x: model(x[None])[0]))(points).flatten(2)
    z = torch.linspace(-4, 4, 100_001, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(torch.sinc(z).sum(), z)
    return {
        "whole": [report.upper, float(torch.linalg.matrix_norm(slopes, 2).max())],
        "alone": [layer, float(slope.abs().max())],
    }


def family() -> list[str]:
    """Digests of the weights of three trainings, the last one with another seed."""
    found = []
    for place, seed in enumerate((0, 0, 1)):
        out = f"residual{place}.safetensors"
        call("train", "res16x2-10", "digits", "--epochs", 2, "--seed", seed, "--out", out,
             "--results", f"train{place}")  # fmt: skip
        found.append(model_sha256(load_model(out)))
    return found


def stage() -> dict[str, object]:
    """An audit asked twice, its plan, its page, and how often the stage is computed."""
    from intriguing.audit.shift import Shift

    computed: list[int] = []
    compute = Shift.compute
    Shift.compute = lambda self, run: computed.append(self.pixels) or compute(self, run)
    words = (
        "audit", "residual0.safetensors", "--data", "digits", "--limit", 64, "--images", 6,
        "--budget", 20, "--skip", "noise", "spectrum", "certify", "units",
    )  # fmt: skip
    said = [call(*words, "--out", "audit") for _ in range(2)]
    audits = len(computed)
    subject = prepare(
        {"residual0": load_model("residual0.safetensors")}, DATA.test.first(64),
        AuditConfig(images=6),
    )  # fmt: skip
    run = Run(Path("audit"))
    subject = replace(subject, right=first_right(subject, run))
    (one,) = Shift.of(subject, run)
    made = [run.keep(Shift(one.network, one.images, pixels)).made for pixels in (1, 2)]
    again = computed[audits:]
    plan = call(*words, "--out", "plan", "--dry-run")
    skipped = call(*words, "shift", "--out", "skipped")
    return {
        "said": said, "audits": audits, "again": again, "plan": plan, "skipped": skipped,
        "values": [[row.value for row in one.rows] for one in made],
        "page": Path("audit/report/index.html").read_text(encoding="utf-8"),
        "table": Path("audit/report/tables/shift.csv").read_text(encoding="utf-8"),
    }  # fmt: skip


if __name__ == "__main__":
    json.dump(
        {"attack": attack(), "bound": bound(), "family": family(), "stage": stage()}, sys.stdout
    )
