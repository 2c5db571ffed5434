"""The page of all units, opened from disk in a real headless Chromium and used as people use it."""

import csv
import io
import json
import math

import numpy as np
import pytest

from intriguing.measures import wilson_interval
from intriguing.report.browser import draw_browser
from intriguing.report.contents import read_contents
from tests.report import browsed
from tests.report.chromium import Chromium, find_chromium

chromium = pytest.mark.skipif(
    find_chromium() is None,
    reason="needs Chromium or Chrome: install one (apt-get install chromium), or name it in "
    "CHROMIUM",
)


def draw(folder, **keywords):
    known = browsed.write_units(folder, **keywords)
    page = draw_browser(read_contents(folder), folder / "report")
    assert page is not None
    return known, page


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    layers = {"conv": 6}
    return draw(tmp_path_factory.mktemp("large"), layers=layers, side=96, channels=3, count=30)


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    opened = Chromium(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def page(window, small):
    """The page of 4,024 directions, freshly opened; it must not complain or ask for anything."""
    window.open(small[1])
    yield window
    assert not window.complaints
    asked = {url.partition(":")[0] for url in window.requests}
    assert asked <= {"file", "data", "blob", "about"}
    assert {url for url in window.requests if url.startswith("file:")} == {small[1].as_uri()}


def keys(page) -> list[str]:
    """Group/number of the cards, in their order."""
    return page.run("[...document.querySelectorAll('#cards > .card')].map(c => c.dataset.key)")


def strip(page, key: str, sign: int) -> list[int]:
    """Which images a card shows, of one sign."""
    path = f"#cards > [data-key='{key}'] .strip:nth-of-type({sign}) .thumb"
    return page.run(
        f"[...document.querySelectorAll({json.dumps(path)})].map(t => +t.dataset.image)"
    )


def view(page, layer: str, basis: str, **fields: str) -> None:
    for name, value in {"layer": layer, "basis": basis, **fields}.items():
        page.choose(f"#{name}", value)


@chromium
def test_there_is_a_card_for_every_direction_that_responds_drawn_when_it_is_seen(page, small):
    known, _ = small
    responding = sum(int(alive.sum()) for alive in known.responds.values())
    assert len(keys(page)) == responding == 3622
    page.wait("document.querySelector('#cards > .card .thumb')")
    drawn = "document.querySelectorAll('#cards > .card > h3').length"
    assert 0 < page.run(drawn) < 100
    page.run(
        "document.querySelector('#cards > .card:nth-child(3000)')"
        ".scrollIntoView({behavior: 'instant'})"
    )
    page.wait("document.querySelector('#cards > .card:nth-child(3000) .thumb')")
    page.wait("!document.querySelector('#cards > .card:nth-child(1) .thumb')")
    assert page.run(drawn) < 200
    page.click("#silent")
    assert len(keys(page)) == 4024


@chromium
def test_cards_are_filtered_and_sorted_by_coherence(page, small):
    known, _ = small
    view(page, "fc", "random", sort="purity")
    pure, alive = known.purity["fc", "random"], known.responds["fc", "random"]
    order = [i for i in np.lexsort((np.arange(2000), -pure)) if alive[i]]
    assert keys(page) == [f"3/{i}" for i in order]
    assert "1,800 of 4,024 shown" in page.run("document.querySelector('#count').textContent")
    assert page.run("document.querySelector('#verdict').textContent").startswith("fc: natural more")
    page.choose("#order", "1")
    assert keys(page)[0] == f"3/{min(order, key=lambda i: (pure[i], i))}"
    page.choose("#least", "0.8")
    assert set(keys(page)) == {f"3/{i}" for i in order if pure[i] >= 0.8}
    page.choose("#least", "")
    page.choose("#find", "42")
    assert keys(page) == ["3/42"]


@chromium
def test_a_card_shows_both_signs_neighbours_and_the_images_themselves(page, small):
    known, _ = small
    view(page, "fc", "natural", sort="number", order="1", find="11")
    page.wait("document.querySelector('.card .thumb')")
    shown = known.tops["fc", "natural"]
    assert strip(page, "2/11", 1) == shown["positive"][11].tolist()
    assert strip(page, "2/11", 2) == shown["negative"][11].tolist()
    for rank, image in enumerate(shown["positive"][11]):
        seen = page.see(f".card .strip:nth-of-type(1) .thumb:nth-of-type({rank + 1})")
        assert np.abs(seen[4:-4, 4:-4].astype(int) - int(known.greys[image])).max() <= 3
    words = page.run("document.querySelector('.card').innerText")
    assert f"purity {known.purity['fc', 'natural'][11]:.3f} (chance 0.400)" in words
    assert page.run("document.querySelectorAll('.card svg rect').length") == 16
    near = page.run("document.querySelector('.card .near').textContent")
    first = near.split("random ")[1].split(" ")[0]
    page.click(".card .near button")
    assert page.run("document.activeElement.dataset.key") == f"3/{first}"


@chromium
def test_a_row_of_images_is_one_line(window, tmp_path, monkeypatch):
    monkeypatch.setattr(browsed, "K", 9)
    _, page = draw(tmp_path, layers={"conv": 12})
    window.open(page)
    window.wait("document.querySelector('.card .thumb')")
    line = "document.querySelectorAll('.card:first-child .strip:nth-of-type(1) .thumb')"
    assert window.run(f"{line}.length") == 9
    assert window.run(f"new Set([...{line}].map(t => t.getBoundingClientRect().top)).size") == 1


@chromium
def test_images_that_tie_at_the_least_are_not_shown_as_if_chosen(page, small):
    view(page, "fc", "natural", find="20")
    page.wait("document.querySelector('.card .thumb')")
    assert strip(page, "2/20", 2) == []
    assert "5 or more tie at the least, 0" in page.run("document.querySelector('.card').innerText")


@chromium
def test_from_an_image_back_to_the_units_that_it_excites(page, small):
    known, _ = small
    view(page, "conv", "natural", find="3")
    page.wait("document.querySelector('.card .thumb')")
    image = int(known.tops["conv", "natural"]["positive"][3][2])
    page.click(".card .strip .thumb:nth-of-type(3)")
    page.wait("document.querySelector('dialog').open")
    assert known.ids[image] in page.run("document.querySelector('#image-title').textContent")
    lists = page.run("[...document.querySelectorAll('#image-units p')].map(p => p.textContent)")
    assert lists[3] == "fc, random: " + ", ".join(
        f"direction {n} {s}σ"
        for n, s in zip(known.strongest["fc", "random"][image], (3, 2, 1), strict=True)
    )
    page.click("#image-units p:nth-child(4) button")
    unit = int(known.strongest["fc", "random"][image][0])
    assert page.run("document.activeElement.dataset.key") == f"3/{unit}"
    assert not page.run("document.querySelector('dialog').open")


@chromium
def test_crops_show_what_the_position_sees(page, small):
    view(page, "conv", "natural", find="3")
    page.wait("document.querySelector('.card .thumb')")
    whole = page.run("getComputedStyle(document.querySelector('.card .thumb')).backgroundSize")
    page.click("#crop")
    page.wait("document.querySelector('.card .thumb')")
    # Rows 3 to 8 and columns 2 to 9 of 12: five sevenths as high as wide, from a larger sheet.
    box = page.run(
        "(b => [b.width, b.height])(document.querySelector('.thumb').getBoundingClientRect())"
    )
    assert box[1] / box[0] == pytest.approx(5 / 7, abs=0.02)
    sheet = page.run("getComputedStyle(document.querySelector('.card .thumb')).backgroundSize")
    assert float(sheet.split("px")[0]) == pytest.approx(
        float(whole.split("px")[0]) * 12 / 7, rel=1e-4
    )


@chromium
def test_originals_at_full_size_are_files_beside_the_page(window, large):
    known, page = large
    window.open(page)
    window.wait("document.querySelector('.card .thumb')")
    assert not [url for url in window.requests if url.endswith(".jpg")]
    window.click(".card .thumb")
    window.wait("document.querySelector('#image-full img')?.naturalWidth === 96")
    image = window.run("+document.querySelector('.card .thumb').dataset.image")
    seen = window.see("#image-full img")
    assert np.abs(seen[8:-8, 8:-8].astype(int) - int(known.greys[image])).max() <= 3
    asked = [url for url in window.requests if url.endswith(".jpg")]
    assert [url.rpartition("/")[0] for url in asked] == [f"{page.parent.as_uri()}/units-images"]
    assert not window.complaints


@chromium
def test_a_page_sent_without_its_originals_shows_thumbnails(window, tmp_path):
    _, page = draw(tmp_path, layers={"conv": 6}, side=96, channels=3, count=30)
    alone = tmp_path / "alone" / "units.html"
    alone.parent.mkdir()
    alone.write_bytes(page.read_bytes())
    window.open(alone)
    window.wait("document.querySelector('.card .thumb')")
    window.click(".card .thumb")
    window.wait("document.querySelector('#image-full .sprite')")
    assert "thumbnail" in window.run("document.querySelector('#image-full').innerText")


def play(page, answers) -> dict:
    """Start a quiz of 15 rows of each, answer every row, and give what it saved."""
    page.choose("#quiz-rows", "15")
    page.choose("#quiz-layer", "fc")
    page.click("#quiz-go")
    for row in range(30):
        assert f"Row {row + 1} of 30" in page.run(
            "document.querySelector('#quiz-progress').innerText"
        )
        basis = page.run("(q => units.data.groups[q.rows[q.at].g].basis)(units.quiz)")
        page.press("y" if answers(row, basis) else "n")
    page.wait("!document.querySelector('#quiz-end').hidden")
    return json.loads(page.download("#quiz-json"))


@chromium
def test_the_quiz_is_blind_scored_with_intervals_and_exported(page, small):
    known, _ = small
    page.click("#tab-quiz")
    page.choose("#quiz-seed", "5")

    def answers(row, basis):
        told = page.run("document.querySelector('#quiz-play').outerHTML")
        for word in ("natural", "random", "made/", "bee", "fc", "unit"):
            assert word not in told
        return row % 3 == 0 if basis == "natural" else row % 2 == 0

    record = play(page, answers)
    rows = record["rows"]
    assert [row["row"] for row in rows] == list(range(30))
    assert len({(row["basis"], row["direction"]) for row in rows}) == 30
    for row in rows:
        shown = known.tops["fc", row["basis"]]["positive"][row["direction"]]
        assert row["images"] == [known.ids[i] for i in shown]
        assert known.responds["fc", row["basis"]][row["direction"]]
    bounds, shares = {}, {}
    for one in record["scored"]:
        mine = [row["related"] for row in rows if row["basis"] == one["basis"]]
        expected = [answer for i, answer in enumerate(
            answer_of(i, row["basis"]) for i, row in enumerate(rows)
        ) if rows[i]["basis"] == one["basis"]]  # fmt: skip
        assert mine == expected
        assert (one["related"], one["rows"]) == (sum(mine), 15)
        assert (one["low"], one["high"]) == pytest.approx(wilson_interval(sum(mine), 15))
        bounds[one["basis"]], shares[one["basis"]] = (one["low"], one["high"]), sum(mine) / 15
    # Newcombe (1998), method 10, for the difference of two proportions.
    (l1, u1), (l2, u2) = bounds["natural"], bounds["random"]
    p1, p2 = shares["natural"], shares["random"]
    assert record["difference"] == pytest.approx(p1 - p2)
    assert record["low"] == pytest.approx(p1 - p2 - math.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2))
    assert record["high"] == pytest.approx(p1 - p2 + math.sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2))
    table = list(csv.DictReader(io.StringIO(page.download("#quiz-csv").decode())))
    assert [(int(r["direction"]), r["related"] == "1") for r in table] == [
        (row["direction"], row["related"]) for row in rows
    ]


def answer_of(row: int, basis: str) -> bool:
    """The answers that the test above gives."""
    return row % 3 == 0 if basis == "natural" else row % 2 == 0


@chromium
def test_the_quiz_tells_who_sees_a_difference_from_who_does_not(page, small):
    page.click("#tab-quiz")
    assert play(page, lambda row, basis: basis == "natural")["low"] > 0.5
    assert "units’ rows related more" in page.run(
        "document.querySelector('#quiz-sentence').innerText"
    )
    page.click("#quiz-again")
    again = play(page, lambda row, basis: row % 2 == 0)
    assert again["low"] < 0 < again["high"]
    assert "do not tell" in page.run("document.querySelector('#quiz-sentence').innerText")


@chromium
def test_a_quiz_goes_back_and_stops_early(page, small):
    page.click("#tab-quiz")
    page.click("#quiz-go")
    for key in ("y", "n", "n"):
        page.press(key)
    page.press("ArrowLeft")
    page.press("y")
    page.click("#quiz-stop")
    record = json.loads(page.download("#quiz-json"))
    assert [row["related"] for row in record["rows"]] == [True, False, True]


def test_the_page_of_thousands_of_directions_is_one_small_file(small):
    _, page = small
    text = page.read_text(encoding="utf-8")
    assert len(text) < 4_000_000
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert text.count("</script>") == 2
