"""Verdicts: decided as it is said, on networks trained once, resumable, and on a page."""

import math
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from intriguing.cli.main import main
from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.distortion.confident import confident_images
from intriguing.distortion.rare import rarity
from intriguing.distortion.result import Distortions
from intriguing.errors import InputError
from intriguing.paper.claims import asking
from intriguing.paper.claims.catalogue import claims
from intriguing.paper.claims.config import SCALES, ClaimScale, ClaimsConfig
from intriguing.paper.claims.deciding import Region, decide, of_means, of_ratios, of_shares
from intriguing.paper.claims.networks import Networks
from intriguing.paper.claims.topic import Record
from intriguing.paper.claims.topics import pockets
from intriguing.paper.claims.topics.directions import aligned
from intriguing.paper.claims.topics.seeds import Seeds
from intriguing.paper.claims.topics.weights import least_weight_change
from intriguing.paper.reproduce import reproduce
from intriguing.report.html import draw_report
from intriguing.report.layouts import VIEWS
from intriguing.results.measured import Measurement, where
from intriguing.results.parquet import read_rows
from intriguing.results.store import read_run
from intriguing.results.verdicts import Basis, Verdict, VerdictRow
from intriguing.scale.engine import HERE, Engine
from intriguing.training.recipe import Recipe
from tests import forked

ASKED = ("formulas", "generative")
"""Topics of few networks."""


def ask(folder: Path, *names: str, seeds: int = 2, engine: Engine = HERE) -> list[VerdictRow]:
    reproduce(ClaimsConfig(names, "smoke", seeds), folder, engine=engine)
    return read_rows(folder, VerdictRow)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("claims") / "results"
    ask(folder, *ASKED)
    return folder


def test_no_share_that_is_all_or_none_stays_open_for_want_of_images() -> None:
    rows = read_rows(Path(__file__).parents[2] / "docs" / "results" / "claims", VerdictRow)
    shares = [row for row in rows if row.total]
    assert len(shares) > 10
    assert not [
        row.claim for row in shares if row.count in (0, row.total) and row.verdict == "open"
    ]


def test_networks_share_the_images_that_they_learn_from() -> None:
    given = Networks(load_data("digits"), SCALES["smoke"], 0, "cpu")
    for part in ("train", "P1", "P2", "fit", "held", "first 300"):
        assert given.part(part).images is given.part(part).images
    assert len(given.part("P1")) + len(given.part("P2")) == len(given.part("train"))
    assert not set(given.part("fit").ids) & set(given.part("held").ids)


def test_a_verdict_says_where_the_interval_of_the_seeds_lies(study: Path) -> None:
    rows = {row.claim: row for row in read_rows(study, VerdictRow)}
    measured = read_rows(study, Measurement)
    assert {row.topic for row in rows.values()} == {"formulas", "generative"}
    row = rows["generative-gaussian"]
    effects = where(measured, analysis="effect", setting="generative-gaussian")
    logs = np.log([one.value for one in effects])
    assert [one.seed for one in effects] == [0, 1]
    assert row.seeds == 2
    half = stats.t.ppf(0.975, 1) * np.std(logs, ddof=1) / math.sqrt(2)
    ends = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    assert (row.value, row.low, row.high) == pytest.approx(tuple(ends))
    right = "holds" if row.low > 1.5 else "does not hold" if row.high < 1.5 else "open"
    assert row.verdict == right


def test_what_mathematics_settles_needs_no_seeds_but_a_check(study: Path) -> None:
    rows = {row.claim: row for row in read_rows(study, VerdictRow)}
    settled = {name: row for name, row in rows.items() if row.basis is not Basis.SEEDS}
    assert {name: row.verdict.value for name, row in settled.items()} == {
        "max-pool": "holds", "relu-contracts": "holds", "bound-implies-none": "holds",
        "noise-above-all-but-one": "holds", "max-pool-overlapping": "does not hold",
        "equation-1": "does not hold",
    }  # fmt: skip
    assert all(row.seeds == 0 and row.count == row.total == 1 for row in settled.values())
    assert settled["max-pool-overlapping"].value == pytest.approx(2.0)
    assert settled["equation-1"].value == pytest.approx(2.0, rel=0.01)
    refuted = claims()["max-pool"][0].judged("formulas", [
        Measurement("effect", row.metric, "norm", 1.1, count=0, total=1)
        for row in where(read_rows(study, Measurement), setting="max-pool")
    ])  # fmt: skip
    assert refuted.verdict is Verdict.OPEN


def test_more_claims_and_seeds_go_on_from_what_is_there(study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(study, tmp_path / "again")
    before = {file.name: file.stat().st_mtime_ns for file in (folder / "models").iterdir()}
    some = ask(folder, "generative-gaussian", seeds=3)
    assert [(row.claim, row.seeds) for row in some] == [("generative-gaussian", 3)]
    after = {file.name: file.stat().st_mtime_ns for file in (folder / "models").iterdir()}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    workers = Engine("processes", workers=2)
    alone = ask(tmp_path / "alone", "generative-gaussian", seeds=3, engine=workers)
    assert alone == some


def _asked(folder: Path, tell: forked.Tell) -> None:
    config = ClaimsConfig(ASKED, "smoke", 2)
    reproduce(config, folder, progress=lambda step: tell((step.stage, step.done)))


def test_killed_half_way_and_resumed_it_has_the_same_rows_to_the_byte(
    study: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    measured = folder / "stages" / "claims-generative-seed0.json"
    for once in ("while a network trains", "after a topic of one seed"):
        process, steps = forked.start(_asked, folder)
        told = 0
        while told < 300 if once.startswith("while") else not measured.exists():
            assert process.is_alive()
            told += steps.poll(0.02) and bool(steps.recv())
        forked.kill(process)
        assert process.exitcode == -signal.SIGKILL
        assert read_run(folder).status == "running"
    ask(folder, *ASKED)
    rows = sorted(file.name for file in (study / "rows").iterdir())
    assert rows == sorted(file.name for file in (folder / "rows").iterdir())
    assert {"verdicts.parquet", "measurements.parquet"} <= set(rows)
    for name in rows:
        assert (folder / "rows" / name).read_bytes() == (study / "rows" / name).read_bytes()
    models = {file.name: file.read_bytes() for file in (study / "models").iterdir()}
    assert models
    assert models == {file.name: file.read_bytes() for file in (folder / "models").iterdir()}


def test_the_page_has_every_claim_with_its_number_and_filters(study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(study, tmp_path / "page")
    page = draw_report(folder).read_text(encoding="utf-8")
    rows = read_rows(folder, VerdictRow)
    for row in rows:
        assert f'id="claim-{row.claim}"' in page
        assert f'data-verdict="{row.verdict}" data-source="{row.source}"' in page
    assert all(f'data-verdict="{one}"' in page for one in Verdict)
    assert page.count("data-source=") >= len(rows)
    assert (folder / "report/tables/verdicts.csv").read_text().count("\n") == len(rows) + 1


def test_networks_that_read_nothing_leave_their_claims_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_wrong(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(images), dtype=torch.bool)

    monkeypatch.setattr(asking, "wrong", all_wrong)
    rows = ask(tmp_path / "results", "generative-gaussian", "max-pool")
    assert {row.claim: row.verdict for row in rows} == {
        "generative-gaussian": Verdict.OPEN, "max-pool": Verdict.HOLDS,
    }  # fmt: skip
    page = draw_report(tmp_path / "results").read_text(encoding="utf-8")
    assert "not to be had in every seed, above 1.5 needed; 2 seeds" in page
    assert decide(of_shares([3, 0], [10, 0]), Region(low=10.0)) is Verdict.OPEN


@pytest.mark.parametrize("lost", [slice(1), slice(None)])
def test_images_without_an_example_end_no_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: slice
) -> None:
    least = pockets.nearest

    def some(model: nn.Module, images: ImageSet, scale: ClaimScale) -> Distortions:
        made = least(model, images, scale)
        made.l2[lost], made.distortion[lost] = math.inf, math.inf
        return made

    monkeypatch.setattr(pockets, "nearest", some)
    (row,) = ask(tmp_path / "results", "low-probability", seeds=1)
    assert math.isnan(row.value) == (lost.stop is None)


def test_rows_of_topics_are_no_tables_of_other_verbs() -> None:
    topics = {topic for _, topic in claims().values()}
    assert len({topic.analysis() for topic in topics} - VIEWS.keys()) == len(topics)


def test_claims_are_declared_once_and_completely() -> None:
    known = claims()
    assert len(known) >= 45
    for name, (claim, topic) in known.items():
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert claim in topic.claims
        for words in (claim.sentence, claim.reading, claim.quantity, claim.change, claim.sceptic,
                      claim.section):  # fmt: skip
            assert words.strip(), name
        assert claim.right.low < claim.right.high
        assert math.isfinite(claim.right.low) or math.isfinite(claim.right.high)


def test_what_cannot_be_asked_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in (
        (["claims", "no-such"], "there is no claim 'no-such'"),
        (["claims", "--seeds", "0"], "0 seeds; give 1 or more"),
        (["claims", "--search"], "claims train networks of their own"),
        (["table1", "claims"], "claims stands alone"),
    ):
        out = ["--out", str(tmp_path / "none")]
        assert main(["reproduce", *words, "--scale", "smoke", *out]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_planted_means_get_wrong_verdicts_in_at_most_one_study_in_twenty(kind: str) -> None:
    rng = np.random.default_rng(0)

    def fell(truth: float, right: Region) -> list[Verdict]:
        draws = (
            rng.standard_normal((400, 5)) if kind == "normal" else rng.gamma(4, 0.5, (400, 5)) - 2
        )
        return [decide(of_means((truth + one).tolist()), right) for one in draws]

    limit = 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95) + (kind == "skewed") * 400 * 0.03
    above, inside = Region(low=0.0), Region(-2.0, 2.0)
    assert sum(one is not Verdict.OPEN for one in fell(0.0, above)) < limit
    assert sum(one is not Verdict.OPEN for one in fell(2.0, inside)) < limit
    assert fell(3.0, above).count(Verdict.HOLDS) > 300
    assert fell(-3.0, above).count(Verdict.DOES_NOT_HOLD) > 300
    assert fell(0.0, inside).count(Verdict.HOLDS) > 150


def test_shares_that_are_all_alike_are_no_certainty() -> None:
    found = of_shares([60] * 5, [60] * 5)
    low = 100 * stats.beta.ppf(0.025, 300, 1)
    assert (found.low, found.high) == pytest.approx((low, 100.0))
    assert decide(of_shares([6] * 5, [6] * 5), Region(low=99.0)) is Verdict.OPEN
    varied = of_shares([30, 60, 0, 45, 15], [60] * 5)
    assert varied.low < 20
    assert varied.high > 80
    assert decide(of_means([1.0] * 5), Region(low=0.0)) is Verdict.OPEN
    assert decide(of_ratios([1.2]), Region(low=1.0)) is Verdict.OPEN
    assert of_ratios([2.0, 0.5]).value == pytest.approx(1.0)


class HalfSpace(nn.Module):
    """Misread where the first pixel is above a threshold."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(threshold))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        beyond = images.flatten(1)[:, 0] - self.threshold
        return torch.stack((-beyond, beyond), 1)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.65])
def test_rare_probabilities_are_those_of_a_half_space(threshold: float) -> None:
    truth = 0.5 * stats.beta.sf(threshold**2, 0.5, 31.5)
    model, image = HalfSpace(threshold).eval(), torch.zeros(1, 64)
    found = [rarity(model, image, 0, 1.0, torch.Generator().manual_seed(i)) for i in range(12)]
    assert np.median(np.log10(found)) == pytest.approx(math.log10(truth), abs=0.4)
    nowhere = rarity(HalfSpace(2.0).eval(), image, 0, 1.0, torch.Generator().manual_seed(0))
    assert nowhere == 1e-200
    with pytest.raises(InputError, match="above 0"):
        rarity(model, image, 0, 0.0, torch.Generator())


def test_the_least_change_of_the_weights_is_the_closed_form_of_a_linear_layer() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 2, bias=False)).eval()
    images = torch.rand(5, 6)
    with torch.no_grad():
        logits = model(images)
    labels = logits.argmax(1)
    # (w_j − w_c)·x has to grow by the margin m: two rows of ∓x·m/(2‖x‖²), together m/(√2‖x‖).
    exact = (logits.amax(1) - logits.amin(1)) / (math.sqrt(2) * images.norm(dim=1))
    found = least_weight_change(model, images, labels, ["1.weight"])
    assert torch.allclose(found, exact, rtol=0.03)
    assert bool((found >= exact).all())


def test_aligned_directions_are_orthonormal_and_share_the_gradient() -> None:
    gradient = torch.randn(20, generator=torch.Generator().manual_seed(0))
    moves = aligned(gradient, 4, torch.Generator().manual_seed(1))
    assert torch.allclose(moves @ moves.T, torch.eye(4), atol=1e-5)
    assert torch.allclose(moves @ gradient / gradient.norm(), torch.full((4,), 0.5), atol=1e-5)


def test_nonsense_is_read_with_the_confidence_asked_for_inside_the_box() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    starts, classes = torch.rand(6, 1, 4, 4), torch.arange(3).repeat(2)
    with torch.no_grad():
        model[1].weight.mul_(30)
    made = confident_images(model, starts, classes, 0.99)
    with torch.no_grad():
        seen = model(made.images).softmax(1).gather(1, classes[:, None])[:, 0]
    assert bool(made.reached.all())
    assert bool((seen >= 0.99 - 1e-5).all())
    assert torch.allclose(seen, made.confidence, atol=1e-5)
    assert bool(((made.images >= 0) & (made.images <= 1)).all())
    never = confident_images(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval(), starts, classes,
                             0.999999, steps=2)  # fmt: skip
    assert not bool(never.reached.any())
    with pytest.raises(InputError, match="inside"):
        confident_images(model, starts, classes, 1.0)


def test_an_image_that_no_unit_answers_to_is_led_into_noise() -> None:
    """Units see how pixels differ, and in a flat image none does."""
    torch.manual_seed(1)
    seen = nn.Linear(16, 40)
    with torch.no_grad():
        seen.weight -= seen.weight.mean(1, keepdim=True)
        seen.bias.fill_(-0.1)
    model = nn.Sequential(nn.Flatten(), seen, nn.ReLU(), nn.Linear(40, 3, bias=False)).eval()
    with torch.no_grad():
        model[3].weight *= 100
    starts, classes = torch.full((4, 1, 4, 4), 0.5), torch.tensor([0, 1, 2, 0])
    made = confident_images(model, starts, classes, 0.99)
    assert bool(made.reached.all())
    assert made.images.min() >= 0
    assert made.images.max() <= 1
    assert torch.equal(made.images[0], made.images[3])


def test_tiny_networks_are_trained_as_long_at_every_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All learn from a thousand images, whatever a training on all of them takes."""
    net, asked = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval(), []

    def trained(recipe: Recipe, images: object, seed: int) -> tuple[nn.Module, None]:
        asked.append(recipe)
        return net, None

    monkeypatch.setattr("intriguing.paper.claims.topics.seeds.train_network", trained)
    data = load_data("digits")
    for scale in SCALES.values():
        topic = Seeds((), (), data.train, data.test, replace(scale, tiny=1), 0)
        topic.measure({"one": net, "other": net}, Record(topic, tmp_path))
    assert len(asked) == 9
    assert asked[:3] == asked[3:6] == asked[6:]
