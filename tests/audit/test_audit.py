"""An audit end to end on networks whose distances are known, its interruptions and its failures."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from intriguing.audit.config import AuditConfig
from intriguing.audit.run import run_audit
from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.errors import InputError
from intriguing.measures import Progress
from intriguing.results.audit import read_audit
from intriguing.results.measured import Measurement, Metric, where
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.rows import ClaimRow, ImageRow, LayerRow
from intriguing.results.store import read_run
from intriguing.runs.run import Run
from tests.soundness.controls import means

SMALL = AuditConfig(images=6, budget=60, units_on=80, rotations=19, untrained=0, skip=("units",))


def images(count: int = 60) -> ImageSet:
    return load_data("digits").test.first(count)


class Hidden(nn.Module):
    """The same with a ReLU before, and a factor no bound is known for."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = means()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(torch.relu(x)) * torch.lgamma(3 + x.mean((1, 2, 3))).unsqueeze(1)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("audit")
    networks = {"means": means(), "hidden": Hidden()}
    config = AuditConfig(**{**vars(SMALL), "target": 3, "target_budget": 60, "skip": ("units",)})
    return networks, config, run_audit(networks, images(), folder, config)


def measured(folder: Path, metric: Metric, stage: str, **about: object) -> Measurement:
    (row,) = where(
        read_rows(folder, Measurement),
        analysis=stage,
        metric=metric,
        **{"network": "means", **about},
    )
    return row


def test_every_stage_is_done_or_says_why_not(audited):
    _, _, audit = audited
    states = {(r.stage, r.network): r.status for r in audit.records}
    for stage in ("preflight", "accuracy", "attack", "noise", "target", "spectrum", "certify"):
        assert states[stage, "means"] == "done", stage
    assert states["transfer", ""] == "done"
    assert states["units", "means"] == states["units", "hidden"] == "not run"
    assert read_run(audit.folder).status == "complete"


def test_accuracy_and_distances_are_the_true_ones(audited):
    networks, _, audit = audited
    data = images()
    with torch.no_grad():
        right = networks["means"](data.images).argmax(1) == data.labels
    assert measured(audit.folder, Metric.ACCURACY, "accuracy").count == int(right.sum())
    rows = read_columns(audit.folder, ImageRow)
    places = {name: i for i, name in enumerate(data.ids)}
    weight, bias = networks["means"][1].weight.data, networks["means"][1].bias.data
    checked = 0
    for network, image, l2 in zip(rows["network"], rows["image_id"], rows["l2"], strict=True):
        if network != "means":
            continue
        place = places[image]
        assert bool(right[place])
        x, label = data.images[place].flatten(), int(data.labels[place])
        margins = (weight[label] - weight) @ x + bias[label] - bias
        planes = margins / (weight[label] - weight).norm(dim=1)
        planes[label] = torch.inf
        # Without the box the distance to the nearest plane; the box can only make it longer.
        assert float(l2) >= float(planes.min()) * (1 - 1e-4)
        checked += 1
    assert checked == 6
    assert measured(audit.folder, Metric.PROVED, "attack").count == 6


def test_files_of_the_target_are_still_of_its_class(audited):
    _, _, audit = audited
    became, again = (
        measured(audit.folder, metric, "target") for metric in (Metric.BECAME, Metric.REMAINED)
    )
    assert again.count == became.count == became.total > 0
    files = list((audit.folder / "pictures" / "target-means").glob("*.png"))
    assert len(files) == became.total


def test_certificates_stay_below_what_is_found(audited):
    _, _, audit = audited
    assert measured(audit.folder, Metric.VIOLATIONS, "certify").count == 0
    assert 0 < measured(audit.folder, Metric.CERTIFIED_RATIO, "certify", images="").value <= 1
    beyond = where(
        read_rows(audit.folder, Measurement), analysis="certify", metric=Metric.CERTIFIED,
        network="means",
    )  # fmt: skip
    assert [row.setting for row in beyond] == ["0.01", "0.1", "0.5"]
    counts = [row.count for row in beyond]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 0


def test_what_has_no_bound_is_a_stated_line(audited):
    _, _, audit = audited
    answers = " ".join(audit.sentences)
    spectrum = next(r for r in audit.records if (r.stage, r.network) == ("spectrum", "hidden"))
    if spectrum.status == "done":
        (whole,) = where(read_rows(audit.folder, LayerRow), network="hidden", kind="network")
        assert math.isinf(whole.upper)
    assert "no bound is known" in answers or "tried and failed" in answers


def test_the_first_screen_answers_and_the_page_loads_nothing(audited):
    _, _, audit = audited
    page = audit.page.read_text()
    for words in (
        "How often is it right?", "How close is the nearest adversarial example?",
        "What to do next", "Which layers can make a change larger?",
        "Do examples made for one network fool the others?",
    ):  # fmt: skip
        assert words in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert 'class="viewer"' in page


def test_the_same_call_again_searches_nothing(audited, monkeypatch):
    networks, config, before = audited

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(Run, "_compute", refuse)
    again = run_audit(networks, images(), before.folder, config)
    assert again.sentences == before.sentences
    assert [r.status for r in again.records] == [r.status for r in before.records]


def test_an_interrupted_audit_ends_with_the_same_numbers(audited, tmp_path):
    networks, config, whole = audited

    def stop(step: Progress) -> None:
        if step.stage == "noise for hidden":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_audit(networks, images(), tmp_path, config, progress=stop)
    assert read_run(tmp_path).status == "running"
    assert {r.stage for r in read_audit(tmp_path)} >= {"accuracy", "attack"}
    done = run_audit(networks, images(), tmp_path, config)
    for kind in (Measurement, LayerRow):
        mine, theirs = (read_rows(folder, kind) for folder in (tmp_path, whole.folder))
        assert len(mine) > 5
        assert repr(mine) == repr(theirs)  # NaN is as NaN here
    assert done.page.exists()


def test_without_classes_the_networks_own_take_their_place(tmp_path):
    config = AuditConfig(**{**vars(SMALL), "skip": ("units", "certify", "spectrum", "noise")})
    audit = run_audit(means(), images(), tmp_path, config, labelled=False)
    row = measured(tmp_path, Metric.AGREEMENT, "accuracy", network="the network")
    assert row.count == row.total == 60
    assert "came without classes" in " ".join(read_run(tmp_path).notes)
    assert "agrees with the reference" in audit.sentences[0]


def test_a_network_that_is_never_right_has_nothing_attacked(tmp_path):
    wrong = means()
    wrong[1].weight.data.neg_()
    wrong[1].bias.data.neg_()
    data = images()
    with torch.no_grad():
        assert not bool((wrong(data.images).argmax(1) == data.labels).any())
    audit = run_audit(wrong, data, tmp_path, SMALL)
    states = {r.stage: r.status for r in audit.records}
    assert states["attack"] == states["certify"] == "not run"
    assert "normalisation" in next(r for r in audit.records if r.stage == "attack").words[0]


def test_the_units_of_a_network_are_judged(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10)).eval()
    config = AuditConfig(**{**vars(SMALL), "skip": ("attack", "noise", "spectrum", "certify")})
    audit = run_audit({"net": net}, images(80), tmp_path, config, report=False)
    (claim,) = read_rows(tmp_path, ClaimRow)
    assert (claim.layer, claim.images, claim.rotations) == ("2", 80, 19)
    assert claim.low <= claim.difference <= claim.high
    assert claim.sentence[1:] in " ".join(audit.sentences)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": 0}, "1 or more"), ({"skip": ("lunch",)}, "no stage lunch"),
        ({"method": "paper"}, "closest"), ({"target": -1}, "class"),
        ({"amplified": (0.0,)}, "above 0"), ({"budget": 0}, "1 or more"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(change, words):
    with pytest.raises(InputError, match=words):
        AuditConfig(**{**vars(SMALL), **change})


def test_networks_that_do_not_fit_are_refused_before_any_work(tmp_path):
    three = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    with pytest.raises(
        InputError, match="three: labels run from 0 to 9; the model has classes 0 … 2"
    ):
        run_audit({"three": three}, images(), tmp_path, SMALL)
    with pytest.raises(InputError, match="training mode"):
        run_audit(means().train(), images(), tmp_path, SMALL)
    colour = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 10)).eval()
    with pytest.raises(InputError, match="does not take images"):
        run_audit(colour, images(), tmp_path, SMALL)
    with pytest.raises(InputError, match="target 12"):
        run_audit(means(), images(), tmp_path, AuditConfig(**{**vars(SMALL), "target": 12}))
    assert not (tmp_path / "run.json").exists()


def test_a_stage_that_is_not_there_cannot_be_left_out():
    with pytest.raises(InputError, match="no stage dimmed"):
        AuditConfig(skip=("dimmed",))
