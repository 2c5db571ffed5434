"""The story of one image, and the page of it, against the network's own logits."""

import subprocess
import sys

import pytest
import torch

from intriguing.audit.config import AuditConfig
from intriguing.audit.explaining import explain
from intriguing.audit.run import run_audit
from intriguing.data.named import load_data
from intriguing.errors import InputError
from intriguing.report.story import draw_story, to_text
from intriguing.results.parquet import read_columns
from intriguing.results.rows import ImageRow
from tests.audit.test_audit import means

CONFIG = AuditConfig(
    images=4, budget=60, skip=("units", "preflight", "noise", "spectrum", "transfer")
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    place = tmp_path_factory.mktemp("told")
    run_audit(
        {"one": means(), "two": means(2.0)}, load_data("digits").test.first(30), place, CONFIG
    )
    return place


def test_the_story_agrees_with_the_network_and_the_rows(folder):
    rows = read_columns(folder, ImageRow)
    image = rows["image_id"][0]
    story = explain(folder, image, {"one": means(), "two": means(2.0)})
    data = load_data("digits").test
    place = data.ids.index(image)
    with torch.no_grad():
        logits = means()(data.images[place][None])[0]
    assert story.label == int(data.labels[place])
    first = story.made[0]
    assert [made.network for made in story.made] == ["one", "two"]
    said = first.said[0]
    assert said.before[0][0] == story.label
    assert said.before[0][1] == pytest.approx(float(logits.max()), rel=1e-5)
    assert said.after[0][0] == first.target != story.label
    assert first.l2 == pytest.approx(float(rows["l2"][0]))
    assert 0 < (first.certified or 0) <= first.l2
    # The paper's search ends at an example too; c grows and its answers grow shorter.
    good = [solve for solve in first.path if solve.adversarial]
    assert good
    assert min(solve.l2 for solve in good) >= first.l2 * (1 - 1e-3)
    by_c = sorted(good, key=lambda solve: solve.c)
    assert by_c[0].l2 >= by_c[-1].l2


def test_the_page_has_it_all_and_loads_nothing(folder):
    image = read_columns(folder, ImageRow)["image_id"][1]
    story = explain(folder, image, {"one": means()})
    page = draw_story(folder, story).read_text()
    for words in ("original", "adversarial", "The path of c", "safe from every change", "two"):
        assert words in page
    assert "https://" not in page
    text = to_text(story)
    assert f"{story.image_id}:" in text
    assert "two says" in text


def test_an_image_is_found_by_a_part_of_its_id_and_others_are_named(folder):
    image = read_columns(folder, ImageRow)["image_id"][2]
    assert explain(folder, image.rpartition("/")[2], path=False).image_id == image
    with pytest.raises(InputError, match="no attacked image nobody"):
        explain(folder, "nobody", path=False)
    with pytest.raises(InputError, match="give more of the id"):
        explain(folder, "digits", path=False)


def test_a_network_with_other_weights_is_not_explained_by(folder):
    image = read_columns(folder, ImageRow)["image_id"][0]
    with pytest.raises(InputError, match="weights have changed"):
        explain(folder, image, {"one": means(1.5)})


def test_the_report_is_drawn_without_torch(folder):
    code = (
        "import sys; from pathlib import Path\n"
        "from intriguing.report.findings import findings\n"
        "from intriguing.report.html import draw_report\n"
        "from intriguing.report.contents import read_contents\n"
        f"print(len(findings(read_contents(Path({str(folder)!r}))).answers) > 5, end=' ')\n"
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["True", "False"]
