"""What the units of a network respond to, beside random directions; and whether that differs (§3).

For every direction of every basis of a layer, the images of DATA that excite it most, as pictures
in the paper's layout and as a page to browse. How coherent the rows are is measured beside what
chance would give, and the paper's sentence, that there is no distinction between individual units
and random linear combinations, is tested layer by layer. The page has a blind quiz, too.

MODEL is FILE.safetensors written by `intriguing train`, ARCHITECTURE:FILE, such as
squeezenet:FILE.safetensors, or FILE.py:FUNCTION, a function that returns a torch network.
DATA is mnist, mnist-5k or digits, or a folder or .zip of pictures, a class a subfolder.

bases:
  natural    the units themselves
  random     a random rotation of them      gaussian   independent random directions
  pca        directions of most variance    kmeans     from the mean to cluster centres
  sae        a sparse dictionary, learned   sae-frozen its control, whose decoder is not
  FILE.npy, FILE.safetensors                a matrix of yours, a direction a column

examples:
  intriguing layers conv.safetensors                     which layers are there?
  intriguing units conv.safetensors mnist --layer relu2 relu3
  intriguing units conv.safetensors mnist-5k --also conv-seed1.safetensors conv-seed2.safetensors
  intriguing units squeezenet:squeezenet.safetensors photographs/ --layer fire9 --directions 64
  intriguing units nets.py:build mnist --layer fc1 --basis natural dictionary.npy --no-claim
  intriguing units conv.safetensors mnist --basis natural random sae sae-frozen
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from intriguing.cli.options import READING, RUNNING, Data, Model, Read, Run

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from intriguing.data.dataset import ImageSet


def units(
    model: Model,
    data: Data,
    layer: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = (),
    basis: Annotated[tuple[str, ...], arg(metavar="BASIS ...")] = ("natural", "random"),
    k: Annotated[int, arg(aliases=["-k"])] = 9,
    directions: int | None = None,
    also: Annotated[tuple[str, ...], arg(metavar="MODEL ...")] = (),
    other: Annotated[str | None, arg(metavar="MODEL")] = None,
    claim: bool = True,
    measure: Literal["auto", "purity", "pixels", "features"] = "auto",
    delta: float | None = None,
    rotations: int | None = None,
    untrained: int = 8,
    paths: int = 10,
    dictionary: int | None = None,
    dictionaries: int = 5,
    reading: Read = READING,
    running: Run = RUNNING,
) -> None:
    """Rank images for every direction, measure, test, print, and leave pictures and a page.

    Args:
        layer: Names, as `intriguing layers` lists them; the last three nonlinearities when none.
        basis: See above.
        k: How many images a row.
        directions: At most so many directions of each basis are shown; the test takes all.
        also: The same network trained from other seeds: the test is over all of them.
        other: Another network: rows are measured in its space, too.
        claim: Test the claim, which takes longest.
        measure: Of the test: purity of labels, cosine in pixels or in the other network's features;
            auto takes purity where the labels can tell.
        delta: Differences within ±delta count as none; 0.05 of purity, 0.01 of pixels, 0.02 of
            features when not given.
        rotations: Random bases to compare with, a network; what the test needs when not given.
        untrained: Untrained networks of the same shape to compare with; 0 for none.
        paths: Rotations Q along whose path from the natural basis, Q^α, coherence is followed.
        dictionary: Features of a learned dictionary; twice as many as units when not given.
        dictionaries: How many are learned, a network, to be compared with their controls, with
            units and with random directions.
    """
    from intriguing.cli import setup
    from intriguing.cli.running import run_verb
    from intriguing.models.weights import model_sha256
    from intriguing.runs.network_names import names_of
    from intriguing.runs.request import Request, Work
    from intriguing.runs.stage import Network
    from intriguing.runs.study import Study, prepare
    from intriguing.runs.units import stages_of

    place = running.chosen
    network = setup.load_network(model, place)
    found = setup.choose_images(model, network, data, reading)
    images, (name,) = found.images, names_of([model])
    others = (setup.load_network(spec, place) for spec in also)
    networks = tuple(map(Network, names_of([model, *also]), [network, *others]))
    study = Study(
        layers=layer, bases=basis, k=k, directions=directions, measure=measure, delta=delta,
        rotations=rotations, untrained=untrained, paths=paths, claim=claim, seed=running.seed,
        dictionary=dictionary, dictionaries=dictionaries,
    )  # fmt: skip
    features = None if other is None else features_of(other, images, place)
    wanted = prepare(
        study, network, images, None if features is None else next(iter(features.values()))
    )
    asked = Request(
        "units",
        {
            "model": model, "models_sha256": [model_sha256(one.model) for one in networks],
            "data": data, "part": reading.part, "limit": reading.limit,
            "images_sha256": images.sha256, "layer": list(wanted.names), "basis": list(basis),
            "k": k, "directions": directions, "other": other, "claim": claim,
            "measure": wanted.measure, "delta": delta, "rotations": rotations,
            "untrained": untrained, "paths": paths, "seed": running.seed,
            "dictionary": dictionary, "dictionaries": dictionaries,
        },
        may_differ=("claim",) if claim else (), networks=networks, images=(images,),
        seeds=(running.seed,), notes=found.remarks, device=place,
        required_bytes=30_000_000 + images.images.numel(),
    )  # fmt: skip
    stages = stages_of((Network(name, network), *networks[1:]), images, wanted, features)
    folder = running.folder("units", name, Path(data).stem)
    run_verb(Work(asked, stages), folder, engine=running.engine, fresh=running.fresh)


def features_of(spec: str, images: "ImageSet", place: "torch.device") -> "dict[str, Tensor]":
    """The images in the space of another network: what goes into its last layer of weights."""
    from torch import nn

    from intriguing.cli import setup
    from intriguing.errors import InputError
    from intriguing.runs.network_names import names_of
    from intriguing.units.activations import layer_features

    network = setup.load_network(spec, place)
    weighted = [
        name for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    ]  # fmt: skip
    (name,) = names_of([spec])
    features = layer_features(network, f"{weighted[-1]}:input", images) if weighted else None
    if features is None:
        raise InputError(f"--other {spec} has no linear or convolutional layer; give another")
    return {f"features of {name}": features}
