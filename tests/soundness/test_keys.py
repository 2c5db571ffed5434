"""What is kept answers only for what it was made of: every setting, weight and image counts."""

import copy
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import intriguing
from intriguing import AuditConfig, ImageSet, load_data, run_audit
from intriguing.audit.stages import STAGES
from intriguing.hardening.config import PoolConfig
from intriguing.hardening.places import Place
from intriguing.keys import counted, derive_key
from intriguing.measures import Box
from intriguing.models.schedule import Schedule
from intriguing.paper.hardening.regimes import REGIMES, Regime
from intriguing.paper.networks import MNIST_NETWORKS
from intriguing.results.audit import read_audit
from intriguing.results.measured import Condition, Measurement, Metric, where
from intriguing.results.parquet import read_rows
from intriguing.results.rows import ClaimRow, LayerRow
from intriguing.runs.stage import Stage
from intriguing.scale.attack import attack_in_shards
from intriguing.scale.shards import run_in_shards
from intriguing.training.lbfgs import LBFGSConfig
from intriguing.training.quocnet import PLANS
from intriguing.training.recipe import Recipe
from intriguing.training.steps import Steps

NAMES = ("Config", "Recipe", "Schedule", "Study", "Plan", "Steps", "Sparsity", "Place", "Regime",
         "Search", "Scale", "Asked", "Box", "Job", "Trial", "Subject")  # fmt: skip

LEFT_OUT = {
    "Recipe": {"name", "slug"}, "Regime": {"name", "slug", "curve"}, "Steps": {"every"},
    "Examples": {"shard_size"}, "OneMethod": {"shard_size"},
    "Accuracy": {"batch_size"}, "Noise": {"batch_size"}, "Target": {"shard_size"},
    "Proved": {"shard_size"}, "Verdict": {"class_names"},
    "Judge": {"batches"}, "Right": {"batches"}, "Said": {"batch_size"},
    "QuocNetTraining": {"patches", "engine"},
}  # fmt: skip
"""Names, times, and what is at once in memory or between two saves; whoever adds to these says
here that it decides nothing."""

EXTRAS = {"intriguing.scale.on_ray": "ray"}
"""What is read only where an extra is installed."""


def configurations() -> list[type]:
    """Every stage that can be made, and every dataclass named as what is asked for."""
    found = set()
    for module in pkgutil.walk_packages(intriguing.__path__, "intriguing."):
        extra = EXTRAS.get(module.name)
        if module.name.endswith("__main__") or (extra and importlib.util.find_spec(extra) is None):
            continue
        for one in vars(importlib.import_module(module.name)).values():
            if isinstance(one, type) and is_dataclass(one) and one.__module__ == module.name:
                found.add(one)
    made = (c for c in found if not inspect.isabstract(c))
    asked = (c for c in made if c.__name__.endswith(NAMES) or issubclass(c, Stage))
    return sorted(asked, key=lambda c: c.__qualname__)


def bare(kind: type, **values: Any) -> Any:
    """An instance with any values: what a value may be is not asked here."""
    one = object.__new__(kind)
    for field in fields(kind):
        object.__setattr__(one, field.name, values.get(field.name, 1))
    return one


@pytest.mark.parametrize("kind", configurations(), ids=lambda kind: kind.__qualname__)
def test_a_change_of_any_field_of_any_configuration_is_another_key(kind):
    before = derive_key(bare(kind))
    ignored = {
        field.name for field in fields(kind)
        if derive_key(bare(kind, **{field.name: 2})) == before
    }  # fmt: skip
    assert ignored == LEFT_OUT.get(kind.__name__, set())


def test_a_field_that_is_added_is_in_the_key():
    @dataclass(frozen=True)
    class Asked(Schedule):
        forgotten: int = 0

    assert derive_key(Asked(3, 0.1)) != derive_key(Asked(3, 0.1, forgotten=1))


def test_all_that_differs_has_another_key():
    values: list[Any] = [
        None, False, True, 0, 1, 1.0, -0.0, 0.0, "1", b"1", "", (), (1,), (1, 1), ((1,), 1), {},
        {"a": 1}, {"a": 1, "b": 1}, {"b": 1, "a": 1}, {"a": 2}, Path("a"), "a", torch.float32,
        torch.float64, torch.zeros(2), torch.zeros(2, 1), torch.zeros(2).double(), torch.ones(2),
        Box(0.0, 1.0), Box(0.0, 2.0), PoolConfig(), PoolConfig(start=4), Place(), LBFGSConfig(),
    ]  # fmt: skip
    assert len({derive_key(value) for value in values}) == len(values)
    assert derive_key(np.zeros(2, np.float32)) == derive_key(torch.zeros(2))
    with pytest.raises(TypeError, match="no value"):
        derive_key(print)


def test_trainings_differ_by_what_decides_their_weights_and_by_nothing_else():
    recipe = MNIST_NETWORKS[0]
    assert derive_key(recipe) == derive_key(replace(recipe, name="x", slug="y"))
    assert len({derive_key(one) for one in MNIST_NETWORKS}) == len(MNIST_NETWORKS)
    assert len({derive_key(one) for one in REGIMES}) == len(REGIMES)
    assert isinstance(recipe, Recipe)
    assert isinstance(REGIMES[0], Regime)
    plan = PLANS["quocnet-tiny"]
    assert derive_key(plan) != derive_key(replace(plan, asymmetric=True))
    assert derive_key(Steps(5, every=2)) == derive_key(Steps(5, every=3))


class Scaled(nn.Module):
    """A linear network with a setting that is no weight."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = nn.Linear(4, 3), factor
        self.table = torch.ones(3)
        with torch.no_grad():
            self.inner.weight.copy_(torch.arange(12.0).view(3, 4))
            self.inner.bias.zero_()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.factor * self.inner(x) * self.table


class Turned(Scaled):
    """The same with another forward."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return -self.factor * self.inner(x) * self.table


def networks() -> Iterator[nn.Module]:
    """Networks of which many have the same weights."""
    yield Scaled(1.0)
    yield Scaled(2.0)
    yield Turned(1.0)
    other = Scaled(1.0)
    other.table[1] = 2.0
    yield other
    weighed = Scaled(1.0)
    weighed.inner.bias.data[0] = 1e-6
    yield weighed
    for after in (nn.ReLU(), nn.Tanh(), nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)):
        net = nn.Sequential(nn.Linear(4, 3), after).eval()
        net[0].load_state_dict(Scaled(1.0).inner.state_dict())
        yield net


def test_networks_of_the_same_weights_that_compute_otherwise_have_other_keys():
    every = list(networks())
    assert len({derive_key(net) for net in every}) == len(every)
    for net in every:
        assert derive_key(net) == derive_key(copy.deepcopy(net))


def test_an_edited_forward_is_another_network(tmp_path):
    """The same class of the same file, before and after a line of it was changed."""
    keys = []
    for sign in ("", "-", ""):
        (tmp_path / f"{len(keys)}").mkdir()
        file = tmp_path / f"{len(keys)}" / "mine.py"
        file.write_text(
            "from torch import nn\n\nclass Net(nn.Module):\n    def forward(self, x):\n"
            f"        return {sign}x.flatten(1)\n"
        )
        spec = importlib.util.spec_from_file_location("mine", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        keys.append(derive_key(module.Net().eval()))
    assert keys[0] == keys[2] != keys[1]


def test_what_names_an_image_set_does_not_stand_for_its_images():
    images = load_data("digits").test.first(4)
    assert derive_key(images) != derive_key(replace(images, ids=("a", "b", "c", "d")))
    assert derive_key(images) != derive_key(replace(images, images=images.images.flip(0)))
    assert derive_key(images) != derive_key(replace(images, labels=images.labels.flip(0)))


def tiny(images: int = 6) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    return ImageSet(
        "rand", torch.rand(images, 1, 2, 2, generator=generator), torch.zeros(images).long(),
        tuple(map(str, range(images))), ("a", "b", "c"),
    )  # fmt: skip


class Flat(nn.Module):
    """Any network of vectors, of images."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.inner(x.flatten(1))


def test_shards_of_another_question_are_never_read(tmp_path):
    """In one folder the plain question, then another: it answers as in a folder of its own."""
    targets = torch.full((6,), 1)
    asked: list[dict[str, Any]] = [
        {"budget": 7}, {"box": Box(-1.0, 2.0)}, {"levels": 16}, {"seed": 1, "method": "fmn"},
        {"targets": torch.full((6,), 2)}, {"model": Scaled(-1.0)},
    ]  # fmt: skip
    asked.append({"images": replace(tiny(), images=tiny().images.flip(0))})
    for number, changed in enumerate(asked):
        found = []
        for folder, more in ((f"{number}", {}), (f"{number}", changed), (f"own-{number}", changed)):
            given = {
                "model": Scaled(1.0),
                "images": tiny(),
                "targets": targets,
                "budget": 20,
            } | more
            model, images, goals = (given.pop(name) for name in ("model", "images", "targets"))
            made = attack_in_shards(Flat(model), images, goals, tmp_path / folder, **given)
            found += [made.shards] if more else []
        for name in ("adversarial", "forward_passes", "targets"):
            one, other = (shards.column(name) for shards in found)
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def test_a_shard_of_other_items_is_another_shard(tmp_path):
    def count(items: slice, report: Any) -> dict[str, Tensor]:
        return {"of": torch.full((items.stop - items.start,), float(items.stop))}

    for total, size in ((4, 2), (3, 2), (4, 2), (5, 3), (5, 2)):  # the second: 2 … 4, then 3 … 5
        shards = run_in_shards(count, total, size, tmp_path, "key")
        ends = [items.stop for items in shards.slices for _ in range(items.stop - items.start)]
        assert shards.column("of").tolist() == ends


CHANGED = AuditConfig(
    images=5, budget=41, method="ddn", target=2, target_budget=43, amplified=(1.5, 3.0),
    semidefinite=False, certify_seconds=1e-6, units_on=70, rotations=21, untrained=0, seed=1,
)  # fmt: skip
FIRST = AuditConfig(
    images=6, budget=60, target=3, target_budget=60, units_on=80, rotations=19, untrained=2,
)  # fmt: skip


def trained(seed: int) -> nn.Module:
    """A network of the digits, in a moment."""
    data = load_data("digits").train
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    for parameter in net.parameters():
        parameter.data.uniform_(-0.12, 0.12, generator=generator)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for rows in torch.randint(len(data), (60, 100), generator=generator):
        loss = nn.functional.cross_entropy(net(data.images[rows]), data.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def test_an_audit_asked_otherwise_in_the_same_folder_answers_as_if_afresh(tmp_path):
    images = load_data("digits").test.first(100)
    given = {"one": trained(1), "two": trained(2)}
    changed = {f.name for f in fields(FIRST) if getattr(FIRST, f.name) != getattr(CHANGED, f.name)}
    assert changed == {f.name for f in fields(FIRST)} - {"skip", "batch_size"}
    run_audit(given, images, tmp_path / "shared", FIRST, report=False)
    again = run_audit(given, images, tmp_path / "shared", CHANGED, report=False)
    afresh = run_audit(given, images, tmp_path / "own", CHANGED, report=False)
    assert again.sentences == afresh.sentences
    records = [
        [(r.stage, r.network, r.status, r.words, r.warnings) for r in read_audit(tmp_path / folder)]
        for folder in ("shared", "own")
    ]
    assert records[0] == records[1]
    for kind in (Measurement, LayerRow, ClaimRow):
        ours, theirs = (read_rows(tmp_path / folder, kind) for folder in ("shared", "own"))
        assert repr(ours) == repr(theirs)  # NaN is as NaN here
    for file in ("images", "certificates", "tops", "coherence"):
        ours, theirs = (
            (tmp_path / folder / "rows" / f"{file}.parquet").read_bytes()
            for folder in ("shared", "own")
        )
        assert ours == theirs
    # What was asked is what was done: no stage was given another's defaults.
    rows = read_rows(tmp_path / "own", Measurement)
    (fooled,) = where(rows, analysis="attack", metric=Metric.FOOLED, network="one")
    (became,) = where(rows, analysis="target", metric=Metric.BECAME, network="one")
    (right,) = where(rows, analysis="certify", metric=Metric.ACCURACY, network="one")
    passes = [row.value for row in where(rows, analysis="attack", metric=Metric.PASSES)]
    assert (fooled.method, fooled.total, right.total) == ("ddn", 5, 5)
    assert all(41 <= value < 45 for value in passes)
    assert became.setting == "2"
    (claim,) = read_rows(tmp_path / "own", ClaimRow)
    assert (claim.images, claim.rotations, claim.untrained_networks) == (70, 21, 0)
    mean = max(r.value for r in where(rows, analysis="attack", metric=Metric.MEAN_DISTORTION))
    wanted = [float(f"{factor * mean:.2g}") for factor in CHANGED.amplified]
    longer = where(rows, analysis="transfer", condition=Condition.AMPLIFIED)
    assert list(dict.fromkeys(row.size for row in longer)) == wanted


def test_claims_are_those_of_the_seed_that_is_asked(tmp_path):
    skip = tuple(s.name for s in STAGES if s.name not in ("accuracy", "units"))
    config = AuditConfig(images=2, budget=20, units_on=60, rotations=9, untrained=0, skip=skip)
    said = []
    for seed in (0, 1):
        asked = replace(config, seed=seed)
        run_audit(trained(3), load_data("digits").test.first(60), tmp_path, asked, report=False)
        said.append([claim.sentence for claim in read_rows(tmp_path, ClaimRow)])
    assert said[0] != said[1]


def test_only_named_fields_are_left_out():
    left = {
        kind.__name__: {f.name for f in fields(kind) if not counted(f)} for kind in configurations()
    }
    assert {name: some for name, some in left.items() if some} == LEFT_OUT
