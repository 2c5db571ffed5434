"""Make images of nothing that a network reads with confidence, and ask other networks about them.

No image is given: pixels begin as noise or as flat gray and are moved until the network gives a
class 99 % of its probability. OTHER networks of the same classes are asked what they read there.

examples:
  intriguing train fc100-100-10 mnist-5k --out fc.safetensors
  intriguing fool fc.safetensors
  intriguing fool fc.safetensors another.safetensors --confidence 0.999    does another agree?
  intriguing fool my_network.py:build --input 3,32,32 --starts 10
"""

from typing import Annotated

from tyro.conf import Positional, arg

from intriguing.cli.options import RUNNING, Model, Run, Sizes


def fool(
    model: Model,
    others: Annotated[Positional[tuple[str, ...]], arg(metavar="OTHER")] = (),
    confidence: float = 0.99,
    starts: int = 5,
    classes: int = 100,
    steps: int = 500,
    input: Sizes = None,
    running: Run = RUNNING,
) -> None:
    """Fool MODEL to every class, from noise and from a flat image; leave a folder with a report.

    Args:
        others: Networks of the same classes, which are asked about the same images.
        confidence: The least probability of the class.
        starts: Images of noise for every class; there is one flat image besides.
        classes: At most so many, evenly spaced.
        steps: At most so many gradient steps an image.
        input: Shape of one image, such as 3,224,224, where the network does not say it itself.
    """
    from intriguing.cli import bounding, setup
    from intriguing.cli.running import run_verb
    from intriguing.errors import InputError
    from intriguing.models.weights import model_sha256
    from intriguing.runs.bounding import shape_of
    from intriguing.runs.fooling import Fooled, choose_classes
    from intriguing.runs.network_names import names_of
    from intriguing.runs.request import Request, Work
    from intriguing.runs.stage import Network

    if not 0 < confidence < 1:
        raise InputError(f"--confidence {confidence:g}; give a probability inside (0, 1)")
    if starts < 1 or steps < 1:
        raise InputError(f"--starts {starts}, --steps {steps}; give 1 or more")
    place = running.chosen
    specs = (model, *others)
    networks = tuple(
        Network(name, setup.load_network(spec, place))
        for name, spec in zip(names_of(specs), specs, strict=True)
    )
    # One that takes rows of pixels takes pictures as well: the most particular network decides.
    asked_for = None if input is None else bounding.parse_shape(input)
    shapes = [
        shape_of(spec, one.model, asked_for) for spec, one in zip(specs, networks, strict=True)
    ]
    shape = max(shapes, key=len)
    wanted = choose_classes(networks[0], networks[1:], shape, classes)
    asked = Request(
        "fool",
        {
            "models": list(specs), "sha256": [model_sha256(one.model) for one in networks],
            "confidence": confidence, "starts": starts, "classes": len(wanted), "steps": steps,
            "input": ",".join(map(str, shape)), "seed": running.seed,
        },
        networks=networks, tables=("fool",), seeds=(running.seed,), device=place,
    )  # fmt: skip
    stage = Fooled(
        networks[0], networks[1:], shape, wanted, starts, confidence, steps, running.seed
    )
    folder = running.folder("fool", networks[0].name)
    run_verb(Work(asked, [stage]), folder, engine=running.engine, fresh=running.fresh)
