"""Do the examples made for one network fool the others? Tables 2 and 4 for networks of your own.

Every network is attacked on the same images; each row shows its examples to all networks. Rows of
Gaussian noise of the same size say what random distortion does, and rows of amplified examples
(all of the same distortion) compare directions rather than sizes.

examples:
  intriguing transfer a.safetensors b.safetensors --data mnist-5k --limit 200
  intriguing transfer a.safetensors my_network.py:build --data mnist --amplify 0.1 0.2
"""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from intriguing.cli.options import DATA, MODEL, READING, RUNNING, Method, Read, Run, Targets


def transfer(
    models: Annotated[
        Positional[tuple[str, ...]], arg(metavar="MODEL", help=f"Two or more: {MODEL}")
    ],
    data: Annotated[str, arg(metavar="DATA", help=DATA)],
    targets: Targets = "random",
    method: Method = "paper",
    amplify: tuple[float, ...] = (0.1,),
    stream: bool = False,
    reading: Read = READING,
    running: Run = RUNNING,
) -> None:
    """Attack each network, show its examples to all, and leave a results folder with a report.

    Args:
        method: How examples are searched, see `intriguing attack`; paper is what Tables 2 and 4 do.
        amplify: Distortions to which the examples are amplified.
        stream: As of `intriguing attack`.
    """
    from intriguing.cli.opening import open_all
    from intriguing.cli.running import run_verb
    from intriguing.distortion.search import Search
    from intriguing.errors import InputError
    from intriguing.runs import attacking
    from intriguing.runs.examples import Examples, Pictures, Summary
    from intriguing.runs.request import Work
    from intriguing.runs.stage import Stage
    from intriguing.runs.transfer_table import NOTES, Transfer

    if len(models) < 2 or len(set(models)) < len(models):
        raise InputError("give two or more different networks, each FILE.safetensors or FILE.py:FN")
    if not all(stddev > 0 for stddev in amplify):
        raise InputError(f"--amplify {' '.join(map(str, amplify))}: give distortions above 0")
    goal = attacking.parse_targets(targets)
    search = Search(method, seed=running.seed)
    search.check_goal(untargeted=goal == "untargeted")
    place = running.chosen
    opened = open_all(models, data, place, reading, stream=stream or None)
    images = opened.images
    attacks = tuple(
        Examples(network, attacking.plan(network.model, images, goal, running.seed), search)
        for network in opened.networks
    )
    asked = opened.request(
        "transfer", {"targets": targets, "method": method, "amplify": list(amplify)}, running.seed,
        (*attacking.notes(goal, None), *NOTES), may_differ=("amplify",), images=(images,),
        tables=("attack", "transfer", "transfer-net"), device=place,
        required_bytes=sum(attacking.disk_bytes(one.plan.images) for one in attacks),
    )  # fmt: skip
    stages: list[Stage] = [
        *attacks, Transfer(opened.networks, attacks, images, amplify, running.seed)
    ]  # fmt: skip
    for network, found in zip(opened.networks, attacks, strict=True):
        stages += [Summary(network, found), Pictures(network, found)]
    folder = running.folder("transfer", Path(data).stem)
    run_verb(Work(asked, stages), folder, engine=running.engine, fresh=running.fresh)
