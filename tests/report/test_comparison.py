import csv
import io
import math

import numpy as np
import pytest

from intriguing.report.contents import Contents, read_contents
from intriguing.report.findings import findings
from intriguing.report.html import draw_report
from intriguing.report.passes import FLOOR, excess_profile, lengths_by_passes, shares_by_passes
from intriguing.report.section import Listing
from intriguing.report.sections import sections
from intriguing.results.rows import CurvePoint
from tests.report.compared import IMAGES, METHODS
from tests.report.sample import write_sample


@pytest.fixture(scope="module")
def contents(tmp_path_factory) -> Contents:
    return read_contents(write_sample(tmp_path_factory.mktemp("compare"), "compare"))


def listings(contents: Contents) -> dict[str, Listing]:
    blocks = [block for section in sections(contents) for block in section.blocks]
    return {block.name: block for block in blocks if isinstance(block, Listing)}


def test_images_are_told_apart_by_method(contents):
    assert tuple(contents.attacked.distortions) == METHODS
    assert contents.attacked.statuses["noise"] == {"FOUND": 5, "NOT_FOUND": 35}
    assert {name: float(p[0]) for name, p in contents.passes().items()} == {
        "closest": 66, "ddn": 1000, "noise": 50,
    }  # fmt: skip


def test_every_loss_is_listed_and_in_the_csv(contents):
    found = listings(contents)
    assert found["lost-by-closest"].title == "closest loses 1 of 40 images"
    assert found["lost-by-closest"].rows == (
        ("mnist-5k/00000", "3", "5", "2.0400", "ddn", "2.0000", "+2.00 %"),
    )
    assert found["lost-by-closest"].opened
    noise = found["lost-by-noise"]
    assert len(noise.rows) == IMAGES - 5
    assert noise.rows[0][2:4] == ("–", "not found")
    assert len(list(csv.DictReader(io.StringIO(noise.csv)))) == IMAGES - 5
    assert next(iter(csv.DictReader(io.StringIO(noise.csv))))["l2"] == "inf"
    assert found["lost-by-ddn"].rows == ()


def test_a_long_listing_says_what_it_leaves_to_the_csv(contents, monkeypatch, tmp_path):
    monkeypatch.setattr("intriguing.report.comparison.SHOWN", 10)
    noise = listings(contents)["lost-by-noise"]
    assert (len(noise.rows), noise.omitted) == (10, 25)
    page = draw_report(write_sample(tmp_path, "compare")).read_text()
    assert "25 more are in the CSV file." in page
    csv_file = (tmp_path / "report" / "tables" / "lost-by-noise.csv").read_text()
    assert csv_file.count("\n") == 1 + 35


def test_a_line_ends_where_the_method_did(contents):
    from intriguing.report.comparison import _curves

    ends = {method: points[-1].passes for method, points in _curves(contents).items()}
    assert ends == {"closest": 512, "ddn": 4096, "noise": 64}


def test_the_verdict_names_best_next_failures_and_losses(contents):
    found = findings(contents)
    assert found.tiles[0].value == "97.5 %"
    assert "closest" in found.tiles[0].label
    assert (found.tiles[1].value, found.tiles[1].beside) == ("+1.00 %", "95 %: +0.80 to +1.20")
    assert "ddn beside closest" in found.tiles[1].label
    assert found.tiles[2].beside == ""
    said = " ".join(found.sentences)
    assert "Images without an adversarial example: ddn 1, noise 35" in said
    assert "noise +700.00 % (+650.00 to +750.00) over 5 images" in said
    assert "closest loses 1 image to another method" in said


def curve(*medians: float) -> list[CurvePoint]:
    return [
        CurvePoint("m", 10**i, 4, 2, 8, median, median, median, math.inf, median / 2 - 1)
        for i, median in enumerate(medians)
    ]


def test_lines_begin_where_half_are_found_and_the_axis_of_passes_is_logarithmic():
    figure = lengths_by_passes({"a": curve(math.inf, 3.0, 2.0), "b": curve(math.inf, math.inf)})
    left, right = figure.axes
    first, second = left.lines
    assert first.get_xydata().tolist() == [[10, 3.0], [100, 2.0]]
    assert len(second.get_xydata()) == 0
    assert second.get_label() == "b: under half found"
    assert left.get_xscale() == right.get_xscale() == right.get_yscale() == "log"
    assert right.lines[0].get_ydata().tolist() == [50.0, FLOOR]
    for axis in (left, right):
        assert "passes" in axis.get_xlabel()
        assert axis.get_ylabel()


def test_shares_are_of_all_images():
    left, right = shares_by_passes({"a": curve(1.0)}).axes
    assert left.lines[0].get_ydata().tolist() == [50.0]
    assert right.lines[0].get_ydata().tolist() == [25.0]


def test_the_profile_counts_images_within_an_excess_and_never_those_not_found():
    lengths = {
        "a": np.array([1.0, 1.0, 1.0, np.nan]),
        "b": np.array([1.0, 1.05, np.inf, np.nan]),
    }
    axis = excess_profile(lengths).axes[0]
    for line, shares in zip(axis.lines[1:], ((75, 75, 75), (25, 50, 50)), strict=True):
        x, y = line.get_xdata(), line.get_ydata()
        assert [y[np.searchsorted(x, excess)] for excess in (FLOOR, 10, 99)] == list(shares)
