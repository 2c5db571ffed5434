"""Decide, in as few images as it takes, whether a network is as hard to fool as it has to be.

MODEL is any network and DATA any pictures with their classes, held out from training; see below.

One of three things is asked:
  --at-least 0.02            the median distance to the nearest adversarial example found is no
                             less, as distortion (root mean square of a pixel's change);
                             --quantile 0.1 asks it of all but the nearest tenth
  --robust-accuracy 0.8 --eps 0.5    so many images are classified correctly, also after any change
                             found within so much in L2; with --certified proved instead of searched
  --against BASELINE --no-worse-than 5%    image by image, examples are no more than 5 % nearer
                             than those of another network, or of a results folder of `attack`

Images come in a random order, and the test may stop after any of them: a wrong pass and a wrong
fail have a probability of at most 5 % each (--level), whatever the distances are distributed like.

exit codes: 0 pass, 1 fail, 3 undecided after all images, or by a network that hides its examples
from gradients, 2 wrong input. A pass says that no more was found, not that there is no more.

examples:
  intriguing gate fc.safetensors mnist-5k --at-least 0.02
  intriguing gate new.safetensors mnist-5k --against old.safetensors --no-worse-than 5%
  intriguing gate new.safetensors mnist --limit 500 --against results/attack-old --no-worse-than 5%
  intriguing gate my_network.py:build folder:photos --robust-accuracy 0.8 --eps 0.5
"""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from intriguing.cli.options import READING, RUNNING, Data, Model, Read, Run

EXIT = {"pass": 0, "fail": 1, "undecided": 3}
"""Exit codes; 2 is wrong input, as everywhere."""


def gate(
    model: Model,
    data: Data,
    at_least: float | None = None,
    quantile: float = 0.5,
    robust_accuracy: float | None = None,
    eps: float | None = None,
    certified: bool = False,
    against: Annotated[
        str | None,
        arg(
            metavar="BASELINE",
            help="A network, or the --out folder of `intriguing attack`, `audit`, "
            "`certify` or `gate` on the same images.",
        ),
    ] = None,
    no_worse_than: Annotated[str | None, arg(metavar="SHARE", help="Such as 5%% or 0.05.")] = None,
    level: float = 0.05,
    images: int = 1000,
    budget: int = 200,
    short: int = 20,
    far: float = 2.0,
    certificates: bool | None = None,
    sample: int = 8,
    sample_budget: int = 200,
    surrogates: tuple[str, ...] = (),
    reading: Read = READING,
    running: Run = RUNNING,
) -> None:
    """Decide, and leave a results folder with a report, JUnit, SARIF, Markdown and evidence.

    Args:
        at_least: A distortion.
        quantile: Of the images, or of the ratios to the baseline, that may be nearer.
        robust_accuracy: A share of the images.
        eps: L2 distance in pixel units.
        certified: Count images that are certified beyond eps only.
        level: Probability of a wrong pass, and of a wrong fail, at most.
        images: To look at, at most.
        budget: Passes of the search that decides an image in the end, a pass being half a forward
            and a backward one.
        short: Passes of the short search, which often decides; half of them come first.
        far: Times its limit, and times what the long search gained on the first images: an image
            for which a shorter one finds nothing nearer is decided; inf to search all to the end.
        certificates: Try certificates before long searches, or do not; where they may help when not
            given.
        sample: Images on which a search without gradients is tried before a pass.
        sample_budget: Passes of that search.
        surrogates: Networks whose examples are shown to MODEL before a pass, too.
    """
    from intriguing.cli.command import command
    from intriguing.cli.opening import open_all
    from intriguing.cli.progress import shown
    from intriguing.cli.report import finish
    from intriguing.errors import InputError
    from intriguing.gate.baseline import read_baseline
    from intriguing.gate.config import GateConfig
    from intriguing.gate.plan import Baseline
    from intriguing.gate.run import run_gate
    from intriguing.keys import derive_key

    if (against is None) != (no_worse_than is None):
        raise InputError("--against and --no-worse-than belong together; give both or neither")
    config = GateConfig(
        at_least, quantile, robust_accuracy, eps, certified, parse_share(no_worse_than), level,
        images, budget, short, far, certificates, sample, sample_budget, running.seed,
    )  # fmt: skip
    earlier = against is not None and (Path(against) / "run.json").exists()
    if against is not None and Path(against).is_dir() and not earlier:
        raise InputError(
            f"{against} is a folder without run.json; give a results folder or weights"
        )
    compared = [against] if against is not None and not earlier else []
    opened = open_all([model, *compared, *surrogates], data, running.chosen, reading)
    network, *others = opened.networks
    baseline, asked_images, notes = None, opened.images, opened.notes
    if earlier:
        baseline, asked_images = read_baseline(Path(str(against)), opened.images)
        if len(asked_images) < len(opened.images):
            notes = (*notes, f"Compared on the {len(asked_images):,} images that {against} has "
                     f"searched, of {len(opened.images):,}.")  # fmt: skip
    elif compared:
        baseline, *others = Baseline(others[0].name, others[0].model), *others[1:]
    # A new version of the weights, or another question, has a folder of its own.
    given = opened.images.sha256, opened.record["models_sha256"], config, against
    folder = running.folder("gate", network.name, Path(data).stem, derive_key(*given)[:8])
    with shown() as progress:
        ended = run_gate(
            network.model, asked_images, folder, config, baseline=baseline, name=network.name,
            surrogates={one.name: one.model for one in others},
            settings={**opened.record, "against": against}, words=notes, command=command(),
            engine=running.engine, fresh=running.fresh, report=False, progress=progress,
        )  # fmt: skip
    finish(folder)
    raise SystemExit(EXIT[ended.ruling])


def parse_share(text: str | None) -> float | None:
    """ "5%" or "0.05".

    >>> parse_share("5%"), parse_share("0.05"), parse_share(None)
    (0.05, 0.05, None)
    """
    from intriguing.errors import InputError

    if text is None:
        return None
    number = text.strip().removesuffix("%")
    try:
        return float(number) / (100 if number != text.strip() else 1)
    except ValueError:
        raise InputError(f"--no-worse-than {text}: give a share such as 5%") from None
