"""What examples do beyond what a network misreads anyway: both numbers, and a paired interval."""

import math
import re

import pytest
import torch
from scipy import stats
from torch import nn

import intriguing as it
from intriguing.cli.main import main
from intriguing.models.weights import save_model
from intriguing.results.measured import Condition, Measurement, Metric, where
from intriguing.results.parquet import read_rows
from intriguing.runs import attacking
from intriguing.runs.examples import Examples
from intriguing.runs.run import Run
from intriguing.runs.stage import Network
from intriguing.runs.transfer_table import Transfer


def trained(tmp_path, name, seed):
    data = it.load_data("digits").train
    path = tmp_path / f"{name}.safetensors"
    stop = it.LBFGSConfig(max_iterations=25)
    recipe = it.Recipe(name, name, "fc10", (1e-3,), stop=stop)
    model, _ = it.train_network(recipe, data.first(200 if seed else 60), seed)
    save_model(path, model, "fc10")
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("net")
    models = {name: trained(path, name, seed) for seed, name in enumerate("ab")}
    before = torch.get_default_dtype()
    words = ["--data", "digits", "--limit", "60", "--method", "fmn", "--amplify", "0.2"]
    nets = [str(path / f"{name}.safetensors") for name in models]
    assert main(["transfer", *nets, *words, "--out", str(path / "r")]) == 0
    assert torch.get_default_dtype() == before
    return path, models


def test_clean_error_is_that_of_the_same_images(folder):
    path, models = folder
    rows = where(read_rows(path / "r", Measurement), analysis="transfer-net")
    images = it.load_data("digits").test.first(60)
    for name, model in models.items():
        wrong = (model(images.images).argmax(1) != images.labels).double()
        assert wrong.mean() > 0
        noise = where(rows, network=name, condition=Condition.NOISE, metric=Metric.ERROR)
        for row in where(noise, images="clean"):
            assert row.value == pytest.approx(100 * float(wrong.mean()))


def test_the_difference_is_of_the_two_and_its_interval_is_paired(folder):
    path, _ = folder
    rows = where(read_rows(path / "r", Measurement), analysis="transfer-net")
    pairs = [row for row in where(rows, metric=Metric.ERROR_DIFFERENCE) if row.network]
    assert {row.condition for row in pairs} == {
        Condition.ADVERSARIAL, Condition.AMPLIFIED, Condition.NOISE,
    }  # fmt: skip
    for net in pairs:
        assert net.network != net.made_for
        about = {
            "network": net.network, "made_for": net.made_for, "condition": net.condition,
            "size": net.size, "metric": Metric.ERROR,
        }  # fmt: skip
        (raw,), (clean,) = (where(rows, images=which, **about) for which in ("", "clean"))
        shown = where(read_rows(path / "r", Measurement), analysis="transfer", **about)
        assert [row.value for row in shown] == [raw.value]
        assert net.value == pytest.approx(raw.value - clean.value)
        assert raw.total == clean.total == net.total
        if net.low is not None:
            # The variance of a difference of two shares that are paired: at least what the net
            # change needs, at most what both changes in their own images would make.
            half = (net.high - net.low) / 2 / stats.t.ppf(0.975, net.total - 1)
            variance = (half / 100) ** 2 * (net.total - 1)
            d = net.value / 100
            assert abs(d) - d**2 <= variance + 1e-9
            assert variance <= (raw.count + clean.count) / net.total - d**2 + 1e-9


def test_over_all_pairs_an_image_counts_once(folder):
    path, _ = folder
    rows = where(read_rows(path / "r", Measurement), analysis="transfer-net", network="")
    sizes = {(row.condition, row.size) for row in rows}
    for condition, size in sizes:
        some = where(rows, condition=condition, size=size)
        raw, clean, net = (row.value for row in some)
        assert net == pytest.approx(raw - clean)
        assert all(row.total <= 60 for row in some)
        assert not math.isnan(net)


def test_page_and_words_say_both(folder, capsys):
    path, _ = folder
    assert main(["report", str(path / "r")]) == 0
    page = (path / "r" / "report" / "index.html").read_text(encoding="utf-8")
    assert "without any change" in page
    assert "percentage points" in page
    assert "The same images, unchanged" in page


def test_an_audit_says_first_what_the_examples_do_and_then_what_is_misread_anyway(folder, capsys):
    path, _ = folder
    nets = [str(path / f"{name}.safetensors") for name in "ab"]
    words = ["--data", "digits", "--images", "20", "--method", "fmn", "--budget", "20"]
    skipped = [word for name in ("noise", "certify", "spectrum", "units") for word in
               ("--skip", name)]  # fmt: skip
    assert main(["audit", *nets, *words, *skipped, "--out", str(path / "audit")]) == 0
    rows = where(read_rows(path / "audit", Measurement), analysis="transfer-net", network="",
                 condition=Condition.ADVERSARIAL)  # fmt: skip
    raw, clean, net = (row.value for row in rows)
    assert net == pytest.approx(raw - clean)
    said = f"{net:+.1f}".replace("-", "−")
    page = (path / "audit" / "report" / "index.html").read_text(encoding="utf-8")
    assert f"{said} points" in page
    both = rf"make {re.escape(said)}.* more errors \({raw:.1f} %, against {clean:.1f} % of the same"
    assert re.search(both, page)


class Right(nn.Module):
    """The sum of the pixels, rounded, is the class: which noise moves and a cast does not."""

    def forward(self, x):
        near = -(x.flatten(1).sum(1, keepdim=True) - torch.arange(3.0)).abs()
        return 10 * near


def test_misread_says_which():
    x = torch.tensor([[0.0], [1.0], [2.0], [1.0]])
    labels = torch.tensor([0, 2, 2, 1])
    found = it.transfer.misread({"n": Right().eval()}, [(x[:2], labels[:2]), (x[2:], labels[2:])])
    assert found["n"].tolist() == [False, True, False, False]


SEEN: set[bytes] = set()


class Recorder(nn.Module):
    """A linear network of which every row that it was shown is kept."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(1)
        SEEN.update(row.numpy().tobytes() for row in rows.detach())
        return self.layer(rows)


def test_seeds_that_differ_by_a_part_share_no_noise(tmp_path, monkeypatch):
    monkeypatch.setattr(attacking, "_WORK", 5)
    names = tuple(map(str, range(15)))
    gray = it.ImageSet("gray", torch.full((15, 1, 8, 8), 0.5), torch.zeros(15).long(), names, names)
    shown = []
    for seed in (0, 5):
        known = Network("net", Recorder().eval())
        plan = attacking.plan(known.model, gray, "untargeted", 0)
        run, examples = Run(tmp_path / str(seed)), Examples(known, plan, it.Search("ddn", 5))
        run.keep(examples)
        SEEN.clear()
        run.keep(Transfer((known,), (examples,), gray, (0.1,), seed))
        shown.append(set(SEEN))
    assert min(map(len, shown)) >= 15  # noise is drawn anew for every image
    assert len(shown[0] & shown[1]) <= 3  # the image, its example, and that amplified
