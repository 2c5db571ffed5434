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
  intriguing spectrum my_network.py:build --input 3,32,32 --no-semidefinite   products only: fast
"""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from intriguing.data.limits import LIMITS, Limits


def spectrum(
    model: Annotated[
        Positional[str], arg(metavar="MODEL", help="FILE.safetensors or FILE.py:FUNCTION.")
    ],
    input: Annotated[str | None, arg(metavar="SIZES")] = None,
    data: Annotated[str | None, arg(metavar="DATA")] = None,
    part: Literal["test", "train"] = "test",
    limit: int = 8,
    domain: Annotated[str | None, arg(metavar="LOWER,UPPER")] = None,
    semidefinite: bool = True,
    all_layers: bool = False,
    seed: int = 0,
    limits: Annotated[Limits, OmitArgPrefixes] = LIMITS,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    out: Path | None = None,
    fresh: bool = False,
) -> None:
    """Bound every layer and the network, print the table, and leave a results folder.

    Args:
        input: Shape of one image, such as 3,224,224.
        data: mnist, mnist-5k or digits: lower bounds are taken near its images.
        part: The test or the training images.
        limit: Only the first so many images; at most 8 are looked at.
        domain: The interval that pixels lie in, such as 0,1, for operations that are bounded on a
            bounded domain only.
        semidefinite: Also search for a bound better than products; slower on wide networks.
        all_layers: Print layers that only pass changes on (ReLU, reshapes), too; files have all.
        seed: Draws the random points.
        device: auto takes a GPU where there is one.
        out: The results folder; results/spectrum-MODEL when not given.
        fresh: Delete the results that are in the folder and start again.
    """
    from intriguing.cli import bounding, setup
    from intriguing.cli.opening import open_all
    from intriguing.cli.running import run_verb
    from intriguing.models.weights import model_sha256
    from intriguing.runs.bounding import Spectrum
    from intriguing.runs.run import Request
    from intriguing.runs.stage import Network

    given = None if input is None else bounding.parse_shape(input)
    box = None if domain is None else bounding.parse_domain(domain)
    place = setup.choose_device(device)
    opened = None if data is None else open_all([model], data, part, limit, input, place, limits)
    (name,) = setup.names_of([model])
    network = Network(name, setup.load_network(model, place)) if opened is None else opened.only
    images = None if opened is None else opened.images
    shape = bounding.choose_shape(model, network.model, given, images)
    asked = Request(
        "spectrum",
        {
            "model": model, "model_sha256": model_sha256(network.model),
            "input": ",".join(map(str, shape)), "data": data, "part": part, "limit": limit,
            "domain": domain, "semidefinite": semidefinite, "seed": seed,
        },
        networks=(network,), images=() if images is None else (images,), tables=("layers",),
        seeds=(seed,), device=place,
    )  # fmt: skip
    stage = Spectrum(network, shape, images, box, semidefinite, seed)
    folder = out or setup.default_folder("spectrum", name)
    run_verb([stage], asked, folder, fresh=fresh, all_layers=all_layers)
