"""Compare methods of finding the closest adversarial example, on the same images and targets.

MODEL is any network and DATA any pictures; see below what each may be. Pictures are cut as the
network expects them, and without labels its own classes are taken for the true ones.

The report has, for
every method, how many images it fools, how far it goes and what that costs; differences image by
image beside the best; distortion against passes; and every image that a method loses to another.

Give --methods those that you know or wonder about; `intriguing attack --help` says what each is.
Coming back for more methods keeps what is computed.

examples:
  intriguing compare fc.safetensors mnist-5k --limit 200
  intriguing compare fc.safetensors mnist-5k --limit 200 --methods closest ddn pdgd cw
  intriguing compare my_network.py:build mnist --limit 500 --targets untargeted
  intriguing compare fc.safetensors mnist-5k --limit 200 --budget 100    with 100 passes an image
"""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from intriguing.cli.methods import DATA, MODEL, SIZES, TARGETS, Method
from intriguing.data.limits import LIMITS, Limits


def compare(
    model: Annotated[Positional[str], arg(metavar="MODEL", help=MODEL)],
    data: Annotated[Positional[str], arg(metavar="DATA", help=DATA)],
    methods: tuple[Method, ...] = ("closest", "paper", "ddn", "pdgd", "fmn"),
    targets: Annotated[str, arg(help=TARGETS)] = "random",
    part: Literal["test", "train"] = "test",
    limit: int | None = None,
    budget: int | None = None,
    levels: int | None = None,
    input: Annotated[str | None, arg(metavar="SIZES", help=SIZES)] = None,
    seed: int = 0,
    limits: Annotated[Limits, OmitArgPrefixes] = LIMITS,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    out: Path | None = None,
    fresh: bool = False,
) -> None:
    """Run every method, print the tables, and leave a results folder with a report.

    Args:
        methods: Two or more.
        part: The test or the training images.
        limit: Only the first so many images.
        budget: Passes an image at most, a pass being half a forward and a backward one; each
            method's own when not given. The method paper takes none and ends when c is known.
        levels: 256 makes every answer an 8-bit image, which survives being saved as a PNG.
        seed: Draws the random targets, and the noise of the method noise.
        device: auto takes a GPU where there is one.
        out: The results folder; results/compare-MODEL-DATA when not given.
        fresh: Delete the results that are in the folder and start again.
    """
    from intriguing.cli import setup
    from intriguing.cli.opening import open_all
    from intriguing.cli.running import run_verb
    from intriguing.models.weights import model_sha256
    from intriguing.runs import attacking, comparing
    from intriguing.runs.comparing import Compare, OneMethod
    from intriguing.runs.run import Request

    comparing.check_methods(methods)
    goal = attacking.parse_targets(targets)
    searches = [
        comparing.search_of(method, budget=budget, levels=levels, seed=seed) for method in methods
    ]
    for search in searches:
        search.check_goal(untargeted=comparing.goal_of(search.method, goal) == "untargeted")
    place = setup.choose_device(device)
    opened = open_all([model], data, part, limit, input, place, limits)
    network = opened.only
    plan = attacking.plan(network.model, opened.images, goal, seed)
    asked = Request(
        "compare",
        {
            "model": model, "model_sha256": model_sha256(network.model), "data": data,
            "part": part, "limit": limit, "targets": targets, "methods": list(methods),
            "budget": budget, "levels": levels, "seed": seed,
        },
        may_differ=("methods",), networks=(network,), images=(plan.images,),
        tables=("compare", "paired"), seeds=(seed,), device=place,
        notes=(*attacking.notes(goal, levels),
               *comparing.notes(methods, goal, budget, levels), *opened.notes),
        required_bytes=len(methods) * attacking.disk_bytes(plan.images),
    )  # fmt: skip
    found = tuple(
        OneMethod(
            network, own := comparing.plan_of(search.method, plan), search, read=comparing.COLUMNS,
            shard_size=attacking.shard_size(own, comparing.shard_size(place)),
        )
        for search in searches
    )  # fmt: skip
    folder = out or setup.default_folder("compare", network.name, Path(data).stem)
    run_verb([*found, Compare(network, found)], asked, folder, fresh=fresh)
