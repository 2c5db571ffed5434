"""A new family is one class: built, trained, saved and loaded by its name, the same for a seed."""

import hashlib
import math

import pytest
import torch
from torch import nn

import intriguing as it
from intriguing.cli.main import main
from intriguing.models import family as families
from intriguing.models.initial import draw_he, weight_layers
from intriguing.models.weights import model_sha256, read_model, save_model
from intriguing.results.store import read_run
from intriguing.training.lbfgs import LBFGSConfig

NAME = "dropped12-10"


class Tanh(it.Family):
    """Tanh units that drop out, with a vector that nobody draws but torch itself."""

    pattern = r"dropped([1-9]\d*)-([1-9]\d*)"
    called = "droppedH-K (H tanh units that drop out, K classes)"

    def build(self, name, shape):
        hidden, classes = int(name[1]), int(name[2])
        net = nn.Sequential(
            nn.Flatten(), nn.Linear(math.prod(shape), hidden), nn.Tanh(), nn.Dropout(0.3),
            nn.Linear(hidden, classes),
        )  # fmt: skip
        net.register_parameter("unused", nn.Parameter(torch.rand(3)))
        return net

    def initialise(self, head, generator, gain):
        draw_he(weight_layers(head), generator)

    def schedule(self, images):
        return it.Schedule(2, rate=0.002, batch_size=50, optimizer="adam", shift=1)

    def decay(self, layers):
        return (1e-3,) * layers


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    families.families()
    monkeypatch.setattr(families, "_FAMILIES", dict(families._FAMILIES))
    it.register_family(Tanh)


def trained(seed=0, noise=0):
    data = it.load_data("digits").train
    schedule = Tanh().schedule(len(data))
    torch.manual_seed(noise)  # what the caller draws must not matter, nor be disturbed
    model, _ = it.train_network(
        it.Recipe(NAME, "t", NAME, (1e-3,) * 2, schedule=schedule), data, seed
    )
    assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(noise)))
    return model


def test_a_seed_means_the_same_network_in_the_library():
    digests = [model_sha256(trained(seed, noise)) for seed, noise in ((0, 0), (0, 1), (1, 0))]
    assert digests[0] == digests[1] != digests[2]
    one, other = trained(0), trained(1)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert not torch.equal(a, b) or not a.any()


def test_the_command_line_trains_it_as_the_library_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {}
    for run, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(ord(run))
        words = ["--seed", str(seed), "--out", f"{run}.safetensors", "--results", run]
        assert main(["train", NAME, "digits", *words]) == 0
        files[run] = hashlib.sha256((tmp_path / f"{run}.safetensors").read_bytes()).hexdigest()
    assert files["a"] == files["b"] != files["c"]
    assert model_sha256(it.load_model("a.safetensors")) == model_sha256(trained(0))
    run = read_run(tmp_path / "a")
    assert run.config["decay"] == [1e-3, 1e-3]
    assert "2 epochs in batches of 50, adam, rate 0.002, shift 1" in run.notes[1]


def test_another_rate_leaves_the_rest_of_its_schedule(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        main(["train", NAME, "digits", "--rate", "0.001", "--epochs", "1", "--results", "r"]) == 0
    )
    said = read_run(tmp_path / "r").notes[1]
    assert "1 epochs in batches of 50, adam, rate 0.001, shift 1" in said


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path):
    data, path = it.load_data("digits").train, tmp_path / "c.safetensors"
    recipe = it.Recipe(NAME, "t", NAME, (1e-3,) * 2, schedule=Tanh().schedule(1))

    def stop(step):
        if step.done > 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        it.train_network(recipe, data, checkpoint=path, progress=stop)
    assert path.exists()
    model, _ = it.train_network(recipe, data, checkpoint=path)
    assert model_sha256(model) == model_sha256(trained(0))


@pytest.mark.parametrize("name", ["fc8-10", "ae9-10", "conv3-4-8-10"])
def test_the_paper_s_families_are_seeded_too(name):
    data, few = it.load_data("digits").train, LBFGSConfig(max_iterations=3)
    family = families.find_family(name)
    schedule = family.schedule(len(data))
    layers = weight_layers(family.head(it.build_network(name, (1, 8, 8))))
    recipe = it.Recipe(
        name, "n", name, family.decay(len(layers)),
        stop=few, schedule=schedule and schedule.shortened, autoencoder_stop=few,
    )  # fmt: skip
    digests = []
    for seed, noise in ((0, 0), (0, 1), (1, 0)):
        torch.manual_seed(noise)
        digests.append(model_sha256(it.train_network(recipe, data, seed)[0]))
    assert digests[0] == digests[1] != digests[2]


def test_unknown_names_are_told_of_it():
    with pytest.raises(it.InputError, match="droppedH-K"):
        it.build_network("tang12-10")
    with pytest.raises(it.InputError, match="first `intriguing train dropped12-10 DATA`"):
        it.load_model(NAME)


def test_a_name_of_two_families_is_refused():
    class Other(Tanh):
        pattern = r"dropped\d+-10"
        called = "droppedX-10 of somebody else"

    it.register_family(Other)
    with pytest.raises(it.InputError, match="somebody else"):
        it.build_network(NAME)


def test_what_is_trained_otherwise_says_how():
    data = it.load_data("digits").train
    for name, words in (("squeezenet", "photographs"), ("quocnet-tiny", "without labels")):
        with pytest.raises(it.InputError, match=words):
            it.train_network(it.Recipe(name, name, name, (0.0,)), data)


def test_training_begins_where_the_family_says():
    class Even(Tanh):
        def initialise(self, head, generator, gain):
            for weights in head.parameters():
                nn.init.constant_(weights, 0.25 * gain)

    it.register_family(Even)
    still = it.Schedule(1, rate=1e-12)
    recipe = it.Recipe(NAME, "t", NAME, (0.0, 0.0), gain=2.0, schedule=still)
    model, _ = it.train_network(recipe, it.load_data("digits").train)
    assert all(torch.allclose(w, torch.tensor(0.5)) for w in model.parameters())


def test_a_file_of_weights_is_the_same_to_the_byte(tmp_path):
    model, digests = it.build_network("fc4-3", 4), set()
    for _ in range(12):
        save_model(tmp_path / "n.safetensors", model, "fc4-3", {"seed": 1, "é": "“x”\u2028"})
        digests.add(hashlib.sha256((tmp_path / "n.safetensors").read_bytes()).hexdigest())
    assert len(digests) == 1
    assert read_model(tmp_path / "n.safetensors")[2]["é"] == "“x”\u2028"
    assert model_sha256(it.load_model(tmp_path / "n.safetensors")) == model_sha256(model)
