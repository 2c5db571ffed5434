"""Controls of an audit: noise of the right size, whole counts, honest medians.

Each test here is there because the package could be changed for the worse in one line and no other
test saw it; `benchmarks/mutations.toml` has the lines.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from intriguing import AuditConfig, ImageSet, load_data, run_audit
from intriguing.audit.noise import half_at, noise_curve
from intriguing.measures import distortion
from intriguing.report.contents import read_contents
from intriguing.report.curves import Line, accuracy
from intriguing.report.findings import findings
from intriguing.report.layouts import gather
from intriguing.report.lengths import Lengths
from intriguing.report.tables import to_csv, to_latex, to_terminal
from intriguing.results.measured import Condition, Measurement, Metric, where
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.rows import ImageRow
from tests.shown import shown
from tests.soundness.controls import Spied, linear, means

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
