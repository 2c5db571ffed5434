"""Controls of the paper's tables and of the study of hardening: each is of what it names.

Each test here is there because the package could be changed for the worse in one line and no other
test saw it; `benchmarks/mutations.toml` has the lines.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from intriguing import ImageSet, load_data
from intriguing.data.png import write_png
from intriguing.estimates import Rows
from intriguing.measures import distortion
from intriguing.paper import blind_spots, tables
from intriguing.paper.hardening import judging
from intriguing.paper.hardening import measured as study_rows
from intriguing.paper.hardening.config import HardeningConfig, trials
from intriguing.paper.hardening.regimes import REGIMES
from intriguing.results.measured import Condition, Metric
from intriguing.results.published import published_claims
from intriguing.runs import targeted
from tests.shown import laid_out
from tests.soundness.controls import Spied, attacked, means

# The paper's tables.


def test_tables_1_and_4_are_of_the_images_and_sizes_that_they_name(tmp_path):
    data = load_data("digits")
    train, test = data.train.first(50), data.test.first(40)
    net = Spied(means())
    made = attacked(test, test.images + 0.02, torch.ones(40, dtype=torch.bool), tmp_path / "one")
    sets = {"train": train, "test": test}
    rows = tables.summary("table1", {"n": net}, sets, {"n": made}, "train", 0)
    one = {(c.row, c.column): c for c in laid_out(rows)}
    with torch.no_grad():
        for column, images in (("Training error", train), ("Test error", test)):
            wrong = int((net.inner(images.images).argmax(1) != images.labels).sum())
            assert (one["n", column].count, one["n", column].total) == (wrong, len(images))
    assert one["n", "Av. min. distortion"].value == pytest.approx(0.02, rel=1e-4)
    four = laid_out(
        tables.across(
            Rows("table4"),
            {"n": net},
            test,
            {"n": made},
            tables.TABLE4,
            torch.Generator().manual_seed(0),
        )
    )
    sizes = {cell.row: cell.value for cell in four if cell.metric is Metric.MEAN_DISTORTION}
    assert sizes == {
        "Distorted for n": pytest.approx(0.02, rel=1e-4),
        "Distorted for n amplified to stddev=0.1": pytest.approx(0.1, rel=1e-4),
        "Gaussian noise with stddev=0.06": pytest.approx(0.06, rel=0.05),
        "Gaussian noise with stddev=0.1": pytest.approx(0.1, rel=0.05),
    }
    assert {cell.size for cell in four if cell.condition is Condition.NOISE} == {0.06, 0.1}


def test_figure_5_is_the_mean_of_every_image_found_and_classifies_its_files(tmp_path, monkeypatch):
    images = load_data("digits").test.first(6)
    moved = torch.tensor([0.01, 0.02, 0.03, 0.04, 0.5, 0.6]).view(-1, 1, 1, 1)
    found = torch.tensor([True, True, True, True, True, False])
    far = ((images.images + moved).clamp(0, 1) * 255).round() / 255
    made = attacked(images, far, found, tmp_path / "shards")
    monkeypatch.setattr(targeted, "attack_in_shards", lambda *_, **__: made)
    fives = targeted.make_target(means(), images, tmp_path, target=4)
    sizes = distortion(images.images, far)[found].double()
    cells = {cell.column: cell for cell in laid_out(targeted.target_rows("net", fives))}
    assert cells["Mean distortion"].value == pytest.approx(float(sizes.mean()))
    assert (cells["Mean distortion"].count, cells["Mean distortion"].total) == (5, 6)
    assert cells["Median distortion"].value == pytest.approx(float(sizes.median()))
    with torch.no_grad():
        says = torch.where(found, means()(far).argmax(1), -1)
    assert fives.says.tolist() == says.tolist()
    assert fives.again.tolist() == (says == 4).tolist()
    for file in (tmp_path / "pictures").rglob("*.png"):
        write_png(file, torch.zeros(1, 8, 8))
    assert cells["Still so as PNG files"].count == int((says == 4).sum())


def test_figure_6_shows_noise_of_the_examples_size_and_only_cars_that_are_known(tmp_path):
    generator = torch.Generator().manual_seed(0)
    x = 0.5 + 0.02 * torch.randn(12, 3, 4, 4, generator=generator)
    images = ImageSet("cars", x, torch.ones(12).long(), tuple(map(str, range(12))), ("no", "car"))

    class Knows(nn.Module):
        """A car is what is brighter than so much on average; the first few never are."""

        def __init__(self, blind: int) -> None:
            super().__init__()
            self.register_parameter("level", nn.Parameter(x.mean((1, 2, 3)).sort().values[blind]))

        def forward(self, seen: Tensor) -> Tensor:
            """Logits."""
            bright = seen.mean((1, 2, 3)) - self.level
            return torch.stack((-bright, bright), 1)

    models = {"one": Spied(Knows(0)), "two": Spied(Knows(5))}
    found = torch.ones(12, dtype=torch.bool)
    made = {n: attacked(images, x - 0.1, found, tmp_path / n) for n in models}
    cells = {(c.row, c.column): c for c in laid_out(blind_spots.transfer(models, made, 0))}
    with torch.no_grad():
        known = {n: int((m.inner(x).argmax(1) == 1).sum()) for n, m in models.items()}
    assert 0 < known["two"] < known["one"] <= 12
    for source in models:
        for judge in models:
            assert cells[source, judge].total == known[judge]
            assert cells[source, judge].count == known[judge]
            noise = cells[f"{source}, noise instead", judge]
            assert noise.total == known[judge]
            assert (noise.condition, noise.size) == ("noise", pytest.approx(0.1, rel=1e-4))
    with torch.no_grad():
        kept = models["two"].inner(x).argmax(1) == 1
    apart = [seen - x[kept] for seen in models["two"].shown(int(kept.sum()))]
    lengths = [float(r.square().mean().sqrt()) for r in apart]
    noisy = [size for size, r in zip(lengths, apart, strict=True) if float(r.std()) > 0.05]
    assert len(noisy) == 2
    assert noisy == pytest.approx([0.1, 0.1], rel=0.15)


# The study of hardening.


def test_every_family_is_trained_as_it_is_called():
    known = {family.slug: family for family in REGIMES}
    assert list(known) == [
        "weight-decay", "dropout", "pool-input", "pools-joint", "penalty", "pools-alternating",
        "noise", "pool-1", "pool-2", "pool-penalty", "penalty-chosen",
    ]  # fmt: skip
    every = ("input", "1", "2")
    places = {
        "pool-input": ("input",), "pools-joint": every, "pools-alternating": every,
        "noise": ("input",), "pool-1": ("1",), "pool-2": ("2",), "pool-penalty": ("input",),
    }  # fmt: skip
    for slug, family in known.items():
        assert tuple(place.layer for place in family.places) == places.get(slug, ())
        penalised = ("penalty", "pool-penalty", "penalty-chosen")
        assert (family.penalty > 0) == (slug in penalised)
        assert (family.pools.search == "gaussian") == (slug == "noise")
        assert (family.pools.scheme == "joint") == (slug == "pools-joint")
        dropped = family.schedule.input_dropout + family.schedule.dropout
        assert (dropped > 0) == (slug == "dropout")
    # The control differs from what it is a control of by the direction of r alone.
    assert replace(known["noise"].pools, search="steps") == known["pool-input"].pools
    assert known["noise"].places == known["pool-input"].places
    assert known["noise"].decay == known["pool-input"].decay
    # What the sentence on the penalty is judged at differs from the baseline by the penalty alone.
    plain = known["weight-decay"]
    assert replace(known["penalty-chosen"], name=plain.name, slug=plain.slug, penalty=0.0) == plain


def test_every_claim_compares_what_its_sentence_names():
    slugs = {family.name: family.slug for family in REGIMES}
    said = {
        claim.sentence: (slugs[claim.better], slugs.get(str(claim.worse), claim.worse))
        for claim in published_claims()
    }
    assert list(said.values()) == [
        ("weight-decay", 1.7), ("dropout", "weight-decay"), ("dropout", 1.4),
        ("pools-alternating", 1.2), ("pools-joint", 1.2), ("pools-alternating", "weight-decay"),
        ("pools-alternating", "dropout"), ("pools-alternating", "pool-input"),
        ("pools-joint", "pool-input"), ("pool-input", "weight-decay"), ("pool-input", "noise"),
        ("pool-2", "pool-1"), ("pool-2", "pool-input"),
        ("penalty-chosen", "weight-decay"),
    ]  # fmt: skip
    for words, pair in (
        ("second hidden before first", ("pool-2", "pool-1")),
        ("adversarial, not merely noisy", ("pool-input", "noise")),
        ("Dropout improves", ("dropout", "weight-decay")),
    ):
        assert [p for sentence, p in said.items() if words in sentence] == [pair]


@pytest.fixture
def trial():
    return next(iter(trials(HardeningConfig("smoke"))))


def test_the_check_for_masking_goes_all_the_way_and_beside_noise_of_that_length(trial, tmp_path):
    """What an example made for another network shows at four fifths of the own one's length."""
    x = torch.full((5, 1, 8, 8), 0.5)
    images = ImageSet("grey", x, torch.zeros(5).long(), tuple("abcde"), ("no", "yes"))
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval()
    way = torch.zeros(64)
    way[0] = 1.0
    net[1].weight.data.copy_(torch.stack((-way, way)))
    net[1].bias.data.copy_(torch.tensor([0.66, -0.66]))  # class 1 where the first pixel is > 0.66
    spied = Spied(net)
    found = torch.ones(5, dtype=torch.bool)
    other = torch.zeros(1, 1, 8, 8)
    other[0, 0, 5, 5] = 0.2  # another way, and farther: nothing shorter was found
    own = attacked(images, x + other, found, tmp_path / "own")
    theirs = attacked(images, x + 0.3 * way.view(1, 1, 8, 8), found, tmp_path / "theirs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "preflight", lambda *_: ())
        assert judging.masking(spied, images, own, theirs, 0).transferred == 1.0
    shown = [(seen - x).flatten(1).norm(dim=1) for seen in spied.shown(5)]
    assert max(float(length.max()) for length in shown if float(length.std()) < 1e-6) == (
        pytest.approx(0.999 * 0.2, rel=1e-4)
    )
    noisy = torch.cat([length for length in shown if float(length.std()) > 1e-4])
    assert float(noisy.square().mean().sqrt()) == pytest.approx(0.2, rel=0.05)
    near = attacked(images, x + 0.1 * other, found, tmp_path / "near")
    assert judging.masking(spied, images, near, theirs, 0).transferred == 0.0


def test_ratios_are_over_the_plain_network(trial):
    def judged(slug: str, far: float, safe: float) -> study_rows.Measured:
        (regime,) = [one for one in REGIMES if one.slug == slug]
        told = replace(trial, regime=regime, of=slug)
        return study_rows.Measured(told, 2, 100, torch.full((5,), far), torch.full((5,), safe))

    both = [judged("weight-decay", 0.1, 0.2), judged("pool-input", 0.3, 0.5)]
    cells = {
        (c.row, c.column): c.value
        for c in laid_out(study_rows.measurements(both, {"weight-decay": 1.0}))
        if c.analysis == "hardening"
    }
    assert cells["Input pool", "Distortion over plain"] == pytest.approx(3.0)
    assert cells["Input pool", "Radius over plain"] == pytest.approx(2.5)
    assert cells["Input pool", "Median distortion"] == pytest.approx(0.3)
    assert cells["Weight decay", "Distortion over plain"] == 1
