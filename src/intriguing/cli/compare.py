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
    from intriguing.cli.command import command
    from intriguing.cli.opening import open_all
    from intriguing.cli.progress import shown
    from intriguing.cli.report import finish
    from intriguing.results.opening import open_results
    from intriguing.results.parquet import write_columns
    from intriguing.results.rows import ImageRow
    from intriguing.results.schema import RunRecord, Stage
    from intriguing.results.store import write_run
    from intriguing.runs import attacking, comparing, provenance

    comparing.check_methods(methods)
    goal = attacking.parse_targets(targets)
    searches = [
        comparing.search_of(method, budget=budget, levels=levels, seed=seed) for method in methods
    ]
    for search in searches:
        search.check_goal(untargeted=comparing.goal_of(search.method, goal) == "untargeted")
    place = setup.choose_device(device)
    opened = open_all([model], data, part, limit, input, place, limits)
    images, (name, network) = opened.images, opened.only
    plan = attacking.plan(network, images, goal, seed)
    record = provenance.record_model(name, network)
    folder = out or setup.default_folder("compare", name, Path(data).stem)
    config = {
        "model": model, "model_sha256": record.sha256, "data": data, "part": part, "limit": limit,
        "targets": targets, "methods": list(methods), "budget": budget, "levels": levels,
        "seed": seed,
    }  # fmt: skip
    space = len(methods) * attacking.disk_bytes(plan.images)
    with open_results(folder, "compare", config, space, fresh=fresh, may_differ=("methods",)):
        run = RunRecord(
            "compare", command(), config, seeds=(seed,), versions=provenance.versions(),
            machine=provenance.machine(place), tables=("compare", "paired"),
            data=(provenance.record_data(plan.images),), models=(record,),
            notes=(*attacking.notes(goal, levels),
                   *comparing.notes(methods, goal, budget, levels), *opened.notes),
        )  # fmt: skip
        write_run(folder, run)
        with shown() as progress:
            outcomes = {
                search.method: attacking.attack_network(
                    f"{search.method} on {name}", network, comparing.plan_of(search.method, plan),
                    folder / "shards" / search.method, search,
                    shard_size=comparing.shard_size(place), columns=comparing.COLUMNS,
                    progress=progress,
                )
                for search in searches
            }  # fmt: skip
        comparing.write_comparison(folder, name, outcomes, seed)
        write_columns(folder, ImageRow, comparing.image_parts(name, outcomes, seed))
        stages = [Stage(method, o.wall_seconds, *o.passes) for method, o in outcomes.items()]
        write_run(folder, attacking.completed(run, *stages))
        finish(folder)
