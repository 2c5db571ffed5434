import itertools

import numpy as np
import pytest

from intriguing.report.charts import distortion_curves, heatmaps
from intriguing.report.figures import Panel, as_pictures, figure7, filters, gallery, mosaic
from intriguing.report.findings import correlation, findings
from intriguing.report.layouts import gather
from intriguing.report.lengths import Lengths
from intriguing.report.views import Cell
from intriguing.results.measured import Condition, Measurement, Metric
from tests.report.sample import NETWORKS, write_sample


def test_mosaic_puts_each_tile_in_its_place_row_by_row():
    tiles = np.arange(1, 7)[:, None, None] * np.ones((6, 4, 5))
    picture = mosaic(tiles, across=3, gap=2, gap_value=0.0)
    assert picture.shape == (4 + 2 + 4, 5 * 3 + 2 * 2)
    assert (picture[:4, 7:12] == 2).all()
    assert (picture[6:, 14:] == 6).all()
    assert (picture[4:6] == 0).all()


def test_figure7_has_originals_in_odd_columns_and_their_distorted_beside_them():
    count = 8
    originals = np.linspace(0.1, 0.4, count)[:, None, None] * np.ones((count, 6, 6))
    distorted = originals + 0.5
    figure = figure7([Panel("a", originals, distorted)])
    picture = figure.axes[0].images[0].get_array()
    pitch = 6 + 2
    corners = np.asarray(picture[::pitch, ::pitch])
    assert corners.shape == (4, 4)
    np.testing.assert_allclose(corners[:, 1::2], corners[:, ::2] + 0.5)
    assert sorted(corners[:, ::2].ravel()) == pytest.approx(sorted(originals[:, 0, 0]))


def test_gallery_shows_ten_times_the_difference_around_grey():
    original = np.full((2, 5, 5), 0.5)
    distorted = original + np.array([0.02, -0.03])[:, None, None]
    picture = gallery(Panel("", original, distorted)).axes[0].images[0].get_array()
    assert picture[5 + 2, 0] == pytest.approx(0.7)
    assert picture[5 + 2, 5 + 2] == pytest.approx(0.2)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_long_names_under_a_gallery_leave_each_other_and_the_rest_room(count):
    names = ("n07614500_ice_cream → n02808440_bathtub", "a name, of many words nobody reads → it",
             "Donaudampfschifffahrtsgesellschaft → Pomeranian, Zwergspitz")  # fmt: skip
    pixels = np.full((count, 6, 6), 0.5)
    figure = gallery(Panel("", pixels, pixels, (names * 3)[:count]))
    figure.canvas.draw()
    (axis,) = figure.axes
    under = sorted((text.get_window_extent() for text in axis.texts), key=lambda box: box.x0)
    assert len(under) == count
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(under))
    for box in (*under, *(text.get_window_extent() for text in axis.get_yticklabels())):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 1, 8, 8), (3, 8, 8)),
        ((3, 3, 8, 9), (3, 8, 9, 3)),
        ((3, 64), (3, 8, 8)),
        ((3, 65), (3, 1, 65)),
        ((3, 8, 8), (3, 8, 8)),
    ],
)
def test_images_of_any_layout_become_pictures(shape, expected):
    assert as_pictures(np.zeros(shape)).shape == expected


def test_filters_leaves_out_the_weakest_and_scales_each_by_itself():
    strengths = np.array([1.0, 1e-9, 5.0, 2.0])
    weights = strengths[:, None, None] * np.ones((4, 3, 3))
    picture = filters(weights, count=3).axes[0].images[0].get_array()
    assert np.nanmax(np.asarray(picture)) == 1.0
    assert picture.shape[1] == 3 * 3 + 2 * 2


def test_curves_count_images_that_were_never_fooled():
    values = np.array([0.1, 0.2, np.nan, np.inf])
    line = distortion_curves({"net": Lengths.of(values)}).axes[0].lines[0]
    assert list(line.get_ydata()) == [25.0, 50.0]


def test_heatmap_prints_every_error_and_no_distortion():
    about = {"made_for": "FC10(1e-2)", "condition": Condition.ADVERSARIAL, "images": "train"}
    rows = [
        Measurement("table2", Metric.ERROR, "%", 12.34, network="FC10(1)", **about),
        Measurement("table2", Metric.MEAN_DISTORTION, "distortion", 0.06, **about),
    ]
    figure = heatmaps(gather(rows)[0])
    printed = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert printed == ["35.2", "12.3"]


def test_transferred_cells_are_those_off_the_diagonal_without_noise(tmp_path):
    from intriguing.report.contents import read_contents

    two, four = read_contents(write_sample(tmp_path)).tables_of("table2", "table4")
    assert len(two.where(transferred=True)) == len(NETWORKS) * (len(NETWORKS) - 1)
    pairs = four.where(transferred=True)
    assert len(pairs) == 12
    assert all(cell.paper < 100 for cell in pairs)


def test_rank_correlation_agrees_with_ranks_counted_by_hand():
    paper = [1.0, 2.0, 3.0, 4.0]
    cells = [
        Cell("table2", Metric.ERROR, "%", ours, paper=p)
        for ours, p in zip([10, 30, 20, 40], paper, strict=True)
    ]
    assert correlation(cells) == pytest.approx(1 - 6 * 2 / (4 * 15))


@pytest.mark.parametrize(
    ("metric", "unit", "value", "words"),
    [
        (Metric.PROVED, "%", 75.0, "For 30 of 40 images of net it is proved"),
        (Metric.LOCAL_GAP, "gap", 3e-6, "up to a residual of 3.0e−6"),
    ],
)
def test_what_is_known_of_how_good_answers_are_is_said(tmp_path, metric, unit, value, words):
    from dataclasses import replace

    from intriguing.report.contents import read_contents

    contents = read_contents(write_sample(tmp_path, "attack"))
    row = Measurement("attack", metric, unit, value, count=30, total=40, network="net")
    assert words in " ".join(findings(replace(contents, measured=(row,))).sentences)


def test_a_failed_attack_is_never_rounded_up_to_all(tmp_path):
    from dataclasses import replace

    from intriguing.report.contents import read_contents

    contents = read_contents(write_sample(tmp_path, "attack"))
    attacked = replace(contents.attacked, images=200_000, found=199_999)
    tile = findings(replace(contents, attacked=attacked)).tiles[0]
    assert tile.value == "99.99 %"
