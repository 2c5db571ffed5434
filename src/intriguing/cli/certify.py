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
  intriguing certify fc.safetensors mnist-5k --limit 50 --seconds 5s    larger radii, in that time
  intriguing certify fc.safetensors mnist-5k --limit 50 --exact 60s    the truth, to 1 %
  intriguing certify my_network.py:build mnist --limit 500 --budget 100    a quicker search
"""

from pathlib import Path

from intriguing.cli.options import READING, RUNNING, Data, Model, Read, Run


def certify(
    model: Model,
    data: Data,
    attack: bool = True,
    budget: int | None = None,
    semidefinite: bool = True,
    local: bool = True,
    multipliers: bool = False,
    seconds: str | None = None,
    exact: str | None = None,
    epsilon: tuple[float, ...] = (),
    stream: bool = False,
    reading: Read = READING,
    running: Run = RUNNING,
) -> None:
    """Certify, attack, print both side by side, and leave a results folder with a report.

    Args:
        attack: Also search for the nearest adversarial example of every image (any wrong class).
        budget: Passes an image that the search may cost, a pass being half a forward and a
            backward one; as many as the search wants when not given.
        semidefinite: Search for bounds better than products: larger radii, but minutes on wide
            networks.
        local: Then bound anew around each image: radii half as large again, for a second an image
            of a network with some hundreds of units; of convolutional ones larger, for half a
            minute or a whole one.
        multipliers: Then search for larger radii still around images of dense networks, by all that
            holds in the box: some seconds an image.
        seconds: How long bounds around an image may take, of one core, such as 5s or 1m: then radii
            by multipliers and by a relaxation grow no further. They depend on the machine's speed.
        exact: Then prove that no example is shorter than what was found by more than 1 percent, by
            branch and bound over what enters the activations, for so long an image at most: 60s,
            2m. Examples that turn up on the way replace longer ones. For chains of some hundreds
            of units, of fully connected layers and small convolutions.
        epsilon: L2 distances at which accuracies are printed; round ones when not given.
        stream: As of `intriguing attack`.
    """
    from intriguing.cli.opening import open_all
    from intriguing.cli.running import run_verb
    from intriguing.distortion.search import Search
    from intriguing.errors import InputError
    from intriguing.measures import UNIT_BOX
    from intriguing.runs import attacking, bounding, certifying, proving
    from intriguing.runs.certificates import Certificates
    from intriguing.runs.certifying import Certify
    from intriguing.runs.examples import Examples, Pictures
    from intriguing.runs.request import Work
    from intriguing.runs.stage import Stage
    from intriguing.spectral.certificates.exact import Exact

    certifying.check_epsilons(epsilon)
    proof = proving.parse_seconds(exact)
    around = proving.parse_seconds(seconds, "--seconds")
    if around and not (local and semidefinite):
        raise InputError("--seconds are for bounds around each image; leave out --no-local and "
                         "--no-semidefinite")  # fmt: skip
    if proof and not attack:
        raise InputError("--exact goes on from what the search finds; leave out --no-attack")
    search = Search(budget=budget, seed=running.seed)
    place = running.chosen
    opened = open_all([model], data, place, reading, stream=stream or None)
    images, network = opened.images, opened.only
    plan = attacking.plan(network.model, images, "untargeted", running.seed)
    bounding.check_traceable(model, network.model, tuple(images.images.shape[1:]))
    if proof:
        Exact.of(network.model, images.images[:8], UNIT_BOX)
    asked = opened.request(
        "certify",
        {"attack": attack, "budget": budget, "semidefinite": semidefinite, "local": local,
         "multipliers": multipliers, "seconds": around, "exact": proof, "epsilon": list(epsilon)},
        running.seed, certifying.notes(attack, budget), images=(images,),
        may_differ=("attack", "epsilon") if attack else ("epsilon",),
        tables=("certify", "robust"), device=place,
        required_bytes=attacking.disk_bytes(images) if attack else 4_000_000,
    )  # fmt: skip
    found = Examples(
        network, plan, search, shard_size=attacking.shard_size(plan, certifying.shard_size(place))
    )
    proved = Certificates(network, images, semidefinite, local, multipliers, around)
    closed = proving.Proved(network, found, proof) if proof else found
    both = Certify(network, proved, closed if attack else None, epsilon, running.seed)
    stages: list[Stage] = [both, found, Pictures(network, found)] if attack else [both]
    called = (network.name, Path(data).stem, *(["exact"] if proof else []))
    folder = running.folder("certify", *called)
    _, said = run_verb(Work(asked, stages), folder, engine=running.engine, fresh=running.fresh)
    if said.alarms:
        raise SystemExit(1)
