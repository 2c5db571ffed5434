import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from intriguing.report import layers as layer_table
from intriguing.report import norms
from intriguing.report.contents import read_contents
from intriguing.report.findings import findings
from intriguing.report.html import draw_report
from intriguing.report.section import Listing
from intriguing.report.sections import sections
from intriguing.results.parquet import write_rows
from intriguing.results.rows import LayerRow
from tests.report import bounded
from tests.report.sample import write_sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_sample(tmp_path_factory.mktemp("spectrum"), "spectrum")


def said(folder) -> str:
    return " ".join(findings(read_contents(folder)).sentences)


def printed(layers, everything=False, width=160) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(layer_table.to_terminal(layers, width, everything))
    return console.export_text()


def test_the_first_sentences_say_how_far_how_loose_and_where(folder):
    words = said(folder)
    assert words.startswith("However the input of alexnet is changed")
    assert "at most 12.50 times as much" in words
    assert "This is proved (composition)" in words
    assert f"= {1 / (math.sqrt(2) * 12.5):.5f}" in words
    assert "between 2.500 and 12.50: the bound is at most 5.00 times too large" in words
    assert "would give 17.16, 1.37 times as much" in words
    assert "fc up to 3.120 times (reached: 2.000); conv1 up to 2.750" in words
    assert [tile.value for tile in findings(read_contents(folder)).tiles] == [
        "12.50", "2.500", "5.00×", "3.120",
    ]  # fmt: skip


def test_an_unknown_operation_is_named_with_the_way_out(tmp_path):
    write_sample(tmp_path, "spectrum")
    bounded.write_spectrum(tmp_path, unknown=True)
    found = findings(read_contents(tmp_path))
    assert found.tiles[0].value == "∞"
    assert "is ∞, because of erfinv: no bound for erfinv; register one." in found.sentences[0]
    assert "proved" not in " ".join(found.sentences)
    assert "times too large" not in " ".join(found.sentences)
    page = draw_report(tmp_path).read_text()
    assert "no bound is known" in page


def test_a_bound_that_is_not_proved_is_never_called_so(tmp_path):
    write_sample(tmp_path, "spectrum")
    rows = bounded.layers()
    rows[2] = replace(rows[2], guaranteed=False)
    rows[4] = replace(rows[4], guaranteed=False)
    write_rows(tmp_path, LayerRow, rows)
    words = said(tmp_path)
    assert "This is not proved" in words
    assert "Not guaranteed: the bound of pool1." in words
    assert findings(read_contents(tmp_path)).tiles[0].beside == "not guaranteed"


def test_without_lower_bounds_nothing_is_said_of_looseness(tmp_path):
    write_sample(tmp_path, "spectrum")
    write_rows(tmp_path, LayerRow, [replace(row, lower=math.nan) for row in bounded.layers()])
    assert "too large" not in said(tmp_path)
    assert "reached" not in said(tmp_path)
    draw_report(tmp_path)


def test_layers_that_only_pass_on_are_folded_in_the_terminal_and_kept_in_the_csv(folder):
    layers = bounded.layers()
    short, full = printed(layers), printed(layers, everything=True)
    assert "relu1" not in short
    assert "not shown: 1 that only pass changes on" in short
    assert "relu1" in full
    assert "not shown" not in full
    for text in (short, full):
        assert text.index("fc") < text.index("the whole network") < text.index("product of")
    draw_report(folder)
    rows = list(csv.DictReader((folder / "report/tables/layers.csv").open()))
    assert [row["name"] for row in rows] == [layer.name for layer in layers]
    assert float(rows[0]["upper"]) == 2.75
    latex = (folder / "report/tables/layers.tex").read_text()
    assert "relu1" not in latex
    assert "3$\\times$11$\\times$11$\\times$96 & 4 & 2.750 & 1.900" in latex


def test_what_attenuates_or_is_noted_is_never_folded():
    relu = bounded.layers()[1]
    assert layer_table.passes_on(relu)
    for change in (
        {"upper": 0.25}, {"upper": 1.13}, {"guaranteed": False}, {"note": "x"}, {"kind": "pool"},
        {"upper": math.inf},
    ):  # fmt: skip
        assert not layer_table.passes_on(replace(relu, **change))


def test_the_page_has_all_layers_with_their_notes(folder):
    blocks = [b for s in sections(read_contents(folder)) for b in s.blocks]
    (listing,) = [block for block in blocks if isinstance(block, Listing)]
    assert [row[0] for row in listing.rows] == [
        "conv1", "relu1", "pool1", "fc", "the whole network", "product of the layers",
    ]  # fmt: skip
    assert listing.rows[2][-1] == "windows overlap"
    assert [b.name for b in blocks if not isinstance(b, Listing)] == ["bounds", "spectrum"]


def test_bars_begin_at_one_on_a_logarithmic_axis_and_unknown_ones_are_hatched():
    axis = norms.bounds(layer_table.telling(bounded.layers(unknown=True))).axes[0]
    assert axis.get_xscale() == "log"
    bars = [patch for patch in axis.patches if patch.get_height() > 0]
    assert [bar.get_x() for bar in bars] == [1.0] * 4
    assert [bool(bar.get_hatch()) for bar in bars] == [False, True, False, False]
    assert bars[0].get_width() == pytest.approx(1.75)
    assert "∞" in [text.get_text() for text in axis.texts]


def test_each_panel_has_its_layers_spectrum_and_bound_and_leaves_out_what_is_next_to_zero():
    layers = [
        norms.Spectrum("a", np.array([2.0, 1.0, 1e-9]), 2.1),
        norms.Spectrum("b", np.array([0.5]), math.inf),
        norms.Spectrum("dead", np.zeros(3), 0.0),
    ]
    panels = norms.spectra(layers).axes
    assert [panel.get_title(loc="left") for panel in panels] == ["a", "b", "dead"]
    curve, line = panels[0].lines
    assert curve.get_ydata()[:2].tolist() == [2.0, 1.0]
    assert math.isnan(curve.get_ydata()[2])
    assert line.get_ydata() == [2.1, 2.1]
    assert len(panels[1].lines) == 1
    assert all(panel.get_yscale() == "log" for panel in panels)
