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
    from intriguing.cli.opening import open_all
    from intriguing.cli.running import run_verb
    from intriguing.distortion.search import Search
    from intriguing.errors import InputError
    from intriguing.models.weights import model_sha256
    from intriguing.runs import attacking
    from intriguing.runs.examples import Examples, Pictures, Summary
    from intriguing.runs.run import Request
    from intriguing.runs.stage import Stage
    from intriguing.runs.transfer_table import NOTES, Transfer

    if len(models) < 2 or len(set(models)) < len(models):
        raise InputError("give two or more different networks, each FILE.safetensors or FILE.py:FN")
    if not all(stddev > 0 for stddev in amplify):
        raise InputError(f"--amplify {' '.join(map(str, amplify))}: give distortions above 0")
    goal = attacking.parse_targets(targets)
    search = Search(method, seed=seed)
    search.check_goal(untargeted=goal == "untargeted")
    place = setup.choose_device(device)
    opened = open_all(models, data, part, limit, input, place, limits)
    images = opened.images
    attacks = tuple(
        Examples(network, attacking.plan(network.model, images, goal, seed), search)
        for network in opened.networks
    )
    asked = Request(
        "transfer",
        {
            "models": list(models), "sha256": [model_sha256(one.model) for one in opened.networks],
            "data": data, "part": part, "limit": limit, "targets": targets, "method": method,
            "amplify": list(amplify), "seed": seed,
        },
        may_differ=("amplify",), networks=opened.networks, images=(images,),
        tables=("attack", "transfer"), seeds=(seed,), device=place,
        notes=(*attacking.notes(goal, None), *NOTES, *opened.notes),
        required_bytes=sum(attacking.disk_bytes(one.plan.images) for one in attacks),
    )  # fmt: skip
    folder = out or setup.default_folder("transfer", Path(data).stem)
    stages: list[Stage] = [*attacks, Transfer(opened.networks, attacks, images, amplify, seed)]
    for found in attacks:
        stages += [Summary(found.network, found), Pictures(found.network, found)]
    run_verb(stages, asked, folder, fresh=fresh)
