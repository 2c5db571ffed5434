"""The study of hardening: its tables, claims, report, and what an interruption leaves."""

from pathlib import Path

import pytest
from scipy import stats

from intriguing.errors import InputError
from intriguing.measures import Progress
from intriguing.models.load import load_model
from intriguing.models.weights import model_sha256
from intriguing.paper.hardening import claims, config, judging, regimes, study, timing
from intriguing.paper.hardening.config import HardeningConfig, trials
from intriguing.paper.reproduce import reproduce
from intriguing.report.contents import read_contents
from intriguing.report.findings import findings
from intriguing.report.hardening import verdict
from intriguing.report.html import draw_report
from intriguing.report.views import Cell
from intriguing.results.measured import Metric
from intriguing.results.parquet import read_columns
from intriguing.results.rows import ImageRow
from intriguing.results.store import read_run
from intriguing.scale.engine import Engine
from tests.shown import laid_out, shown

FEW = ("weight-decay", "pool-input", "penalty")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three regimes and one point of the curve, so that a study takes seconds."""
    chosen = tuple(regimes.regime(slug) for slug in FEW)
    for module in (regimes, config, study):
        if hasattr(module, "REGIMES"):
            monkeypatch.setattr(module, "REGIMES", chosen)
    monkeypatch.setattr(regimes, "CURVE", (0.1,))
    monkeypatch.setattr(study, "BUDGET", 20)
    monkeypatch.setattr(timing, "ROUNDS", 1)


def _weights(folder: Path) -> dict[str, str]:
    return {
        path.stem: model_sha256(load_model(path))
        for path in (folder / "models").glob("*.safetensors")
    }


def test_a_study_measures_each_family_and_goes_on_where_it_was_stopped(
    few: None, tmp_path: Path
) -> None:
    calm, stopped = tmp_path / "calm", tmp_path / "stopped"
    asked = HardeningConfig("smoke", seeds=2)
    record = reproduce(asked, calm)
    assert record.status == "complete"
    assert {model.name for model in record.models} == {
        "Weight decay", "Input pool", "Spectral penalty", "Penalty 0.1",
    }  # fmt: skip

    def stop(progress: Progress) -> None:
        if progress.stage == "train Input pool" and progress.done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(asked, stopped, progress=stop)
    assert read_run(stopped).status == "running"
    seen: list[str] = []
    reproduce(asked, stopped, progress=lambda step: seen.append(step.stage))
    assert "train Weight decay" not in seen
    assert "train Spectral penalty" in seen
    assert _weights(stopped) == _weights(calm)
    cells = {(c.analysis, c.row, c.column): c for c in shown(calm)}
    again = {(c.analysis, c.row, c.column): c for c in shown(stopped)}
    clock = "Time over plain"
    assert {k: v for k, v in cells.items() if k[2] != clock} == {
        k: v for k, v in again.items() if k[2] != clock
    }

    error = cells["hardening", "Input pool", "Test error"]
    of_seeds = [100 * (m.test_error or 0) for m in record.models if m.name == "Input pool"]
    assert error.value == pytest.approx(sum(of_seeds) / 2)
    assert (error.seed_low, error.seed_high) == (min(of_seeds), max(of_seeds))
    assert cells["hardening", "Weight decay", "Time over plain"].value == 1
    shorter = {row for _, row, column in cells if column == "Transfer shorter"}
    assert shorter == {"Input pool", "Spectral penalty"}  # not of examples made on itself
    assert {row for table, row, _ in cells if table == "penalty"} == {"0", "0.019", "0.1"}
    images = read_columns(calm, ImageRow, ("network", "seed", "l2"))
    assert len(images["l2"]) == 3 * 2 * 20
    page = draw_report(calm).read_text()
    assert "What each training buys" in page
    assert "Error and proof over the penalty" in page
    said = findings(read_contents(calm))
    assert any(sentence.startswith("Input pool: ") for sentence in said.sentences)


def test_a_search_never_sees_the_test_images(few: None, tmp_path: Path) -> None:
    asked = HardeningConfig("smoke", search=True)
    record = reproduce(asked, tmp_path)
    assert [part.images for part in record.data] == [1138, 300]
    assert all("train" in part.name for part in record.data)
    cells = shown(tmp_path)
    assert {cell.analysis for cell in cells} == {"settings"}
    assert len(cells) == len({trial.regime.slug for trial in trials(asked)})
    for regime in ("Weight decay", "Input pool", "Spectral penalty"):
        errors = [cell.value for cell in cells if cell.row.startswith(f"{regime}:")]
        assert len(errors) > 3
        assert errors == sorted(errors)
    draw_report(tmp_path)
    assert any("Best by validation" in said for said in findings(read_contents(tmp_path)).sentences)


def test_a_claim_is_a_paired_difference_with_students_interval() -> None:
    plain, pool = [1.6, 1.7, 1.5, 1.65], [1.2, 1.25, 1.3, 1.15]
    rows = claims.differences({"Weight decay": plain, "Input pool": pool})
    cells = {cell.row: cell for cell in laid_out(rows)}
    cell = cells["Examples at the input alone help as well"]
    expected = stats.ttest_rel(pool, plain)
    span = expected.confidence_interval()
    assert cell.value == pytest.approx(sum(pool) / 4 - sum(plain) / 4)
    assert (cell.low, cell.high) == pytest.approx((span.low, span.high))
    assert verdict(cell).startswith("holds: −0.39 points [")
    assert "Dropout improves on it" not in cells


def test_verdicts_follow_the_interval() -> None:
    def cell(low: float | None, high: float | None) -> Cell:
        return Cell("claims", Metric.ERROR_DIFFERENCE, "% more", 0.1, low, high, 5, 5)

    assert verdict(cell(0.05, 0.2)).startswith("does not hold")
    assert verdict(cell(-0.05, 0.2)).startswith("open")
    assert verdict(cell(-0.2, -0.05)).startswith("holds")
    assert "decides nothing" in verdict(cell(None, None))


def test_masked_gradients_are_caught(tmp_path: Path) -> None:
    """An attack that stopped early is beaten by examples made for another network."""
    from intriguing.data.named import load_data
    from intriguing.scale.attack import attack_in_shards
    from intriguing.training.recipe import train_network

    digits = load_data("digits")
    trial = next(iter(trials(HardeningConfig("smoke"))))
    recipe = trial.regime.scaled(20, 1).recipe
    model, _ = train_network(recipe, digits.train, 0)
    some = digits.test.first(30)

    def attacked(method: str, budget: int) -> object:
        return attack_in_shards(
            model, some, "untargeted", tmp_path / method, method=method, budget=budget
        )

    weak, strong = attacked("noise", 6), attacked("closest", 60)
    assert judging.masking(model, some, strong, weak, 0).transferred == 0
    caught = judging.masking(model, some, weak, strong, 0)
    assert caught.transferred > 0.5
    assert caught.findings == ()


def test_nonsense_is_refused() -> None:
    for wrong in ({"scale": "huge"}, {"seeds": 0}):
        with pytest.raises(InputError):
            HardeningConfig(**wrong)
    with pytest.raises(InputError, match="no regime 'pgd'"):
        regimes.regime("pgd")


def test_several_processes_make_the_same(few: None, tmp_path: Path) -> None:
    asked = HardeningConfig("smoke")
    reproduce(asked, tmp_path / "one")
    seen: list[Progress] = []
    reproduce(asked, tmp_path / "two", engine=Engine("processes", 2), progress=seen.append)
    assert _weights(tmp_path / "one") == _weights(tmp_path / "two")
    together = [step for step in seen if step.stage == "train and attack 4 networks"]
    assert together[-1].done == together[-1].total
