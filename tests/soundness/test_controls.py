"""The controls that make a number mean something: equal noise, whole counts, honest tables.

Each test here is there because the package could be changed for the worse in one line and no other
test saw it; `benchmarks/mutations.toml` has the lines.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from intriguing import AuditConfig, ImageSet, gaussian_noise, load_data, run_audit
from intriguing.audit.noise import half_at, noise_curve
from intriguing.data.png import write_png
from intriguing.distortion import minimum
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.result import Found, Status
from intriguing.errors import UnsoundBound
from intriguing.estimates import Rows
from intriguing.measures import distortion
from intriguing.paper import blind_spots, figures1to4, tables
from intriguing.paper.config import ReproduceConfig
from intriguing.paper.hardening import judging
from intriguing.paper.hardening import measured as study_rows
from intriguing.paper.hardening.config import HardeningConfig, trials
from intriguing.paper.hardening.regimes import REGIMES
from intriguing.paper.materials import Materials
from intriguing.report.contents import read_contents
from intriguing.report.curves import Line, accuracy
from intriguing.report.findings import findings
from intriguing.report.layouts import gather
from intriguing.report.lengths import Lengths
from intriguing.report.tables import to_csv, to_latex, to_terminal
from intriguing.results.measured import Condition, Measurement, Metric, where
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.published import published_claims
from intriguing.results.rows import CertificateRow, CoherenceRow, ImageRow, TopRow
from intriguing.runs import certifying, targeted
from intriguing.runs.run import Run
from intriguing.runs.stage import Network
from intriguing.runs.study import Study, prepare
from intriguing.runs.units import Ranking
from intriguing.scale.attack import Attacked
from intriguing.scale.shards import run_in_shards
from intriguing.spectral.certificates.certificate import Certificates, Certifier
from intriguing.spectral.certificates.sandwich import Sandwich
from intriguing.units.receptive_field import receptive_field
from tests.shown import laid_out, shown


class Spied(nn.Module):
    """A network that keeps what it is shown."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.eval()
        self._shown: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the inner network."""
        if type(x) is Tensor:  # and nothing that only traces
            self._shown.append(x.detach().clone())
        return self.inner(x)

    def shown(self, count: int) -> list[Tensor]:
        """What it was shown of so many images at once, in order; without what fills a group up."""
        return [
            x[:count] for x in self._shown
            if len(x) >= count and torch.equal(x[count:], x[:1].expand_as(x[count:]))
        ]  # fmt: skip


def linear(seed: int, features: int = 64, classes: int = 10) -> nn.Module:
    """Flatten and multiply."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(features, classes)).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    return net


def means(scale: float = 3.0) -> nn.Module:
    """A linear classifier of the digits: the nearest mean."""
    train = load_data("digits").train
    x = train.images.flatten(1)
    middle = torch.stack([x[train.labels == label].mean(0) for label in range(10)])
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    net[1].weight.data.copy_(scale * middle)
    net[1].bias.data.copy_(-scale / 2 * middle.square().sum(1))
    return net


def attacked(images: ImageSet, adversarial: Tensor, found: Tensor, folder: Path) -> Attacked:
    """An attack on images that ended with these."""
    sizes = torch.where(found, distortion(images.images, adversarial), torch.inf)
    columns = {
        "adversarial": adversarial, "distortion": sizes, "success": found,
        "l2": sizes * math.sqrt(images.images[0].numel()),
        "status": torch.where(found, int(Status.FOUND), int(Status.NOT_FOUND)),
    }  # fmt: skip

    def compute(items: slice, report: object) -> dict[str, Tensor]:
        return {name: column[items] for name, column in columns.items()}

    return Attacked(images, run_in_shards(compute, len(images), len(images), folder, "made"))


# Noise and searches.


def test_noise_is_clipped_where_a_box_is_given_and_nowhere_else():
    x = torch.full((4, 1, 8, 8), 0.9)
    for box in (None, (0.0, 1.0), (0.8, 0.95)):
        noisy = gaussian_noise(x, 0.5, torch.Generator().manual_seed(0), box)
        free = gaussian_noise(x, 0.5, torch.Generator().manual_seed(0))
        assert torch.equal(noisy, free if box is None else free.clamp(*box))
    assert float(free.max()) > 1


@pytest.mark.parametrize(
    ("point", "levels", "stands"),
    [(0.5, None, True), (1.5, None, False), (0.95, None, False), (0.5, 2, False), (0.5, 3, True)],
)
def test_a_search_that_lies_is_not_believed(point, levels, stands, monkeypatch):
    """A pixel near 0.5, or beyond 1, is of class 1: no level of two, and no pixel."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    net[1].weight.data.copy_(torch.tensor([[1.0], [-1.0], [9.0]]))
    net[1].bias.data.copy_(torch.tensor([-0.5, 0.5, -9.5]))
    net[3].weight.data.copy_(torch.tensor([[1.0, 1.0, -1.0], [0.0, 0.0, 0.0]]))
    net[3].bias.data.copy_(torch.tensor([0.0, 0.2]))

    def search(*_: object, **__: object) -> Found:
        one = torch.ones(1, dtype=torch.long)
        curve = torch.full((1, 27), torch.inf)
        return Found(torch.tensor([[point]]), one > 0, one == 0, one > 0, one, one, curve)

    monkeypatch.setattr(minimum, "search_with", search)
    x, label = torch.tensor([[[[0.9]]]]), torch.tensor([0])
    found = minimum_distortion(net, x, label, "untargeted", "ddn", levels=levels)
    assert bool(found.success) == stands
    if levels == 2:
        assert Status(int(found.status)) is Status.LOST_ON_LATTICE


# Certificates and what is found.


def test_certificates_that_are_wrong_are_counted_everywhere():
    certified, found = torch.tensor([0.5, 0.1, 0.0, 2.0]), torch.tensor([0.4, 0.4, 0.0, 1.0])
    given = Certificates(
        certified, certified, torch.ones(4).long(), torch.zeros(4).long(), torch.ones(2, 2), "",
        True,
    )  # fmt: skip
    both = Sandwich(certified, found, given, None)  # type: ignore[arg-type]
    assert both.violations == 2
    assert both.median_ratio == pytest.approx(1.25)
    columns = {
        "certified": certified.double().numpy(), "found": found.double().numpy(),
        "predicted": np.array([0, 0, 1, 0]), "label": np.zeros(4, int), "pixels": 4,
        "seed": 0,
    }  # fmt: skip
    table = {
        (c.analysis, c.column): c
        for c in laid_out(certifying.certified_rows("net", columns, (0.3,)))
    }
    assert (table["certify", "Violations"].count, table["certify", "Violations"].total) == (2, 4)
    assert table["certify", "Clean accuracy"].count == 3
    for column, share in (("Certified", 50.0), ("Under the attack", 75.0)):
        cell = table["robust", column]
        assert (cell.value, cell.total, cell.size) == (share, 4, 0.3)


def test_an_audit_never_passes_over_a_certificate_that_is_wrong(tmp_path, monkeypatch):
    true = Certifier.certificates

    def wrong(*arguments: object, **settings: object) -> Certificates:
        made = true(*arguments, **settings)  # type: ignore[arg-type]
        return replace(made, radius=made.radius + 9)

    monkeypatch.setattr(Certifier, "certificates", wrong)
    skip = ("preflight", "noise", "spectrum", "units")
    config = AuditConfig(images=5, budget=40, semidefinite=False, skip=skip)
    with pytest.raises(UnsoundBound, match="an adversarial example lies at"):
        run_audit(means(), load_data("digits").test.first(40), tmp_path, config, report=False)


def test_an_audit_says_how_often_rounding_leads_inside_a_certificate(tmp_path):
    """Where a network rounds, an example closer than is certified of exact arithmetic is said."""

    class Rounds(nn.Module):
        """The pixels, one rounded to halves and one to quarters."""

        def __init__(self) -> None:
            super().__init__()
            self.far = nn.Parameter(torch.tensor([64.0, 32.0]).bfloat16())

        def forward(self, x: Tensor) -> Tensor:
            """Two logits."""
            return (x.flatten(1) + self.far) - self.far

    pixels = torch.tensor([[[[1.0, 0.5]]]]).repeat(8, 1, 1, 1)
    images = ImageSet("two pixels", pixels, torch.zeros(8).long(), tuple("abcdefgh"), ("0", "1"))
    skip = ("preflight", "noise", "spectrum", "units")
    config = AuditConfig(images=8, budget=2000, method="noise", skip=skip)
    audit = run_audit({"net": Rounds().eval()}, images, tmp_path, config, report=False)
    assert {r.stage: r.status for r in audit.records}["certify"] == "done"
    columns = read_columns(tmp_path, CertificateRow)
    inside = int((columns["certified"] > columns["found"]).sum())
    assert inside > 0
    (alarm,) = findings(read_contents(tmp_path)).alarms
    assert alarm.startswith(f"net: {inside} images have an example closer than certified.")


# An audit's controls.


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """Two networks that keep what they are shown, after an audit."""
    folder = tmp_path_factory.mktemp("audit")
    networks = {"a": Spied(means(3.0)), "b": Spied(linear(1))}
    with torch.no_grad():
        networks["b"].inner[1].weight.add_(networks["a"].inner[1].weight)
        networks["b"].inner[1].bias.copy_(networks["a"].inner[1].bias)
    config = AuditConfig(
        images=11, budget=60, amplified=(1.0, 3.0), target=4, target_budget=60,
        skip=("preflight", "spectrum", "certify", "units"),
    )  # fmt: skip
    run_audit(networks, load_data("digits").test.first(60), folder, config, report=False)
    measured = read_rows(folder, Measurement)
    rows = read_columns(folder, ImageRow)
    places = {name: i for i, name in enumerate(load_data("digits").test.ids)}
    first = rows["network"] == "a"
    order = torch.tensor([places[one] for one in rows["image_id"][first]])
    x = load_data("digits").test.images[order]
    sizes = {n: torch.from_numpy(rows["distortion"][rows["network"] == n].copy()) for n in "ab"}
    return folder, networks, measured, x, sizes


def test_noise_of_each_ones_size_has_exactly_that_size(audited):
    _, networks, measured, x, sizes = audited
    for name, net in networks.items():
        shown = torch.stack([distortion(x, seen) for seen in net.shown(len(x))])
        exact = ((shown - sizes[name]).abs() < 1e-5).all(1).sum()
        assert int(exact) >= 4 + 1  # four draws, and the examples themselves
        noise = where(measured, analysis="noise", network=name)
        (middle,) = where(noise, metric=Metric.MEDIAN_DISTORTION)
        (equal,) = where(noise, condition=Condition.NOISE, size=None)
        assert equal.total == 4 * len(x)
        curve = noise_curve(noise)
        assert all(of == len(x) for _, _, of in curve)
        assert [size / middle.value for size, *_ in curve] == pytest.approx(
            [1, 3, 10, 30, 100][: len(curve)]
        )


def test_half_is_where_a_line_through_the_curves_logarithms_meets_it(tmp_path, monkeypatch):
    """Noise fools where the first pixel leaves a band: at some multiple half of the images."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2), nn.ReLU(), nn.Linear(2, 2)).eval()
    for parameter in net.parameters():
        parameter.data.zero_()
    net[1].weight.data[:, 0] = torch.tensor([1.0, -1.0])
    net[1].bias.data.copy_(torch.tensor([-0.5, 0.5]))
    net[3].weight.data[1] = 9.0
    net[3].bias.data[0] = 0.9
    x = torch.full((40, 1, 8, 8), 0.5)
    x[:, 0, 0, 0] += torch.linspace(0.005, 0.03, 40)
    images = ImageSet("band", x, torch.zeros(40).long(), tuple(map(str, range(40))), ("in", "out"))
    skip = ("preflight", "target", "spectrum", "certify", "units")
    run_audit(net, images, tmp_path, AuditConfig(images=40, budget=60, skip=skip), report=False)
    noise = where(read_rows(tmp_path, Measurement), analysis="noise")
    (middle,) = where(noise, metric=Metric.MEDIAN_DISTORTION)
    assert middle.value == pytest.approx(0.0103, rel=0.05)
    curve = noise_curve(noise)
    shares = np.array([count / of for _, count, of in curve])
    log = np.log([size for size, _, _ in curve])
    end = int((shares >= 0.5).argmax())
    assert 0 < shares[end - 1] < 0.5 < shares[end]
    expected = np.exp(np.interp(0.5, shares[end - 1 : end + 1], log[end - 1 : end + 1]))
    assert half_at(curve) == pytest.approx(expected)
    (said,) = [s for s in findings(read_contents(tmp_path)).sentences if "half of the images" in s]
    assert f"at about {expected / middle.value:.0f} times the median size" in said


def test_a_transfer_stands_beside_noise_of_the_mean_and_of_each_size(audited):
    folder, networks, measured, x, sizes = audited
    means = {name: float(values.double().mean()) for name, values in sizes.items()}
    assert abs(means["a"] - means["b"]) > 0.02 * max(means.values())
    longer = where(measured, analysis="transfer", condition=Condition.AMPLIFIED)
    wanted = list(dict.fromkeys(row.size for row in longer))
    assert wanted == [float(f"{factor * max(means.values()):.2g}") for factor in (1.0, 3.0)]
    crossed = where(read_rows(folder, Measurement), analysis="transfer", condition=Condition.NOISE)
    noise = {row.size for row in crossed}
    assert sorted(noise) == pytest.approx(sorted([sum(means.values()) / 2, *wanted]))
    changes = [distortion(x, seen) for seen in networks["b"].shown(len(x))]
    equal = [s for s in changes if float(s.std()) < 1e-5 and float(s.mean()) > 0]
    for size in wanted:  # of a's and of b's examples
        assert sum(abs(float(s.mean()) - size) < 1e-5 for s in equal) == 2
    drawn = [float(s.square().mean().sqrt()) for s in changes if float(s.std()) > 1e-5]
    for size in noise:  # of 11 · 64 draws, so within a tenth
        assert any(abs(s / size - 1) < 0.1 for s in drawn)


def test_intervals_are_in_the_unit_of_their_cell(audited):
    folder, *_ = audited
    shares = [c for c in shown(folder) if c.unit == "%" and c.low is not None]
    shares = [c for c in shares if c.analysis != "transfer-net"]  # differences, by image
    assert len(shares) > 20
    for cell in shares:
        test = stats.binomtest(cell.count, cell.total)
        span = test.proportion_ci(method="wilson")
        assert cell.value == pytest.approx(100 * cell.count / cell.total)
        assert (cell.low, cell.high) == pytest.approx((100 * span.low, 100 * span.high))


def test_what_was_not_found_is_infinitely_far_in_the_median(tmp_path, monkeypatch):
    skip = ("preflight", "noise", "spectrum", "certify", "units")
    config = AuditConfig(images=12, budget=1, method="noise", skip=skip)
    run_audit(means(), load_data("digits").test.first(60), tmp_path, config, report=False)
    rows = where(read_rows(tmp_path, Measurement), analysis="attack")
    (fooled,) = where(rows, metric=Metric.FOOLED)
    assert fooled.count < fooled.total / 2
    assert not where(rows, metric=Metric.MEDIAN_DISTORTION)
    assert where(rows, metric=Metric.MEAN_DISTORTION)


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


# Units.


def test_figures_1_and_3_are_of_units_and_2_and_4_of_random_directions(monkeypatch):
    asked = []
    monkeypatch.setattr(figures1to4, "prepare", lambda study, *_: asked.append(study.bases))
    monkeypatch.setattr(figures1to4, "stages_of", lambda *_: [])
    for items in (("figure1",), ("figure2",), ("figure1", "figure2")):
        figures1to4.make_units(Materials(ReproduceConfig(items=items, scale="smoke")))
    assert asked == [("natural",), ("random",), ("natural", "random")]


def test_rows_say_what_positions_see_and_which_units_respond(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, (2, 5)), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)).eval()
    with torch.no_grad():
        net[0].bias.fill_(9.0)
        net[0].bias[2] = -99.0
    generator = torch.Generator().manual_seed(0)
    images = ImageSet(
        "wide", torch.rand(30, 1, 6, 8, generator=generator), torch.arange(30) % 3,
        tuple(map(str, range(30))), ("a", "b", "c"),
    )  # fmt: skip
    asked = prepare(Study(layers=("1",), k=3, claim=False), net, images)
    Run(tmp_path).keep(Ranking(Network("net", net), images, asked))
    tops, field = read_columns(tmp_path, TopRow), receptive_field(net, "1", (1, 6, 8))
    for row in range(len(tops["rank"])):
        box = field.box(int(tops["position"][row]))
        sides = tuple(int(tops[side][row]) for side in ("top", "left", "bottom", "right"))
        assert sides == (box.top, box.left, box.bottom, box.right)
    assert {(int(b) - int(t), int(r) - int(le)) for t, le, b, r in zip(
        tops["top"], tops["left"], tops["bottom"], tops["right"], strict=True
    )} == {(2, 5)}  # fmt: skip
    rows = read_columns(tmp_path, CoherenceRow)
    natural = rows["basis"] == "natural"
    silent = set(rows["direction"][natural & ~rows["responds"]].tolist())
    assert silent == {2}


# What is printed.


def test_the_spread_over_seeds_runs_from_the_least_to_the_greatest():
    row = Measurement("train", Metric.ERROR, "%", 2.0, 1.0, 3.0, 5, 5, images="test")
    seeds = (1.75, 1.5, 2.75, 2.0, 2.0)
    each = [replace(row, value=value, seed=seed) for seed, value in enumerate(seeds)]
    (table,) = gather([row, *each])
    assert "1.5,2.75" in to_csv(table)
    assert "[1.00--3.00]" in to_latex(table)
    assert "seeds 1.50–2.75" in str([*to_terminal(table)[0].columns[1].cells])


def test_accuracy_falls_over_all_images_also_those_never_fooled():
    line = Line(
        "net", Lengths.of(np.array([0.1, 0.2, np.inf, np.inf])), 0.8, ((0.1, 0.5), (0.3, 0.25))
    )
    figure = accuracy([line])
    falling, noise = figure.axes[0].lines
    assert falling.get_ydata() == pytest.approx([80.0, 60.0, 40.0])
    assert noise.get_ydata() == pytest.approx([40.0, 20.0])
    assert noise.get_xdata() == pytest.approx([0.1, 0.3])
    assert falling.get_xdata()[1:] == pytest.approx([0.1, 0.2])
