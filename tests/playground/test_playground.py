"""The playground, opened from disk in a real Chromium and used as people use it."""

import copy
import json

import pytest
import torch

import intriguing as it
from intriguing.cli.main import main
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.models.weights import save_model
from intriguing.playground.networks import carried, rounded
from intriguing.playground.page import draw_page
from tests.report.chromium import Chromium, find_chromium

pytestmark = pytest.mark.skipif(
    find_chromium() is None,
    reason="needs Chromium or Chrome: install one (apt-get install chromium), or name it in "
    "CHROMIUM",
)
HOSTILE = "</script><img src=x onerror=alert(1)>"


def network(sizes: tuple[int, ...], activation: str, seed: int) -> FullyConnected:
    """Trained a little, so that it reads digits."""
    torch.manual_seed(seed)
    made = FullyConnected(sizes, activation)
    digits = it.load_data("mnist-5k").train
    descent = torch.optim.Adam(made.parameters(), 0.01, weight_decay=3e-3)
    images, labels = digits.images[:1000], digits.labels[:1000]
    for _ in range(120):
        descent.zero_grad()
        torch.nn.functional.cross_entropy(made(images), labels).backward()
        descent.step()
    return made.eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page of three networks, and these networks as it carries them."""
    test = it.load_data("mnist-5k").test
    given = {
        "sigmoid": network((784, 20, 10), "sigmoid", 0),
        "softmax": network((784, 10), "sigmoid", 1),
        HOSTILE: network((784, 12, 8, 10), "relu", 2),
        "tanh": network((784, 8, 10), "tanh", 3),
    }
    inside = {name: rounded(name, model, 784) for name, model in given.items()}
    dense = [carried(name, model, test.images, test.labels) for name, model in inside.items()]
    page = tmp_path_factory.mktemp("page") / "page.html"
    draw_page(dense, test.images[:12], test.labels[:12], page)
    return page, inside


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    opened = Chromium(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def page(window, made):
    """Freshly opened; it must not complain, ask for anything, or take a name for markup."""
    window.open(made[0])
    yield window
    assert not window.complaints
    assert set(window.requests) == {made[0].as_uri()}
    assert window.run("document.images.length") == 0


def text(page, place: str) -> str:
    return str(page.run(f"document.getElementById({json.dumps(place)}).textContent"))


def found_in(page, place: int, digits: int, targets: list[int]) -> list[float]:
    return list(
        page.run(
            f"Array.from({json.dumps(targets)}, (target, k) => "
            f"answerOf(searchPaper(networks[{place}], digits[k].image, target)).distortion)"
        )
    )[:digits]


def test_distances_are_those_of_the_library(page, made) -> None:
    test = it.load_data("mnist-5k").test
    images, labels = test.images[:12], test.labels[:12]
    targets = (labels + 1 + torch.arange(12) % 9) % 10
    same = 0
    for place, (name, model) in enumerate(made[1].items()):
        if name == HOSTILE:
            continue  # on kinks a search goes another way for every rounding
        ours = it.minimum_distortion(model, images, labels, targets=targets, method="paper")
        theirs = torch.tensor(found_in(page, place, 12, targets.tolist()))
        same += int(((theirs / ours.distortion - 1).abs() <= 0.01).sum())
    assert same >= 33  # of 36: rounding otherwise, a search may end in another minimum


def test_losses_and_gradients_are_torchs(page, made) -> None:
    image = it.load_data("mnist-5k").test.images[:1].double()
    for place, (name, model) in enumerate(made[1].items()):
        told = page.run(
            f"(({{loss, gradient}}) => [loss, Array.from(gradient)])"
            f"(networks[{place}].evaluate(digits[0].image, 4))"
        )
        pixels = ((image * 255).round() / 255).requires_grad_()
        exact = copy.deepcopy(model).double()
        loss = torch.nn.functional.cross_entropy(exact(pixels), torch.tensor([4]))
        (gradient,) = torch.autograd.grad(loss, pixels)
        assert told[0] == pytest.approx(loss.item(), rel=1e-9), name
        assert told[1] == pytest.approx(gradient.flatten().tolist(), rel=1e-6, abs=1e-12), name


def test_the_optimum_of_a_softmax_network_is_proved_as_the_library_proves_it(page, made) -> None:
    test = it.load_data("mnist-5k").test
    images, labels = test.images[:12], test.labels[:12]
    targets = (labels + 3) % 10
    best = it.minimum_distortion(made[1]["softmax"], images, labels, targets=targets)
    assert bool((best.gap < 1e-3).all())
    told = page.run(
        f"Array.from({json.dumps(targets.tolist())}, (target, k) => {{"
        " const {z, bound} = nearestAffine(networks[1], digits[k].image, target);"
        " return [distortion(z, digits[k].image) * 28, bound]; })"
    )
    for (reached, bound), true in zip(told, (best.distortion * 28).tolist(), strict=True):
        assert reached == pytest.approx(true, rel=1e-3)
        assert true * (1 - 1e-3) <= bound <= true * (1 + 1e-5)


def test_a_certified_ball_is_the_librarys(page, made) -> None:
    test = it.load_data("mnist-5k").test
    for place, (name, model) in enumerate(made[1].items()):
        says = model(test.images[:12]).argmax(1)
        ours = it.certify(model, test.images[:12], says, local=False).radius
        theirs = torch.tensor(
            page.run(f"digits.map(({{image}}) => certifiedRadius(networks[{place}], image))")
        )
        assert theirs == pytest.approx(ours, rel=1e-3, abs=1e-5), name


def test_a_search_is_shown_told_and_played(page) -> None:
    page.click("#search")
    page.wait("state.answer")
    assert "makes sigmoid read the" in text(page, "said")
    assert page.run("document.querySelectorAll('#classes td').length") == 9
    assert page.run("document.querySelectorAll('#charts svg').length") == 3
    assert page.run("networks[0].predict(state.answer.z) === state.answer.target")
    end = page.run("Number(document.getElementById('pass').max)")
    assert page.run("Number(document.getElementById('pass').value)") == end > 5
    page.choose("#pass", "0")
    assert text(page, "after-said") == text(page, "before-said")
    page.click("#play")
    page.wait(f"Number(document.getElementById('pass').value) === {end}")
    assert text(page, "after-said") == f"read as {page.run('state.answer.target')}"


def test_what_was_found_goes_with_what_was_asked(page) -> None:
    page.click("#search")
    page.wait("state.answer")
    page.choose("#network", "1")
    assert page.run("state.answer") is None
    assert text(page, "said") == "Press Search."
    page.choose("#goal", "7")
    page.click("#search")
    page.wait("state.answer")
    assert page.run("state.answer.target") == 7
    assert "convex program" in text(page, "proof-said")
    assert page.run("document.querySelectorAll('#line .now').length") == 1


def test_lengths_and_noise(page) -> None:
    page.click("#search")
    page.wait("state.answer")
    page.choose("#scale", "3")
    assert text(page, "scale-said").startswith("× 3.00")
    lines = page.run("[...document.querySelectorAll('#others tr')].map(r => r.textContent)")
    assert len(lines) == 5
    assert HOSTILE in lines[3]
    noise = page.see("#noise")
    page.click("#again")
    assert (page.see("#noise") != noise).any()
    length, wanted = page.run(
        "(() => { const {image} = state; const n = noisy(image, 2.5, 3);"
        " return [distortion(n, image) * 28, 2.5]; })()"
    )
    assert length == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("start", ["noise", "grey"])
def test_images_of_nothing(page, start) -> None:
    page.choose("#network", "1")
    page.choose("#fool-start", start)
    for goal in "38":
        page.choose("#fool-goal", goal)
        page.click("#fool-go")
        assert f"sure of a {goal}" in text(page, "nothing-said")
    assert page.run("nonsense(networks[1], 3, 'noise', 9).share") >= 0.99


def test_a_digit_is_drawn_by_pointer_and_by_keys(page) -> None:
    page.click("#clear")
    assert page.run("state.image.every((value) => value === 0)")
    page.click("#pad")
    dark = page.run("state.image.reduce((a, b) => a + b, 0)")
    assert dark > 2
    page.run("document.getElementById('pad').focus()")
    for key in ("ArrowLeft", "ArrowLeft", " ", "ArrowDown", "ArrowDown", "ArrowDown"):
        page.press(key)
    assert page.run("state.image.reduce((a, b) => a + b, 0)") > dark + 2
    page.press("Delete")
    assert page.run("state.image.every((value) => value === 0)")
    page.click("#another")
    assert page.run("state.image === digits[1].image")


def test_the_lesson_leads_through_six_steps(page) -> None:
    page.click("#lesson-start")
    for number in range(1, 7):
        page.wait("document.querySelector('.pointed')")
        assert text(page, "lesson-number") == f"Step {number} of 6"
        assert page.run("document.activeElement.id") == "lesson-title"
        page.run("document.querySelector('.pointed').classList.remove('pointed')")
        page.click("#lesson-next")
    page.wait("document.getElementById('lesson').hidden")
    assert page.run("document.activeElement.id") == "lesson-start"


def test_everything_has_a_name_for_those_who_do_not_see_it(page) -> None:
    page.click("#search")
    page.wait("state.answer")
    unnamed = page.run(
        "[...document.querySelectorAll('canvas[role=img], svg, [role=img], select, input, button')]"
        ".filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim()))"
        ".map(e => e.id || e.outerHTML.slice(0, 60))"
    )
    assert unnamed in ([], ["nothing"])  # of which there is no picture yet


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("missing.safetensors",), "there is no file"),
        (("{net}", "--out", "page.txt"), "must end in .html"),
        (("{net}", "--digits", "0"), "from 1 to 200"),
        (("{net}", "--data", "digits"), "takes 784 pixels"),
        (("{conv}",), "fully connected networks only"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, monkeypatch, capsys, words, told) -> None:
    monkeypatch.chdir(tmp_path)
    paths = {"net": tmp_path / "net.safetensors", "conv": tmp_path / "conv.py"}
    save_model(paths["net"], FullyConnected((784, 10)), "fc10")
    paths["conv"].write_text(
        "import torch\ndef build():\n    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 28),"
        " torch.nn.Flatten(), torch.nn.Linear(2, 10))\n"
    )
    words = [word.format(net=paths["net"], conv=f"{paths['conv']}:build") for word in words]
    assert main(["playground", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.glob("*.html"))


def test_the_verb_writes_a_page(tmp_path, capsys) -> None:
    save_model(tmp_path / "net.safetensors", network((784, 10), "sigmoid", 0), "fc10")
    page = tmp_path / "page.html"
    assert main(["playground", str(tmp_path / "net.safetensors"), "--out", str(page)]) == 0
    assert "open it in a browser" in capsys.readouterr().out
    assert 5e4 < page.stat().st_size < 3e6
