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
    from intriguing.cli.command import command
    from intriguing.cli.console import Console
    from intriguing.cli.opening import open_all
    from intriguing.cli.progress import shown
    from intriguing.cli.report import finish
    from intriguing.distortion.search import Search
    from intriguing.errors import InputError
    from intriguing.names import file_name
    from intriguing.results.opening import open_results
    from intriguing.results.parquet import write_columns, write_rows
    from intriguing.results.rows import ImageRow, Measurement
    from intriguing.results.schema import RunRecord, Stage
    from intriguing.results.store import write_run
    from intriguing.runs import attacking, pictures, provenance
    from intriguing.runs.summary import image_columns, summary

    if save_images and levels != 256:
        raise InputError("--save-images needs --levels 256: an 8-bit file rounds every pixel")
    goal = attacking.parse_targets(targets)
    search = Search(method, budget, levels, seed)
    search.check_goal(untargeted=goal == "untargeted")
    place = setup.choose_device(device)
    opened = open_all([model], data, part, limit, input, place, limits)
    images, (name, network) = opened.images, opened.only
    if save_images and images.images.ndim != 4:
        raise InputError(f"--save-images needs pictures; {data} has none, leave it out")
    plan = attacking.plan(network, images, goal, seed)
    record = provenance.record_model(name, network)
    folder = out or setup.default_folder("attack", name, Path(data).stem)
    config = {
        "model": model, "model_sha256": record.sha256, "data": data, "part": part, "limit": limit,
        "targets": targets, "method": method, "budget": budget, "levels": levels, "seed": seed,
    }  # fmt: skip
    with open_results(folder, "attack", config, attacking.disk_bytes(plan.images), fresh=fresh):
        run = RunRecord(
            "attack", command(), config, seeds=(seed,), versions=provenance.versions(),
            machine=provenance.machine(place), tables=("attack",),
            data=(provenance.record_data(plan.images),), models=(record,),
            notes=(*attacking.notes(goal, levels), *opened.notes),
        )  # fmt: skip
        write_run(folder, run)
        with shown() as progress:
            shards = folder / "shards" / file_name(name)
            attacked = attacking.attack_network(
                f"attacking {name}", network, plan, shards, search, progress=progress
            )
        write_rows(folder, Measurement, summary(name, network, attacked, seed))
        write_columns(folder, ImageRow, [image_columns(name, attacked, seed)])
        pictures.write_gallery(folder, name, network, attacked)
        if save_images:
            pictures.write_pngs(folder / "pictures", attacked)
        stage = Stage(f"attack {name}", attacked.wall_seconds, *attacked.passes)
        write_run(folder, attacking.completed(run, stage))
        finish(folder)
    console = Console()
    for status, count in attacked.statuses().items():
        console.print(f"{status:<16}{count:>8,} images", highlight=False)
    if save_images:
        made = folder / "pictures"
        console.print(f"pictures {made}", highlight=False, markup=False, soft_wrap=True)
