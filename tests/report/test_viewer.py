"""Pairs of photographs: a few in the report's page, all of them on a page of their own."""

import torch

from intriguing.report.html import draw_report
from intriguing.report.viewer import BUDGET
from intriguing.results.schema import RunRecord
from intriguing.results.store import write_run
from intriguing.runs.pairs import Words, write_pairs
from tests.report.test_html import Page

NAME = "<b>the largest</b>"


def audited(folder, count, side):
    """The folder of an audit that kept so many pairs of noise, which no format makes smaller."""
    generator = torch.Generator().manual_seed(0)
    originals = torch.rand(count, 3, side, side, generator=generator)
    adversarial = (originals + torch.randn(originals.shape, generator=generator) / 50).clamp(0, 1)
    words = [Words(f"image {i}", "cat", "dog", 0.02) for i in range(count)]
    write_pairs(folder, "nearest", NAME, originals, adversarial, words)
    write_run(folder, RunRecord("audit", "intriguing audit", {}, status="complete"))
    return folder


def buttons(text):
    return text.count('<li><button type="button"')


def test_what_a_page_has_no_room_for_is_on_another(tmp_path):
    page = draw_report(audited(tmp_path, 6, 160))
    text = page.read_text(encoding="utf-8")
    (other,) = page.parent.glob("pairs-*.html")
    assert f'href="{other.name}"' in text
    assert 1 <= buttons(text) < 6 == buttons(other.read_text(encoding="utf-8"))
    assert len(text) < 2 * BUDGET
    assert NAME not in text + other.read_text(encoding="utf-8")
    for one in (text, other.read_text(encoding="utf-8")):
        assert not [link for link in Page(one).links if link and link.startswith("http")]


def test_where_there_is_room_there_is_one_page(tmp_path):
    page = draw_report(audited(tmp_path, 6, 8))
    assert buttons(page.read_text(encoding="utf-8")) == 6
    assert not list(page.parent.glob("pairs-*.html"))
