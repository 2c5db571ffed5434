"""Reports of any number of rows: what is put together part by part is what all of them come to."""

import csv
import re

import numpy as np
import pytest

from intriguing.report import certified, lengths
from intriguing.report.contents import read_contents
from intriguing.report.findings import findings
from intriguing.report.html import draw_report
from intriguing.report.lengths import Lengths
from intriguing.results import parquet
from intriguing.results.parquet import write_columns
from intriguing.results.rows import CertificateRow, ImageRow
from tests.report.sample import write_sample


def drawn(folder) -> dict[str, bytes]:
    """Every file of a report but pictures of charts, which hold the date."""
    draw_report(folder)
    files = [path for path in (folder / "report").rglob("*") if path.suffix in (".html", ".csv")]
    text = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {name: re.sub(rb"<dc:date>.*?</dc:date>", b"", one) for name, one in text.items()}


@pytest.mark.parametrize("kind", ["attack", "certify"])
def test_a_page_is_the_same_however_many_rows_are_read_at_once(tmp_path, monkeypatch, kind):
    folder = write_sample(tmp_path, kind)
    whole = drawn(folder)
    monkeypatch.setattr(parquet, "PIECE", 7)
    assert drawn(folder) == whole


def test_many_lengths_are_rounded_to_the_side_that_stays_true(monkeypatch):
    monkeypatch.setattr(lengths, "MOST", 2000)
    values = np.random.default_rng(0).gamma(4, 0.1, 30_000)
    values[::10] = np.inf
    finite = np.sort(values[np.isfinite(values)])
    across = np.linspace(0, 1.5, 50)
    exact = (values > across[:, None]).mean(1)
    for up in (True, False):
        found = Lengths(up=up)
        for part in np.array_split(values, 11):
            found.add(part)
        assert (len(found), found.total) == (27_000, 30_000)
        for share in (0.0, 0.5, 0.998):
            assert found.quantile(share) == pytest.approx(np.quantile(finite, share), rel=4e-3)
        beyond = found.beyond(across)
        assert bool((beyond >= exact).all() if up else (beyond <= exact).all())
        assert np.abs(beyond - exact).max() < 4e-3
        steps, shares = found.steps()
        ranks = np.round(shares * 30_000).astype(int) - 1
        error = steps / finite[ranks] - 1
        assert (error if up else -error).min() >= 0
        assert np.abs(error).max() < 4e-3


def test_a_certification_of_many_images_lists_the_least_known_and_counts_all(tmp_path, monkeypatch):
    monkeypatch.setattr(certified, "LISTED", 40)
    monkeypatch.setattr(certified, "SAMPLED", 100)
    monkeypatch.setattr(parquet, "PIECE", 300)
    folder, count = write_sample(tmp_path, "certify"), 1000
    draw = np.random.default_rng(1)
    found = draw.gamma(9, 0.1, count)
    radii = found * draw.uniform(0.1, 0.9, count)
    radii[[3, 640]] = found[[3, 640]] * [1.1, 1.5]
    write_columns(folder, CertificateRow, [{
        "network": "net", "seed": 0, "image_id": [f"image/{i:04}" for i in range(count)],
        "label": np.zeros(count, int), "predicted": np.arange(count) % 2, "margin": 1.0,
        "against": 1, "certified": radii, "found": found, "status": "FOUND", "pixels": 64,
    }])  # fmt: skip
    (alarm,) = findings(read_contents(folder)).alarms
    assert alarm.startswith("2 images have an adversarial example closer than certified")
    assert "image/0640" in alarm
    (one,) = read_contents(folder).certified.values()
    assert (one.correct, len(one.pairs[0])) == (500, 125)
    assert np.array_equal(one.pairs[0], radii[::2][::4])
    page = draw_report(folder).read_text()
    assert "40 of 1,000 images, the least known first" in page
    rows = list(csv.DictReader((folder / "report/tables/certificates.csv").open()))
    order = np.argsort(radii / found)
    expected = {f"image/{i:04}" for i in (3, 640, *order[:38])}
    assert [row["image_id"] for row in rows[:2]] == ["image/0003", "image/0640"]
    assert {row["image_id"] for row in rows} == expected


def test_statuses_and_first_seeds_are_counted_over_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "PIECE", 4)
    folder = write_sample(tmp_path, "attack")
    rows = {
        "network": [*"aabbaabb", "c"], "seed": [1, 2] * 4 + [2], "method": "ddn",
        "image_id": list(map(str, range(9))), "label": 0, "target": 1,
        "success": np.array([1, 1, 0, 1, 1, 1, 1, 1, 1], bool),
        "status": ["FOUND", "ALREADY", "NOT_FOUND", *["FOUND"] * 6],
        **dict.fromkeys(("distortion", "l2", "c", "gap", "local_gap"), np.arange(9) / 10),
        "forward_passes": 1, "backward_passes": 1,
    }  # fmt: skip
    write_columns(folder, ImageRow, [rows])
    attacked = read_contents(folder).attacked
    assert (attacked.images, attacked.found, attacked.networks) == (9, 8, 3)
    assert attacked.statuses == {
        "a": {"ALREADY": 1, "FOUND": 3}, "b": {"FOUND": 3, "NOT_FOUND": 1}, "c": {"FOUND": 1}
    }  # fmt: skip
    of = {name: (len(one), one.total) for name, one in attacked.distortions.items()}
    assert of == {"a": (2, 2), "b": (1, 2)}
    assert attacked.distortions["a"].steps()[0].tolist() == pytest.approx([0.0, 0.4])
