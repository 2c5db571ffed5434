import csv
from dataclasses import replace

import numpy as np
import pytest

from intriguing.report import sandwich
from intriguing.report.assurance import how_close
from intriguing.report.certified import share_of_found
from intriguing.report.contents import read_contents
from intriguing.report.findings import findings
from intriguing.report.html import draw_report
from intriguing.report.lengths import Lengths
from intriguing.report.section import Listing
from intriguing.report.sections import sections
from intriguing.results.measured import Metric
from tests.report import bounded
from tests.report.sample import write_sample


@pytest.fixture
def folder(tmp_path):
    return write_sample(tmp_path, "certify")


def listing(folder) -> Listing:
    blocks = [block for section in sections(read_contents(folder)) for block in section.blocks]
    return next(block for block in blocks if isinstance(block, Listing))


def test_the_first_sentences_say_what_is_safe_what_was_found_and_what_lies_between(folder):
    found = findings(read_contents(folder))
    words = " ".join(found.sentences)
    assert words.startswith("50 of 60 images are classified correctly. Half of these are safe")
    assert "shorter than 0.4400 in L2 (distortion 0.0550)" in words
    assert "This is proved (pairwise, semidefinite)" in words
    assert "lies at 0.8800 (distortion 0.1100)" in words
    assert "50.0 % is certified" in words
    assert "ε = 0.5, accuracy is at least 30.0 % (certified) and at most 78.0 %" in words
    assert "on any of the 59 images" in words
    assert not found.alarms
    assert found.tiles[3].value == "0"


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(0.5, "in what is left is not known."), (0.989, "in what is left is not known."),
     (0.993, "so that the minimum distortion of half of them is known to within 0.70 %.")],
)  # fmt: skip
def test_where_next_to_nothing_is_left_the_distance_is_called_known(folder, ratio, said):
    table = read_contents(folder).table("certify")
    cells = dict(table.lines()[0])
    cells[Metric.CERTIFIED_RATIO] = replace(cells[Metric.CERTIFIED_RATIO], value=ratio)
    (sentence,) = how_close(cells, 8.0)
    assert sentence.endswith(said)


def test_an_image_found_closer_than_certified_is_shouted(folder):
    bounded.write_certified(folder, violated=True)
    found = findings(read_contents(folder))
    assert found.alarms[0].startswith("1 image has an adversarial example closer than certified")
    assert "digits/0030" in found.alarms[0]
    assert "closer than certified, on any" not in " ".join(found.sentences)
    assert found.tiles[3].value == "1"
    page = draw_report(folder).read_text()
    assert 'role="alert"' in page
    rows = listing(folder)
    assert rows.opened
    assert rows.rows[0][0] == "digits/0030"


def test_without_an_attack_the_page_speaks_of_certificates_only(folder):
    bounded.write_certified(folder, searched=False)
    contents = read_contents(folder)
    words = " ".join(findings(contents).sentences)
    assert "No adversarial examples were looked for." in words
    assert "closer than certified" not in words
    assert all(row[-1] == row[-2] == "–" for row in listing(folder).rows)
    draw_report(folder)


def test_what_is_not_proved_is_never_called_so(folder):
    bounded.write_certified(folder, guaranteed=False)
    assert "This is not proved" in " ".join(findings(read_contents(folder)).sentences)
    assert "which is not proved" in sections(read_contents(folder))[0].words


def test_every_image_is_in_the_csv(folder):
    draw_report(folder)
    rows = list(csv.DictReader((folder / "report/tables/certificates.csv").open()))
    assert len(rows) == bounded.IMAGES
    infinite = next(row for row in rows if row["image_id"] == "digits/0020")
    assert infinite["found"] == "inf"
    assert float(infinite["certified"]) > 0


def test_the_sandwich_is_sorted_and_leaves_out_what_was_not_found():
    certified = np.array([0.3, 0.1, 0.2])
    axis = sandwich.sandwich(certified, np.array([0.6, np.inf, 0.5]), 64).axes[0]
    below, above = axis.lines
    assert below.get_ydata().tolist() == [0.1, 0.2, 0.3]
    assert np.isnan(above.get_ydata()[0])
    assert above.get_ydata()[1:].tolist() == [0.5, 0.6]


def test_a_large_set_is_thinned_evenly_and_keeps_its_ends():
    certified = np.arange(5000) / 5000
    axis = sandwich.sandwich(certified, 2 * certified, 784).axes[0]
    shown = axis.lines[0].get_ydata()
    assert len(shown) == sandwich.SHOWN
    assert (shown[0], shown[-1]) == (certified[0], certified[-1])


def test_accuracies_are_shares_of_all_images_beyond_epsilon():
    certified, found = np.array([0.0, 0.2, 0.4, 0.4]), np.array([0.0, 0.5, 0.8, np.inf])
    axis = sandwich.accuracies(Lengths.of(certified), Lengths.of(found), 64).axes[0]
    attacked, sure = axis.lines

    def at(line, epsilon):
        x, y = line.get_xdata(), line.get_ydata()
        return float(y[np.searchsorted(x, epsilon, side="right") - 1])

    assert [at(sure, e) for e in (0, 0.1, 0.3, 0.5)] == [75, 75, 50, 0]
    assert [at(attacked, e) for e in (0, 0.3, 0.6, 0.8)] == [75, 75, 50, 50]
    only = sandwich.accuracies(Lengths.of(certified), None, 64).axes[0]
    assert len(only.lines) == 1


def test_of_what_was_not_found_no_share_is_proved():
    shares = share_of_found(np.array([0.1, 0.2, 0.0, 0.3]), np.array([0.4, np.inf, 0.0, np.nan]))
    assert shares[0] == pytest.approx(0.25)
    assert np.isnan(shares[1:]).all()
