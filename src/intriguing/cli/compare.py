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

from intriguing.cli.options import READING, RUNNING, Data, Method, Model, Read, Run, Targets


def compare(
    model: Model,
    data: Data,
    methods: tuple[Method, ...] = ("closest", "paper", "ddn", "pdgd", "fmn"),
    targets: Targets = "random",
    budget: int | None = None,
    levels: int | None = None,
    reading: Read = READING,
    running: Run = RUNNING,
) -> None:
    """Run every method, print the tables, and leave a results folder with a report.

    Args:
        methods: Two or more.
        budget: Passes an image at most, a pass being half a forward and a backward one; each
            method's own when not given. The method paper takes none and ends when c is known.
        levels: 256 makes every answer an 8-bit image, which survives being saved as a PNG.
    """
    from intriguing.cli.opening import open_all
    from intriguing.cli.running import run_verb
    from intriguing.runs import attacking, comparing
    from intriguing.runs.comparing import Compare, OneMethod
    from intriguing.runs.request import Work

    comparing.check_methods(methods)
    goal = attacking.parse_targets(targets)
    searches = [
        comparing.search_of(method, budget=budget, levels=levels, seed=running.seed)
        for method in methods
    ]
    for search in searches:
        search.check_goal(untargeted=comparing.goal_of(search.method, goal) == "untargeted")
    place = running.chosen
    opened = open_all([model], data, place, reading)
    network = opened.only
    plan = attacking.plan(network.model, opened.images, goal, running.seed)
    asked = opened.request(
        "compare",
        {"targets": targets, "methods": list(methods), "budget": budget, "levels": levels},
        running.seed,
        (*attacking.notes(goal, levels), *comparing.notes(methods, goal, budget, levels)),
        may_differ=("methods",), images=(plan.images,), tables=("compare", "paired"),
        device=place, required_bytes=len(methods) * attacking.disk_bytes(plan.images),
    )  # fmt: skip
    found = tuple(
        OneMethod(
            network, own := comparing.plan_of(search.method, plan), search,
            shard_size=attacking.shard_size(own, comparing.shard_size(place)),
        )
        for search in searches
    )  # fmt: skip
    folder = running.folder("compare", network.name, Path(data).stem)
    run_verb(
        Work(asked, [*found, Compare(network, found)]),
        folder,
        engine=running.engine,
        fresh=running.fresh,
    )
