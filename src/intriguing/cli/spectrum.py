"""How far each layer of a network, and the whole, can carry a small change (Eq. 1, Table 5).

An upper bound says how many times longer, in L2, any change can be after a layer than it was
before; a lower bound says how much longer some change does become, by gradients near images of DATA
or random ones. Products of upper bounds, and better where there is better, bound the whole
network. Bounds are proved and rounded outwards; an operation that is not known gets ∞ and is named
with what to do, never a guess.

MODEL is FILE.safetensors written by `intriguing train`, or FILE.py:FUNCTION, a function that
returns a torch network. --input is the shape of one image, channels first and without the batch;
the paper's networks for digits need none.

examples:
  intriguing spectrum fc.safetensors
  intriguing spectrum fc.safetensors --data mnist-5k     lower bounds near real images
  intriguing spectrum my_network.py:build --input 3,224,224
  intriguing spectrum my_network.py:build --input 3,32,32 --domain 0,1   pixels lie in [0, 1]
  intriguing spectrum fc.safetensors --claims-lipschitz 12.5     is that constant right?
  intriguing spectrum my_network.py:build --input 3,32,32 --no-semidefinite   products only: fast
"""

from typing import Annotated

from tyro.conf import arg

from intriguing.cli.options import RUNNING, Model, Read, Reading, Run

FEW = Reading(limit=8)
"""At most so many images are looked at."""


def spectrum(
    model: Model,
    data: Annotated[str | None, arg(metavar="DATA")] = None,
    domain: Annotated[str | None, arg(metavar="LOWER,UPPER")] = None,
    semidefinite: bool = True,
    all_layers: bool = False,
    claims_lipschitz: float | None = None,
    reading: Read = FEW,
    running: Run = RUNNING,
) -> None:
    """Bound every layer and the network, print the table, and leave a results folder.

    Args:
        data: As for `intriguing attack`: lower bounds are taken near its images.
        domain: The interval that pixels lie in, such as 0,1, for operations that are bounded on a
            bounded domain only.
        semidefinite: Also search for a bound better than products; slower on wide networks.
        claims_lipschitz: A Lipschitz constant that somebody states of the network, in L2: it is
            refuted by two images that are farther apart behind it (and the exit code is 1), or
            proved by the bound, or neither, and both numbers are said.
        all_layers: Print layers that only pass changes on (ReLU, reshapes), too; files have all.
    """
    from intriguing.cli import bounding, setup
    from intriguing.cli.opening import open_all
    from intriguing.cli.running import run_verb
    from intriguing.errors import InputError
    from intriguing.models.weights import model_sha256
    from intriguing.results.store import read_tensors
    from intriguing.runs.bounding import Spectrum, StatedConstant
    from intriguing.runs.network_names import names_of
    from intriguing.runs.request import Request, Work
    from intriguing.runs.stage import Network, Stage

    if claims_lipschitz is not None and not 0.0 < claims_lipschitz < float("inf"):
        raise InputError(f"--claims-lipschitz {claims_lipschitz:g}: give a constant above 0")
    given = None if reading.input is None else bounding.parse_shape(reading.input)
    box = None if domain is None else bounding.parse_domain(domain)
    place = running.chosen
    opened = None if data is None else open_all([model], data, place, reading)
    (name,) = names_of([model])
    network = Network(name, setup.load_network(model, place)) if opened is None else opened.only
    images = None if opened is None else opened.images
    shape = bounding.choose_shape(model, network.model, given, images)
    asked = Request(
        "spectrum",
        {
            "model": model, "model_sha256": model_sha256(network.model),
            "input": ",".join(map(str, shape)), "data": data, "part": reading.part,
            "limit": reading.limit, "domain": domain, "semidefinite": semidefinite,
            "seed": running.seed, "claims_lipschitz": claims_lipschitz,
        },
        networks=(network,), images=() if images is None else (images,), tables=("layers",),
        seeds=(running.seed,), device=place,
    )  # fmt: skip
    stage = Spectrum(network, shape, images, box, semidefinite, running.seed)
    stages: list[Stage] = [stage]
    constant = None
    if claims_lipschitz is not None:
        constant = StatedConstant(network, stage, claims_lipschitz)
        stages.append(constant)
    folder = running.folder("spectrum", name)
    run_verb(
        Work(asked, stages),
        folder,
        engine=running.engine,
        fresh=running.fresh,
        all_layers=all_layers,
    )
    if constant is not None:
        _, words = read_tensors(folder, constant.file)
        print(f"{name}: {words['said']}")
        if words["verdict"] == "refuted":
            raise SystemExit(1)
