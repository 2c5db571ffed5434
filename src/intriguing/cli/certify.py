"""How far every image is safe, proved, and how close the nearest adversarial example found is.

The certified radius of an image is a distance, in L2, within which no adversarial example exists:
its margin over each other class divided by a bound of how fast that margin can fall. The true
distance of the nearest adversarial example lies between it and what the search `closest` finds.

MODEL is any network and DATA any pictures; see below what each may be. Pictures are cut as the
network expects them, and without labels its own classes are taken for the true ones.

Should an example
ever be found closer than certified, a bound is wrong: the run stops and says so, with exit code 1.

examples:
  intriguing train fc100-100-10 mnist-5k --out fc.safetensors
  intriguing certify fc.safetensors mnist-5k --limit 200
  intriguing certify fc.safetensors mnist-5k --no-attack        certificates only
  intriguing certify fc.safetensors mnist --no-attack --no-local   of all images, in a minute
  intriguing certify fc.safetensors mnist-5k --limit 200 --epsilon 0.1 0.5 1    accuracies there
  intriguing certify my_network.py:build mnist --limit 500 --budget 100    a quicker search
"""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from intriguing.cli.methods import DATA, MODEL, SIZES
from intriguing.data.limits import LIMITS, Limits


def certify(
    model: Annotated[Positional[str], arg(metavar="MODEL", help=MODEL)],
    data: Annotated[Positional[str], arg(metavar="DATA", help=DATA)],
    part: Literal["test", "train"] = "test",
    limit: int | None = None,
    attack: bool = True,
    budget: int | None = None,
    semidefinite: bool = True,
    local: bool = True,
    epsilon: tuple[float, ...] = (),
    input: Annotated[str | None, arg(metavar="SIZES", help=SIZES)] = None,
    seed: int = 0,
    limits: Annotated[Limits, OmitArgPrefixes] = LIMITS,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    out: Path | None = None,
    fresh: bool = False,
) -> None:
    """Certify, attack, print both side by side, and leave a results folder with a report.

    Args:
        part: The test or the training images.
        limit: Only the first so many images.
        attack: Also search for the nearest adversarial example of every image (any wrong class).
        budget: Passes an image that the search may cost, a pass being half a forward and a
            backward one; as many as the search wants when not given.
        semidefinite: Search for bounds better than products: larger radii, but minutes on wide
            networks.
        local: Then bound anew around each image: radii half as large again, for a second an image
            of a network with some hundreds of units.
        epsilon: L2 distances at which accuracies are printed; round ones when not given.
        seed: Of the search.
        device: auto takes a GPU where there is one.
        out: The results folder; results/certify-MODEL-DATA when not given.
        fresh: Delete the results that are in the folder and start again.
    """
    from intriguing.cli import setup
    from intriguing.cli.command import command
    from intriguing.cli.opening import open_all
    from intriguing.cli.progress import shown
    from intriguing.cli.report import finish
    from intriguing.distortion.search import Search
    from intriguing.names import file_name
    from intriguing.results.opening import open_results
    from intriguing.results.parquet import write_columns, write_rows
    from intriguing.results.rows import CertificateRow, ImageRow, Measurement
    from intriguing.results.schema import RunRecord, Stage
    from intriguing.results.store import write_run
    from intriguing.runs import attacking, bounding, certifying, pictures, provenance
    from intriguing.runs.summary import image_columns

    certifying.check_epsilons(epsilon)
    search = Search(budget=budget, seed=seed)
    place = setup.choose_device(device)
    opened = open_all([model], data, part, limit, input, place, limits)
    images, (name, network) = opened.images, opened.only
    plan = attacking.plan(network, images, "untargeted", seed)
    bounding.check_traceable(model, network, tuple(images.images.shape[1:]))
    record = provenance.record_model(name, network)
    folder = out or setup.default_folder("certify", name, Path(data).stem)
    config = {
        "model": model, "model_sha256": record.sha256, "data": data, "part": part, "limit": limit,
        "attack": attack, "budget": budget, "semidefinite": semidefinite,
        "local": local, "epsilon": list(epsilon), "seed": seed,
    }  # fmt: skip
    may_differ = ("attack", "epsilon") if attack else ("epsilon",)
    space = attacking.disk_bytes(images) if attack else 4_000_000
    with open_results(folder, "certify", config, space, fresh=fresh, may_differ=may_differ):
        run = RunRecord(
            "certify", command(), config, seeds=(seed,), versions=provenance.versions(),
            machine=provenance.machine(place), tables=("certify", "robust"),
            data=(provenance.record_data(images),), models=(record,),
            notes=(*certifying.notes(attack, budget), *opened.notes),
        )  # fmt: skip
        write_run(folder, run)
        with shown() as progress:
            certified = certifying.certify_images(
                folder,
                name,
                network,
                images,
                semidefinite=semidefinite,
                local=local,
                progress=progress,
            )
            outcome = None
            if attack:
                outcome = attacking.attack_network(
                    f"attacking {name}", network, plan, folder / "shards" / file_name(name),
                    search, shard_size=certifying.shard_size(place), progress=progress,
                )  # fmt: skip
                certifying.check(name, network, images, certified, outcome)
        stages = [Stage(f"certify {name}", certified.wall_seconds)]
        if outcome is not None:
            write_columns(folder, ImageRow, [image_columns(name, outcome, seed)])
            pictures.write_gallery(folder, name, network, outcome)
            stages.append(Stage(f"attack {name}", outcome.wall_seconds, *outcome.passes))
        columns = certifying.columns(name, images, certified, outcome, seed)
        write_columns(folder, CertificateRow, [columns])
        write_rows(folder, Measurement, certifying.rows(name, columns, epsilon))
        write_run(folder, attacking.completed(run, *stages))
        said = finish(folder)
    if said.alarms:
        raise SystemExit(1)
