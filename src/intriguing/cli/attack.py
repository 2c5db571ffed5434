"""Find the nearest adversarial example of every image, for any network on any named data.

MODEL is any network and DATA any pictures; see below what each may be. Pictures are cut as the
network expects them, and without labels its own classes are taken for the true ones.

methods:
  closest    the one to take: the shortest change that is known how to find, and per image how good
             it is, proved optimal on affine networks and with a residual of optimality on others
  paper      when distortions are to stand beside the paper's: L-BFGS and a search over c
  deepfool   when a rough answer in tens of passes will do
  ddn, pdgd, fmn, cw    when results are to stand beside those published with them, at their usual
             budgets; `intriguing compare` shows all of them on the same images
  noise      Gaussian noise, made larger until it fools: what takes no search at all

examples:
  intriguing train fc100-100-10 mnist-5k --out fc.safetensors
  intriguing attack fc.safetensors mnist-5k --limit 200
  intriguing attack fc.safetensors mnist-5k --targets untargeted     how close is the nearest one?
  intriguing attack fc.safetensors mnist-5k --method paper           as the paper searches
  intriguing attack my_network.py:build mnist --targets 3            everything becomes a 3
  intriguing attack fc.safetensors mnist-5k --levels 256 --save-images    as 8-bit PNG files
"""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from intriguing.cli.methods import DATA, METHOD, MODEL, SIZES, TARGETS, Method
from intriguing.data.limits import LIMITS, Limits


def attack(
    model: Annotated[Positional[str], arg(metavar="MODEL", help=MODEL)],
    data: Annotated[Positional[str], arg(metavar="DATA", help=DATA)],
    targets: Annotated[str, arg(help=TARGETS)] = "random",
    part: Literal["test", "train"] = "test",
    limit: int | None = None,
    method: Annotated[Method, arg(help=METHOD)] = "closest",
    budget: int | None = None,
    levels: int | None = None,
    save_images: bool = False,
    input: Annotated[str | None, arg(metavar="SIZES", help=SIZES)] = None,
    seed: int = 0,
    limits: Annotated[Limits, OmitArgPrefixes] = LIMITS,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    out: Path | None = None,
    fresh: bool = False,
) -> None:
    """Attack, print the summary, and leave a results folder with a report.

    Args:
        part: The test or the training images.
        limit: Only the first so many images.
        budget: Passes an image at most, a pass being half a forward and a backward one; the
            method's own when not given.
        levels: 256 makes every answer an 8-bit image, which survives being saved as a PNG.
        save_images: Save every adversarial image as a PNG in pictures/ (needs --levels 256).
        seed: Draws the random targets.
        device: auto takes a GPU where there is one.
        out: The results folder; results/attack-MODEL-DATA when not given.
        fresh: Delete the results that are in the folder and start again.
    """
    from intriguing.cli import setup
    from intriguing.cli.console import Console
    from intriguing.cli.opening import open_all
    from intriguing.cli.running import run_verb
    from intriguing.distortion.search import Search
    from intriguing.errors import InputError
    from intriguing.models.weights import model_sha256
    from intriguing.runs import attacking
    from intriguing.runs.examples import Examples, Pictures, Summary
    from intriguing.runs.run import Request

    if save_images and levels != 256:
        raise InputError("--save-images needs --levels 256: an 8-bit file rounds every pixel")
    goal = attacking.parse_targets(targets)
    search = Search(method, budget, levels, seed)
    search.check_goal(untargeted=goal == "untargeted")
    place = setup.choose_device(device)
    opened = open_all([model], data, part, limit, input, place, limits)
    network = opened.only
    if save_images and opened.images.images.ndim != 4:
        raise InputError(f"--save-images needs pictures; {data} has none, leave it out")
    plan = attacking.plan(network.model, opened.images, goal, seed)
    found = Examples(network, plan, search)
    stages = [found, Summary(network, found), Pictures(network, found, save_images)]
    asked = Request(
        "attack",
        {
            "model": model, "model_sha256": model_sha256(network.model), "data": data,
            "part": part, "limit": limit, "targets": targets, "method": method, "budget": budget,
            "levels": levels, "seed": seed,
        },
        networks=(network,), images=(plan.images,), tables=("attack",), seeds=(seed,),
        notes=(*attacking.notes(goal, levels), *opened.notes), device=place,
        required_bytes=attacking.disk_bytes(plan.images),
    )  # fmt: skip
    folder = out or setup.default_folder("attack", network.name, Path(data).stem)
    run, _ = run_verb(stages, asked, folder, fresh=fresh)
    console = Console()
    for status, count in run.loaded(found).statuses().items():
        console.print(f"{status:<16}{count:>8,} images", highlight=False)
    if save_images:
        made = folder / "pictures"
        console.print(f"pictures {made}", highlight=False, markup=False, soft_wrap=True)
