"""Gates on networks whose nearest examples are known."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import intriguing as it
from tests.gate.nets import PIXELS, Bent, Hiding, Plane, Steep, images_at, spread

IMAGES = images_at(spread(120))
"""At distances from .1 to 1.1 in L2: distortions of .6 at the median over the root of 36 pixels."""
QUICK = {"sample": 2, "sample_budget": 20, "budget": 40}


def gate(model: nn.Module, folder: Path, images: it.ImageSet = IMAGES, **more: object) -> it.Gate:
    baseline = more.pop("baseline", None)
    return it.run_gate(
        model, images, folder, it.GateConfig(**{**QUICK, **more}), baseline=baseline, report=False
    )  # fmt: skip


def test_it_passes_what_is_far_and_fails_what_is_near(tmp_path: Path):
    far, near = 0.3 / math.sqrt(PIXELS), 0.9 / math.sqrt(PIXELS)
    passed, failed = (gate(Plane(), tmp_path / str(t), at_least=t) for t in (far, near))
    assert (passed.ruling, failed.ruling) == ("pass", "fail")
    for ended, limit in ((passed, 0.3), (failed, 0.9)):
        true = {one: float(d) for one, d in zip(IMAGES.ids, spread(120), strict=True)}
        assert ended.verdict.images == len(ended.rows) < 60  # no more than it needs
        for row in ended.rows:
            assert (row.near == "near") == (true[row.image_id] < limit)
            assert row.found >= true[row.image_id] * (1 - 1e-4)
    assert passed.verdict.low <= 0.2 <= passed.verdict.high  # the true share of near images
    assert failed.verdict.low <= 0.8 <= failed.verdict.high


def test_what_is_nearest_on_an_affine_network_is_proved(tmp_path: Path):
    ended = gate(Plane(), tmp_path, at_least=0.05, certificates=False)
    assert ended.verdict.proved == ended.verdict.images - ended.verdict.near > 0


def test_the_order_is_random_and_the_same_from_the_same_seed(tmp_path: Path):
    first, again, other = (
        gate(Plane(), tmp_path / name, at_least=0.05, seed=seed)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert str(first.rows) == str(again.rows)
    assert [r.image_id for r in first.rows] != [r.image_id for r in other.rows]
    assert [r.image_id for r in first.rows] != sorted(r.image_id for r in first.rows)


def test_a_certificate_that_decides_saves_the_search(tmp_path: Path):
    proved, searched = (
        gate(Bent(), tmp_path / str(c), at_least=0.02, certificates=c) for c in (True, False)
    )
    by = [row for row in proved.rows if row.ended == "certificate"]
    assert proved.verdict.proved == len(by) > 0
    assert all(row.certified >= row.limit for row in by)
    whole = {row.image_id: row.forward_passes for row in searched.rows}
    assert all(row.forward_passes < whole[row.image_id] for row in by)
    assert searched.verdict.proved == 0
    assert proved.ruling == searched.ruling == "pass"
    assert [row.near for row in proved.rows] == [row.near for row in searched.rows]


def test_what_is_found_far_beyond_the_limit_ends_once_the_first_images_show_that_it_may(
    tmp_path: Path,
):
    mixed = images_at(torch.cat([torch.full((30,), 0.3), torch.full((40,), 1.1)]))
    asked = {"at_least": 0.4 / math.sqrt(PIXELS), "certificates": False}
    early, whole = (gate(Bent(), tmp_path / str(f), mixed, far=f, **asked) for f in (2.0, math.inf))
    assert [row.near for row in early.rows] == [row.near for row in whole.rows]
    ended = {row.ended for row in early.rows[16:]}
    assert ended == {"short search", "far"}
    assert {row.ended for row in early.rows[:16]} == {"short search", "search"}
    assert {row.ended for row in whole.rows} == {"short search", "search"}
    assert early.verdict.far == sum(row.ended == "far" for row in early.rows) > 0
    for row, other in zip(early.rows[16:], whole.rows[16:], strict=True):
        if row.ended == "far":  # after the first search, of half as many passes as the short one
            assert row.forward_passes <= 12 < 60 <= other.forward_passes
            assert row.first > 2 * row.limit
            assert math.isnan(row.short)
            assert not math.isnan(other.short)


class Window(Bent):
    """The same, of the corner of an image that goes through a network alone."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The logits of the corner."""
        return super().forward(images[:, :, :6, :6].contiguous())


def test_of_large_images_no_more_are_searched_to_the_end_than_teach_something(tmp_path: Path):
    small = images_at(torch.tensor([0.6, -0.6, 0.6, 0.6]).repeat(6))
    large = nn.functional.pad(small.images, (0, 124, 0, 124))
    images = it.ImageSet("large", large, small.labels, small.ids, small.class_names)
    ended = gate(Window(), tmp_path, images, at_least=0.2 / 130, budget=22, sample=1)
    right = [row.ended for row in ended.rows if row.ended != "misclassified"]
    assert right == ["search"] * 6 + ["far"] * (len(right) - 6)
    assert len(ended.rows) > len(right) > 6


def steep_images() -> it.ImageSet:
    pixels = torch.rand(50, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    ids = tuple(f"steep/{i:02d}" for i in range(50))
    return it.ImageSet("steep", pixels, Steep()(pixels).argmax(1), ids, ("a", "b", "c"))


def test_every_image_is_searched_to_the_end_where_that_comes_much_nearer(tmp_path: Path):
    ended = gate(Steep(), tmp_path, steep_images(), at_least=0.009, quantile=0.35, short=7)
    gains = [row.short / row.found for row in ended.rows if row.ended == "search"]
    assert max(gains) > 2
    assert "far" not in {row.ended for row in ended.rows}
    assert len(ended.rows) > 32


class TwoKinds(nn.Module):
    """A plane for images whose last column is black, steep sigmoids for the others."""

    def __init__(self) -> None:
        super().__init__()
        self.plane, self.steep = Bent(), Steep()
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Three logits, of which the plane's third is never the largest."""
        seen = images[..., :6].contiguous()
        plain = nn.functional.pad(self.plane(seen), (0, 1), value=-100.0)
        return torch.where(images[:, :, 0, 6] > 0.5, self.steep(seen), plain)


def two_kinds() -> it.ImageSet:
    """Images of which those of the plane come first, half of them misread; then a steep one."""
    place = torch.randperm(80, generator=torch.Generator().manual_seed(0)).argsort()  # a gate's
    plane, hidden = images_at(torch.tensor([-0.5, 0.5])), steep_images().subset(torch.tensor([20]))
    which = torch.where(place < 16, place % 2, 2)
    pixels = torch.cat([plane.images, hidden.images])[which]
    pixels = torch.cat([pixels, (which == 2).float()[:, None, None, None].expand(-1, 1, 6, 1)], 3)
    labels = torch.cat([plane.labels, hidden.labels])[which]
    return it.ImageSet(
        "kinds", pixels, labels, tuple(f"kinds/{i}" for i in range(80)), ("a", "b", "c")
    )


def test_short_searches_that_ended_too_early_give_no_pass(tmp_path: Path):
    """Ten passes find examples of the later images at 1.2 in L2, and 40 at .15."""
    asked = {"at_least": 0.2 / math.sqrt(42), "certificates": False}
    early = gate(TwoKinds(), tmp_path / "early", two_kinds(), sample=4, **asked)
    assert [row.ended for row in early.rows[16:]] == ["far"] * len(early.rows[16:]) != []
    assert {row.near for row in early.rows[16:]} == {"not near"}
    assert (early.ruling, early.verdict.refused) == ("undecided", True)
    assert "short searches that ended too early" in {flaw.what for flaw in early.flaws}
    whole = gate(TwoKinds(), tmp_path / "whole", two_kinds(), far=math.inf, **asked)
    assert {row.near for row in whole.rows[16:]} == {"near"}
    assert whole.ruling == "fail"


def test_a_search_that_has_not_come_to_its_end_gives_no_pass(tmp_path: Path):
    asked = {"at_least": 0.005, "quantile": 0.5, "short": 5}
    ended = gate(Steep(), tmp_path, steep_images(), budget=7, **asked)
    assert (ended.ruling, ended.verdict.refused) == ("undecided", True)
    assert any(flaw.decides and "35 passes" in flaw.seen for flaw in ended.flaws)
    assert gate(Steep(), tmp_path / "40", steep_images(), **asked).ruling == "pass"


def test_accuracies_found_and_proved_agree_where_both_are_exact(tmp_path: Path):
    asked = {"robust_accuracy": 0.6, "eps": 0.3}
    for certified in (False, True):
        ended = gate(Plane(), tmp_path / str(certified), certified=certified, **asked)
        assert ended.ruling == "pass"
        lower = gate(Plane(), tmp_path / f"{certified}-", certified=certified, robust_accuracy=0.9,
                     eps=0.5)  # fmt: skip
        assert lower.ruling == "fail"


def test_misclassified_images_are_at_distance_0(tmp_path: Path):
    wrong = images_at(-spread(40))
    ended = gate(Plane(), tmp_path, wrong, at_least=0.01)
    assert ended.ruling == "fail"
    assert {(row.ended, row.found) for row in ended.rows} == {("misclassified", 0.0)}


@pytest.mark.parametrize(("shift", "ruling"), [(0.0, "pass"), (0.2, "fail")])
def test_a_baseline_is_compared_image_by_image(shift: float, ruling: str, tmp_path: Path):
    """Distances of .1 to 1.1 less .2: worse by more than 5 % everywhere."""
    baseline = it.Baseline("before", Plane())
    ended = gate(Plane(shift), tmp_path, no_worse_than=0.05, baseline=baseline)
    assert ended.ruling == ruling
    for row in ended.rows:
        assert row.limit == pytest.approx(0.95 * row.baseline, rel=1e-6)


def test_what_the_baseline_misreads_cannot_become_worse(tmp_path: Path):
    mixed = images_at(torch.cat([-spread(60), spread(60)]))
    baseline = it.Baseline("before", Plane())
    ended = gate(Plane(), tmp_path, mixed, no_worse_than=0.05, baseline=baseline)
    assert ended.ruling == "pass"
    assert {row.near for row in ended.rows} == {"not near"}
    assert {"no need"} < {row.ended for row in ended.rows}


@pytest.mark.parametrize("how", ["saturated", "stochastic", "quantised"])
def test_a_network_that_hides_its_examples_never_passes(how: str, tmp_path: Path):
    ended = gate(Hiding(how), tmp_path, at_least=0.001)
    assert ended.ruling == "undecided"
    assert any(flaw.decides for flaw in ended.flaws)


def test_a_hidden_network_may_still_fail(tmp_path: Path):
    assert gate(Hiding("quantised"), tmp_path, at_least=0.9 / math.sqrt(PIXELS)).ruling == "fail"


class Blind(Plane):
    """Its gradients point along the plane, not across it; nothing else gives it away."""

    def forward(self, images):
        """The logits, whose gradient is that of something else."""
        logits = super().forward(images)
        slope = images.flatten(1)[:, 0] - images.flatten(1)[:, 1]
        false = torch.stack([-slope, slope], 1)
        return logits.detach() + false - false.detach()


def test_examples_of_another_network_show_what_gradients_hide(tmp_path: Path):
    far = images_at(spread(40, 0.8, 1.1))
    config = it.GateConfig(at_least=0.05, **QUICK)
    alone = it.run_gate(Blind(), far, tmp_path / "a", config, report=False)
    shown = it.run_gate(
        Blind(), far, tmp_path / "b", config, surrogates={"other": Plane()}, report=False
    )
    assert alone.ruling != "pass"
    assert any("other" in flaw.seen for flaw in shown.flaws)


def test_an_interrupted_gate_goes_on_where_it_was(tmp_path: Path):
    middle = images_at(spread(400, 0.5, 0.75))

    class Counting(Plane):
        calls, stop_at = 0, 10**9

        def forward(self, images):
            """The logits, as long as nobody pulls the plug."""
            type(self).calls += 1
            if self.calls > self.stop_at:
                raise KeyboardInterrupt
            return super().forward(images)

    def ask() -> it.Gate:
        return gate(Counting(), tmp_path / "resumed", middle, at_least=0.61 / math.sqrt(PIXELS))

    whole = gate(Counting(), tmp_path / "whole", middle, at_least=0.61 / math.sqrt(PIXELS))
    Counting.stop_at = Counting.calls * 3 // 2  # half way through the next
    with pytest.raises(KeyboardInterrupt):
        ask()
    Counting.stop_at = 10**9
    resumed = ask()
    assert (resumed.ruling, str(resumed.rows)) == (whole.ruling, str(whole.rows))
    before = Counting.calls
    assert str(ask().rows) == str(whole.rows)
    assert Counting.calls - before < 20  # only whether it still is a classifier


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "ask one thing"),
        ({"at_least": 0.1, "no_worse_than": 0.05}, "ask one thing"),
        ({"robust_accuracy": 0.8}, "belong together"),
        ({"at_least": -1.0}, "above 0"),
        ({"at_least": 0.1, "quantile": 1.0}, "below 1"),
        ({"at_least": 0.1, "short": 300}, "no more than the other"),
        ({"at_least": 0.1, "certified": True}, "about an accuracy"),
        ({"at_least": 0.1, "far": 0.5}, "give 1 or more, or inf"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(asked: dict[str, float], words: str):
    with pytest.raises(it.InputError, match=words):
        it.GateConfig(**asked)


def test_a_baseline_and_a_margin_belong_together(tmp_path: Path):
    with pytest.raises(it.InputError, match="belong together"):
        gate(Plane(), tmp_path, no_worse_than=0.05)


class Deaf(Plane):
    """Class 1, whatever the image."""

    def forward(self, images):
        """The logits 0 and 3, which nothing changes."""
        return 0 * super().forward(images) + torch.tensor([0.0, 3.0])


def test_a_search_that_finds_nothing_anywhere_says_nothing(tmp_path: Path):
    ended = gate(Deaf(), tmp_path, at_least=0.05, certificates=False)
    assert ended.ruling == "undecided"
    assert {(row.near, row.status) for row in ended.rows} == {("unknown", "NOT_FOUND")}
    assert ended.verdict.images < 40  # it does not go on in vain
