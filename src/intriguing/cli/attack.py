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
from typing import Annotated

from tyro.conf import arg

from intriguing.cli.options import READING, RUNNING, Data, Method, Model, Read, Run, Targets


def attack(
    model: Model,
    data: Data,
    targets: Targets = "random",
    method: Annotated[Method, arg(help="How the closest example is searched; see above.")] = (
        "closest"
    ),
    budget: int | None = None,
    levels: int | None = None,
    save_images: bool = False,
    stream: bool = False,
    reading: Read = READING,
    running: Run = RUNNING,
) -> None:
    """Attack, print the summary, and leave a results folder with a report.

    Args:
        budget: Passes an image at most, a pass being half a forward and a backward one; the
            method's own when not given.
        levels: 256 makes every answer an 8-bit image, which survives being saved as a PNG.
        save_images: Save every adversarial image as a PNG in pictures/ (needs --levels 256).
        stream: Read pictures when they are attacked, and keep none in memory; done without asking
            where they would take more than a GiB.
    """
    from intriguing.cli.console import Console
    from intriguing.cli.opening import open_all
    from intriguing.cli.running import run_verb
    from intriguing.distortion.search import Search
    from intriguing.errors import InputError
    from intriguing.runs import attacking
    from intriguing.runs.examples import Examples, Pictures, Summary
    from intriguing.runs.request import Work

    if save_images and levels != 256:
        raise InputError("--save-images needs --levels 256: an 8-bit file rounds every pixel")
    goal = attacking.parse_targets(targets)
    search = Search(method, budget, levels, running.seed)
    search.check_goal(untargeted=goal == "untargeted")
    place = running.chosen
    opened = open_all([model], data, place, reading, stream=stream or None)
    network = opened.only
    if save_images and opened.images.images.ndim != 4:
        raise InputError(f"--save-images needs pictures; {data} has none, leave it out")
    plan = attacking.plan(network.model, opened.images, goal, running.seed)
    found = Examples(network, plan, search)
    stages = [found, Summary(network, found), Pictures(network, found, save_images)]
    asked = opened.request(
        "attack",
        {"targets": targets, "method": method, "budget": budget, "levels": levels},
        running.seed, attacking.notes(goal, levels), images=(plan.images,), tables=("attack",),
        device=place, required_bytes=attacking.disk_bytes(plan.images),
    )  # fmt: skip
    folder = running.folder("attack", network.name, Path(data).stem)
    run, _ = run_verb(Work(asked, stages), folder, engine=running.engine, fresh=running.fresh)
    console = Console()
    for status, count in run.loaded(found).statuses().items():
        console.print(f"{status:<16}{count:>8,} images", highlight=False)
    if save_images:
        made = folder / "pictures"
        console.print(f"pictures {made}", highlight=False, markup=False, soft_wrap=True)
