"""Train the paper's networks, find every minimum distortion, and print its tables beside ours.

Give table1 to table5, figure1, figure2, figure7 or filters to make only those; without any, all
are made. table5 bounds how far each layer of AlexNet can carry a change: it trains nothing, needs
no data, and takes networks of yours (--network). figure1 and figure2 show what excites the units of
a convolutional network, and random directions, and test whether that differs; figure3 and figure4
the same of a network for photographs (--network) and a folder or zip of them (--images); figure5
makes 64 of these ostriches by changes that nobody sees. A run that was stopped goes on when the
same command is run again, and finished networks are kept when you come back for more items or
seeds.

hardening stands alone: eleven ways of training the 100-100-10 network, with pools of adversarial
examples at its layers (§4.2), spectral penalties (§4.3), dropout and noise, each judged by its test
error, the nearest adversarial examples, and certified radii. With --search settings are tried on
held-out training images instead.

claims stands alone as well: every sentence of the paper, of its readers and of later work that can
be put to a test, each with a verdict (holds, does not hold, open) by an interval over five seeds,
or by mathematics. Names after it choose some: of claims, or of the topics that they belong to. Its
quick scale is 8x8 digits.

scales:
  quick    5,000 images of MNIST that come with the installation; minutes
  paper    all 70,000; an hour or two on two cores, minutes on a GPU
  smoke    8x8 digits and trainings cut short, to try the machinery; its numbers mean nothing

examples:
  intriguing reproduce                          everything at the quick scale
  intriguing reproduce table1 figure7           only these
  intriguing reproduce --scale paper --seeds 3  the paper's size, with the spread over seeds
  intriguing reproduce --scale paper --dry-run  what would run, and how long it would take
  intriguing reproduce table1 table2 --further conv seed    with networks that the paper has not
  intriguing reproduce table5                   the spectral analysis of AlexNet, in a minute
  intriguing reproduce figure1 figure2          what units and random directions respond to
  intriguing reproduce figure3 figure4 --network squeezenet:squeezenet.safetensors --images photos/
  intriguing reproduce figure5 --network squeezenet:squeezenet.safetensors --images photos.zip
  intriguing reproduce figure6                  an unsupervised network's cars, on CIFAR-10
  intriguing reproduce table5 --network squeezenet:squeezenet.safetensors
  intriguing reproduce table5 --network nets.py:build --input 3,224,224
  intriguing reproduce hardening --scale paper --seeds 5    what hardens a network, at what price
  intriguing reproduce hardening --scale paper --search     the settings of that, by validation
  intriguing reproduce claims                               a verdict on every sentence, in minutes
  intriguing reproduce claims transfer low-probability --seeds 3    on some of them
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from intriguing.addresses import as_folder
from intriguing.cli.options import PLACE, Place, Sizes
from intriguing.data.limits import LIMITS, Limits

if TYPE_CHECKING:
    from intriguing.paper.config import ReproduceConfig


def reproduce(
    items: Annotated[
        Positional[tuple[str, ...]],
        arg(
            metavar="ITEM", help="table1 to table5, figure1 to figure7, filters, hardening, claims."
        ),
    ] = (),
    scale: Literal["quick", "paper", "smoke"] = "quick",
    seeds: int | None = None,
    dry_run: bool = False,
    network: Annotated[str | None, arg(metavar="MODEL")] = None,
    input: Sizes = None,
    images: Annotated[str | None, arg(metavar="FOLDER")] = None,
    budget: int = 200,
    search: bool = False,
    further: Annotated[tuple[str, ...], arg(metavar="NETWORK ...")] = (),
    limits: Annotated[Limits, OmitArgPrefixes] = LIMITS,
    place: Annotated[Place, OmitArgPrefixes] = PLACE,
) -> None:
    """Reproduce §3 and §4.2 of the paper, and Table 5.

    Args:
        scale: How much data, see above.
        seeds: Repeat everything with seeds 0 … N-1; the tables then show the spread. 1 when not
            given, of claims 5, which intervals are over.
        dry_run: Only say what would run, with a time estimate from a short probe.
        network: For table5 and figure3 to figure5: AlexNet's weights (alexnet:FILE), or any network
            (ARCHITECTURE:FILE, FILE.safetensors, FILE.py:FUNCTION).
        input: Shape of one of its images, such as 3,224,224, where it does not say that itself.
        images: For figure3 to figure5: a folder or a .zip of pictures.
        budget: Passes an image of the search for figure5.
        search: For hardening: try settings on held-out training images, without the test images.
        further: Networks that table1 to table4 have besides the paper's: conv (of convolutions),
            seed (100-100-10 from other initial weights), relu, tanh (100-100-10 of such units).
    """
    from intriguing.cli import bounding, hardening
    from intriguing.cli.progress import shown
    from intriguing.cli.running import run_verb
    from intriguing.errors import InputError
    from intriguing.paper.claims.config import ClaimsConfig
    from intriguing.paper.config import ReproduceConfig
    from intriguing.paper.figure6 import Figure6Config
    from intriguing.paper.hardening.config import HardeningConfig
    from intriguing.paper.items import ALONE, DEFAULT
    from intriguing.paper.reproduce import Config, work_of

    device = str(place.chosen)
    config: Config
    many = 1 if seeds is None else seeds
    if further and set(items) & set(ALONE):
        raise InputError("further networks are for table1 to table4")
    if items == ("figure6",):
        if seeds is not None:
            raise InputError("figure6 trains two large networks of one seed: no --seeds")
        if images is not None or input is not None or dry_run:
            raise InputError(
                "figure6 takes --network FILE.safetensors, the file of `intriguing train "
                "quocnet-tiny cifar10`, whose --dry-run says what it costs; no --images, --input "
                "or --dry-run"
            )
        config, name = Figure6Config(scale, device=device, given=network), "reproduce-figure6"
    elif items == ("hardening",):
        if network is not None or images is not None:
            raise InputError("hardening trains networks of its own: no --network, no --images")
        config = HardeningConfig(scale, many, device, search)
        name = "search-hardening" if search else "reproduce-hardening"
    elif items[:1] == ("claims",):
        if network is not None or images is not None or input is not None or dry_run or search:
            raise InputError(
                "claims train networks of their own: no --network, --images, --input, --dry-run or "
                "--search"
            )
        config = ClaimsConfig(
            tuple(dict.fromkeys(items[1:])), scale, ClaimsConfig.seeds if seeds is None else seeds,
            device,
        )  # fmt: skip
        name = "reproduce-claims"
    else:
        if search:
            raise InputError("--search is of hardening: intriguing reproduce hardening --search")
        config = ReproduceConfig(
            items=tuple(dict.fromkeys(items)) or DEFAULT, scale=scale, seeds=many, device=device,
            network=network, input=None if input is None else bounding.parse_shape(input),
            images=images, budget=budget, further=tuple(dict.fromkeys(further)),
        )  # fmt: skip
        name = "reproduce"
    folder = as_folder(place.out or Path("results") / f"{name}-{scale}")
    if isinstance(config, HardeningConfig) and dry_run:
        hardening.describe(config, folder)
        return
    if isinstance(config, ReproduceConfig) and dry_run:
        _describe(config, folder)
        return
    with shown() as progress:
        work = work_of(config, progress, limits)
    engine = place.engine
    if isinstance(config, HardeningConfig | ClaimsConfig) and engine.here:
        engine = hardening.engine(device)
    run_verb(work, folder, engine=engine, fresh=place.fresh)


def _describe(config: "ReproduceConfig", folder: Path) -> None:
    """Print the plan and its time; nothing is written."""
    from rich.table import Table

    from intriguing.cli.console import Console
    from intriguing.cli.estimate import plan
    from intriguing.cli.progress import shown
    from intriguing.report.html import duration

    with shown() as progress:
        planned = plan(config, progress)
    table = Table("Network", "trained on", "attacked on", "about", box=None)
    for entry in planned:
        table.add_row(
            entry.title,
            f"{entry.trained_on:,} images" if entry.trained_on else "–",
            f"{entry.attacked_on:,} images" if entry.attacked_on else "–",
            duration(entry.seconds),
        )
    console = Console()
    console.print(table)
    total = sum(entry.seconds for entry in planned)
    console.print(
        f"\nmakes    {', '.join(config.items)}\nin       {folder}\n"
        f"takes    about {duration(total)} on {config.device}, by a short probe of it now",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
