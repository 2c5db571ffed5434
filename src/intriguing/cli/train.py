"""Train a network of the paper, and save its weights.

NAME is fcA-B-...-K (layers of A, B, ... sigmoid units and K classes; fc10 is the softmax
classifier), aeH-K (sparse autoencoder of H units, then softmax) or convA-B-...-H-K (convolutions
of A, B, ... channels, H hidden units). The first two are trained to convergence by full-batch
L-BFGS, convolutional networks by minibatches for a fixed number of epochs. DATA is mnist, mnist-5k
or digits.

With --pools a network learns from images and adversarial examples of itself, which are made at the
input and at the outputs of layers (§4.2); with --penalty the layers' Lipschitz bounds are penalised
(§4.3). Both are trained by minibatches. A place is input, the number of a hidden layer (1 is the
first), or a name that `intriguing layers` lists.

examples:
  intriguing train fc10 mnist-5k --decay 1e-4
  intriguing train fc100-100-10 mnist-5k --decay 1e-5 1e-5 1e-6 --out fc.safetensors
  intriguing train ae400-10 mnist --seed 1
  intriguing train conv32-64-200-10 mnist
  intriguing train quocnet-tiny cifar10           the unsupervised network of Figure 6
  intriguing train quocnet-1b cifar10 --dry-run   its full size: parameters, memory, arithmetic
  intriguing train fc100-100-10 mnist-5k --pools input 1 2 --radius 1 0.2 0.2 --refresh 0.1
  intriguing train fc100-100-10 mnist-5k --penalty 0.003
"""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from intriguing.addresses import Address, as_folder
from intriguing.cli.options import Device
from intriguing.data.limits import LIMITS, Limits
from intriguing.errors import InputError


def train(
    name: Annotated[
        Positional[str], arg(metavar="NAME", help="For instance fc10, ae400-10, conv32-64-200-10.")
    ],
    data: Annotated[
        Positional[str], arg(metavar="DATA", help="mnist, mnist-5k, digits or cifar10.")
    ],
    decay: tuple[float, ...] = (),
    convention: Literal["sum", "half", "units"] = "half",
    pools: tuple[str, ...] = (),
    radius: tuple[float, ...] = (),
    weight: tuple[float, ...] = (),
    refresh: float = 0.3,
    scheme: Literal["alternating", "joint"] = "alternating",
    pool_search: str = "steps",
    penalty: float = 0.0,
    epochs: int | None = None,
    rate: float | None = None,
    seed: int = 0,
    device: Device = "auto",
    out: Path | None = None,
    results: Path | None = None,
    fresh: bool = False,
    unlabelled: Annotated[str | None, arg(metavar="SOURCE")] = None,
    limits: Annotated[Limits, OmitArgPrefixes] = LIMITS,
    positive: str = "automobile",
    engine: Literal["alone", "copies", "shards", "locations"] = "alone",
    steps: int | None = None,
    dry_run: bool = False,
) -> None:
    """Train, print the errors, and save the weights.

    Args:
        decay: λ of each layer, input first; one for all, or none for the paper's: 1e-4 for fc10,
            else 1e-5 and 1e-6 for the last layer; a convolutional network's are 1e-4.
        convention: How the paper's λ Σ w² / k is read: k = 1 (sum), 2 (half), or the layer's
            output units or channels (units).
        pools: Places that get a pool of adversarial examples.
        radius: The largest L2 distance of an example from its image, for each pool or for all; a
            tenth of the typical distance between two images there when not given.
        weight: Of each pool in the loss, or of all; that of the images is 1.
        refresh: The share of a pool that is made anew before each epoch.
        scheme: Pools take turns from step to step, as in the paper, or each step takes all.
        pool_search: steps (a few gradient steps), gaussian (noise, the control), or a method of
            `intriguing attack` for the nearest examples, such as closest or ddn.
        penalty: Weight of the sum of the layers' upper Lipschitz bounds.
        epochs: Of a training by minibatches; the network's usual ones when not given.
        rate: The highest learning rate of a training by minibatches.
        seed: Of the initial weights, and of the order of the images.
        device: auto takes a GPU where there is one.
        out: The file of weights; NAME.safetensors when not given.
        results: The results folder; results/train-NAME-DATA-seedN when not given, with -pools
            before the seed where there are pools.
        fresh: Delete the results that are in the folder and start again.
        unlabelled: What a QuocNet learns from: photographs (of installed packages), a folder of
            pictures or videos, a video, or patches (.npy); DATA without its labels if not given.
        positive: The class that a QuocNet's classifier tells from the others.
        engine: How the processes that torchrun started share a QuocNet's training: each with all
            weights (copies), a share of them (shards), or a band of places (locations).
        steps: Of each stage of a QuocNet.
        dry_run: Of a QuocNet: only say how large it is and what it needs.
    """
    from intriguing.cli import pooling, setup
    from intriguing.cli.console import Console
    from intriguing.cli.progress import shown
    from intriguing.cli.running import run_verb
    from intriguing.data.named import load_data
    from intriguing.hardening.config import PoolConfig
    from intriguing.models.family import find_family, find_trainable
    from intriguing.models.weights import save_model
    from intriguing.names import file_name
    from intriguing.runs.request import Request, Work
    from intriguing.runs.training import Errors, Filters, Training
    from intriguing.training.recipe import Recipe

    weights = out or Path(f"{name}.safetensors")
    setup.check_output_file(weights, ".safetensors")
    place = setup.choose_device(device)
    trained = (name, data, *(["pools"] if pools else []), f"seed{seed}")
    folder = as_folder(results or setup.default_folder("train", *trained))
    if find_family(name).unlabelled:
        if isinstance(folder, Address):
            raise InputError(
                f"{name} keeps checkpoints in many parts, which many processes map: give --results "
                "on a disk, and copy the folder then"
            )
        from intriguing.cli.quocnet import train_quocnet

        train_quocnet(
            name, data, unlabelled=unlabelled, positive=positive, engine=engine, steps=steps,
            rate=rate, seed=seed, device=place, out=weights, dry_run=dry_run, limits=limits,
            results=folder, fresh=fresh,
        )  # fmt: skip
        return
    family = find_trainable(name)
    start = min(3, (epochs or 30) // 2)  # epochs before the pools are made
    mixing = PoolConfig(scheme, refresh, start, pool_search)
    with shown() as progress:
        pair = load_data(data, progress=progress)
    model = family.make(name, tuple(pair.train.images.shape[1:]))
    lambdas = pooling.decay_of(decay, family, model)
    hardened = pooling.wanted(family, model, pools, radius, weight, mixing, penalty)
    schedule = pooling.scheduled(family.schedule(len(pair.train)), bool(hardened), epochs, rate)
    recipe = Recipe(
        name, file_name(name), name, lambdas, convention, gain=1.0 if hardened else 2.0,
        schedule=schedule,
    )  # fmt: skip
    training = Training(
        name, seed, recipe, pair.train, seed, str(place), hardened,
        {"train_error": pair.train, "test_error": pair.test},
    )  # fmt: skip
    stages = [
        training, Errors(training, {"train": pair.train, "test": pair.test}, seed),
        Filters(training, f"{name}: first-layer filters"),
    ]  # fmt: skip
    asked = Request(
        "train",
        {
            "name": name, "data": data, "decay": list(lambdas), "convention": convention,
            "seed": seed, **pooling.settings(hardened),
            **({"schedule": schedule.in_words} if schedule and (epochs or rate) else {}),
        },
        images=(pair.train, pair.test), tables=("train",), seeds=(seed,), device=place,
        notes=(f"Weight decay is λ Σ w² / k with λ = {', '.join(map(str, lambdas))} and the "
               f"convention “{convention}”; biases do not decay.",
               *((f"Trained by minibatches: {schedule.in_words}.",) if schedule else ()),
               *pooling.notes(hardened)),
    )  # fmt: skip
    run, _ = run_verb(Work(asked, stages), folder, fresh=fresh)
    said = {"data": data, "seed": seed, "decay": list(lambdas)}
    save_model(weights, run.model(training), name, said)
    (record,) = run.keep(training).made.models
    Console().print(
        f"weights  {weights}\n{name}: {record.training['reason']}", highlight=False, markup=False,
        soft_wrap=True,
    )  # fmt: skip
