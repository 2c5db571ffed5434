"""What decides is never what something is called: other names, the same numbers and sentences."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from intriguing import AuditConfig, InputError, load_data, run_audit
from intriguing.audit.explaining import attacked_ids, explain
from intriguing.cli.main import main
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.models.weights import save_model
from intriguing.report.contents import read_contents
from intriguing.report.findings import findings
from intriguing.report.html import draw_report
from intriguing.report.story import draw_story
from intriguing.report.tables import to_csv
from intriguing.results.audit import read_audit
from intriguing.results.measured import Condition, Measurement, Metric, where
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.rows import TopRow
from intriguing.results.store import read_run, write_run
from intriguing.runs.study import Study, prepare
from intriguing.units.coherence import coherence
from intriguing.units.directions import natural
from intriguing.units.topk import top_images
from tests.report.browsed import write_units
from tests.shown import shown

CONFIG = AuditConfig(
    images=8, budget=40, target=3, target_budget=40, semidefinite=False, units_on=60,
    rotations=9, untrained=0,
)  # fmt: skip
PAIRS = (
    ("denoiser", "amplified to stddev=0.1"),
    ("x beside y", "Distorted for x (av. 1)"),
    ("a", "a amplified to stddev=0.1"),
    ("Gaussian noise with stddev=0.06", "noise for b"),
    ("b a", "a"),
    ('say "it"', "two\nlines = \u2028 α = 0.5: Сеть\t"),
    ("accuracy", "table5-robust"),
    ("figure5", "robust-"),
    ("α = 1", "{network} {0!r}"),
)


@pytest.fixture(scope="module")
def pair() -> tuple[nn.Module, nn.Module]:
    data = load_data("digits").train
    return tuple(trained(data.images, data.labels, seed) for seed in (1, 2))


def trained(images: Tensor, labels: Tensor, seed: int) -> nn.Module:
    """A network of the digits, in a moment."""
    generator = torch.Generator().manual_seed(seed)
    net = FullyConnected((64, 12, 10))
    for parameter in net.parameters():
        parameter.data.uniform_(-0.12, 0.12, generator=generator)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for rows in torch.randint(len(images), (80, 100), generator=generator):
        loss = nn.functional.cross_entropy(net(images[rows].flatten(1)), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return nn.Sequential(nn.Flatten(), net).eval()


def unnamed(text: str, names: Sequence[str]) -> str:
    """The text with a placeholder for each name, however it was written; the longest first."""
    for name in sorted(names, key=len, reverse=True):
        mark = f"⟨{names.index(name)}⟩"
        for form in (name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1]):
            text = text.replace(form, mark)
    return text


def audited(networks: Mapping[str, nn.Module], folder: Path) -> dict:
    """What an audit says, its networks called by their places."""
    names = list(networks)
    place = {name: str(names.index(name)) for name in names} | {"": ""}
    audit = run_audit(networks, load_data("digits").test.first(60), folder, CONFIG, report=False)
    states = [
        (record.stage, place[record.network], record.status, record.warnings)
        for record in read_audit(folder)
    ]
    contents = read_contents(folder)
    tables = [
        [
            {**vars(cell), "row": "", "column": "", "network": place[cell.network],
             "made_for": place[cell.made_for]}
            for cell in table.where()
        ]
        for table in contents.tables
    ]  # fmt: skip
    rows = [
        replace(row, network=place[row.network], made_for=place[row.made_for])
        for row in contents.measured
    ]
    return {
        "states": states, "rows": rows, "tables": tables,
        "numbers": [
            [line[3:] for line in csv.reader(io.StringIO(to_csv(table)))]
            for table in contents.tables
        ],
        "sentences": [unnamed(sentence, names) for sentence in audit.sentences],
    }  # fmt: skip


@pytest.fixture(scope="module")
def plainly(pair, tmp_path_factory) -> dict:
    return audited(dict(zip(("⟨⟨0⟩⟩", "⟨⟨1⟩⟩"), pair, strict=True)), tmp_path_factory.mktemp("a"))


@pytest.mark.parametrize("names", PAIRS, ids=range(len(PAIRS)))
def test_an_audit_says_the_same_under_any_names(names, pair, plainly, tmp_path, monkeypatch):
    found = audited(dict(zip(names, pair, strict=True)), tmp_path)
    assert found["states"] == plainly["states"]
    assert found["rows"] == plainly["rows"]
    assert found["tables"] == plainly["tables"]
    assert found["numbers"] == plainly["numbers"]
    if not any(name in " ".join(plainly["sentences"]) for name in names):
        assert found["sentences"] == plainly["sentences"]
    crossed = where(
        read_rows(tmp_path, Measurement), analysis="transfer", metric=Metric.ERROR,
        condition=Condition.ADVERSARIAL, own=False,
    )  # fmt: skip
    assert sum(row.total for row in crossed) == 16
    assert [(row.made_for, row.network) for row in crossed] == [names, names[::-1]]


def test_the_verb_transfer_says_the_same_under_any_names(pair, tmp_path, capsys):
    said = []
    for names in (("QQ0", "QQ1"), PAIRS[0], PAIRS[1], PAIRS[3]):
        files = [tmp_path / f"{name}.safetensors" for name in names]
        for file, net in zip(files, pair, strict=True):
            save_model(file, net[1], "fc12-10")
        out = tmp_path / f"out{len(said)}"
        options = ["--data", "digits", "--limit", "20", "--amplify", "0.1", "--out", str(out)]
        assert main(["transfer", *map(str, files), *options]) == 0, capsys.readouterr().err
        sentences = findings(read_contents(out)).sentences
        said.append([unnamed(one, names) for one in sentences])
        assert sum(cell.own for cell in shown(out) if cell.analysis == "transfer") == 4
    assert len(said[0]) > 1
    assert said.count(said[0]) == len(said)


def test_the_story_of_an_image_shows_the_pictures_of_its_own_network(pair, tmp_path):
    names = ("b a", "a")
    run_audit(
        dict(zip(names, pair, strict=True)), load_data("digits").test.first(30), tmp_path,
        replace(CONFIG, images=3, skip=("units", "spectrum", "certify", "noise", "target")),
    )  # fmt: skip
    (image, *_) = attacked_ids(tmp_path)
    text = draw_story(tmp_path, explain(tmp_path, image, path=False)).read_text()
    shown = re.findall(r"data:image/png;base64,[^\"]+", text)
    # The original, twice, and two changes: of a network each.
    assert (len(shown), len(set(shown))) == (4, 3)


def test_a_network_without_a_name_is_refused(pair, tmp_path):
    with pytest.raises(InputError, match="no name"):
        run_audit({" ": pair[0]}, load_data("digits").test.first(20), tmp_path, CONFIG)


@pytest.mark.parametrize("stem", ["natural", "random", "k-means", "twice"])
def test_two_bases_of_one_name_are_refused(stem, pair, tmp_path):
    file = tmp_path / "one" / f"{stem}.npy"
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / file.name, np.eye(12))
    others = {"twice": (str(tmp_path / "two" / file.name),), "k-means": ("kmeans",)}
    bases = ("natural", "random", str(file), *others.get(stem, ()))
    with pytest.raises(InputError, match=f"two would be called '{stem}'"):
        prepare(Study(bases=bases), pair[0], load_data("digits").test.first(40))


def test_a_layer_is_the_one_that_is_named():
    class Both(nn.Module):
        """A layer `first`, and another `model.first`."""

        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(64, 7)
            self.model = nn.Module()
            self.model.first = nn.Linear(7, 10)
            self.eval()

        def forward(self, x: Tensor) -> Tensor:
            """Logits."""
            return self.model.first(self.first(x.flatten(1)).relu())

    images = load_data("digits").test.first(40)
    study = Study(layers=("first",), claim=False)
    assert [layer.units for layer in prepare(study, Both(), images).layers] == [7]
    study = replace(study, layers=("model.first",))
    assert [layer.units for layer in prepare(study, Both(), images).layers] == [10]


def test_a_space_called_like_a_measure_is_refused(pair):
    images = load_data("digits").test.first(40)
    top = top_images(pair[0], "1.layers.0", images, natural(12), k=3)
    for name in ("purity", "entropy", "pixels", "own"):
        with pytest.raises(InputError, match="measure of its own"):
            coherence(top, images, features={name: torch.rand(40, 3)})


def test_the_page_of_units_is_headed_by_the_network_whose_units_they_are(tmp_path):
    write_units(tmp_path, {"conv": 12})
    run = read_run(tmp_path)
    others = replace(run.models[0], name="trained before it")
    write_run(tmp_path, replace(run, models=(others, *run.models)))
    text = (draw_report(tmp_path).parent / "units.html").read_text()
    (name,) = set(read_columns(tmp_path, TopRow)["network"])
    assert name == run.models[0].name
    assert f"<h1>What excites the units of {name}</h1>" in text
