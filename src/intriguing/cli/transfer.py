"""Do the examples made for one network fool the others? Tables 2 and 4 for networks of your own.

Every network is attacked on the same images; each row shows its examples to all networks. Rows of
Gaussian noise of the same size say what random distortion does, and rows of amplified examples
(all of the same distortion) compare directions rather than sizes.

examples:
  intriguing transfer a.safetensors b.safetensors --data mnist-5k --limit 200
  intriguing transfer a.safetensors my_network.py:build --data mnist --amplify 0.1 0.2
"""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from intriguing.cli.methods import DATA, MODEL, SIZES, TARGETS, Method
from intriguing.data.limits import LIMITS, Limits


def transfer(
    models: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="MODEL", help=f"Two or more: {MODEL}"),
    ],
    data: Annotated[str, arg(metavar="DATA", help=DATA)],
    targets: Annotated[str, arg(help=TARGETS)] = "random",
    part: Literal["test", "train"] = "test",
    limit: int | None = None,
    method: Method = "paper",
    amplify: tuple[float, ...] = (0.1,),
    input: Annotated[str | None, arg(metavar="SIZES", help=SIZES)] = None,
    seed: int = 0,
    limits: Annotated[Limits, OmitArgPrefixes] = LIMITS,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    out: Path | None = None,
    fresh: bool = False,
) -> None:
    """Attack each network, show its examples to all, and leave a results folder with a report.

    Args:
        data: mnist, mnist-5k or digits.
        part: The test or the training images.
        limit: Only the first so many images.
        method: How examples are searched, see `intriguing attack`; paper is what Tables 2 and 4 do.
        amplify: Distortions to which the examples are amplified.
        seed: Draws the random targets and the noise.
        device: auto takes a GPU where there is one.
        out: The results folder; results/transfer-DATA when not given.
        fresh: Delete the results that are in the folder and start again.
    """
    from intriguing.cli import setup
    from intriguing.cli.command import command
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
    from intriguing.runs.transfer_table import NOTES, transfer_rows

    if len(models) < 2 or len(set(models)) < len(models):
        raise InputError("give two or more different networks, each FILE.safetensors or FILE.py:FN")
    if not all(stddev > 0 for stddev in amplify):
        raise InputError(f"--amplify {' '.join(map(str, amplify))}: give distortions above 0")
    goal = attacking.parse_targets(targets)
    search = Search(method, seed=seed)
    search.check_goal(untargeted=goal == "untargeted")
    place = setup.choose_device(device)
    opened = open_all(models, data, part, limit, input, place, limits)
    images, networks = opened.images, opened.networks
    plans = {
        name: attacking.plan(network, images, goal, seed) for name, network in networks.items()
    }
    records = tuple(provenance.record_model(name, network) for name, network in networks.items())
    folder = out or setup.default_folder("transfer", Path(data).stem)
    config = {
        "models": list(models), "sha256": [record.sha256 for record in records], "data": data,
        "part": part, "limit": limit, "targets": targets, "method": method,
        "amplify": list(amplify), "seed": seed,
    }  # fmt: skip
    space = sum(attacking.disk_bytes(plan.images) for plan in plans.values())
    with open_results(folder, "transfer", config, space, fresh=fresh, may_differ=("amplify",)):
        run = RunRecord(
            "transfer", command(), config, seeds=(seed,), versions=provenance.versions(),
            machine=provenance.machine(place), tables=("attack", "transfer"),
            data=(provenance.record_data(images),), models=records,
            notes=(*attacking.notes(goal, None), *NOTES, *opened.notes),
        )  # fmt: skip
        write_run(folder, run)
        with shown() as progress:
            outcomes = {
                name: attacking.attack_network(
                    f"attacking {name}",
                    network,
                    plans[name],
                    folder / "shards" / file_name(name),
                    search,
                    progress=progress,
                )
                for name, network in networks.items()
            }
        rows = transfer_rows(networks, outcomes, images, amplify, seed)
        for name, outcome in outcomes.items():
            rows += summary(name, networks[name], outcome, seed)
            pictures.write_gallery(folder, name, networks[name], outcome)
        write_rows(folder, Measurement, rows)
        write_columns(folder, ImageRow, (image_columns(n, o, seed) for n, o in outcomes.items()))
        stages = [Stage(f"attack {n}", o.wall_seconds, *o.passes) for n, o in outcomes.items()]
        write_run(folder, attacking.completed(run, *stages))
        finish(folder)
