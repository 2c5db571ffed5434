"""One page to play with: networks of digits and the paper's search, in a browser, from one file.

Draw or choose a digit, choose a network, and watch box-constrained L-BFGS find the nearest image
that it misreads: the change, the search pass by pass, noise of the same length, what the other
networks say, what is proved, and images of nothing that it is sure of. A lesson of six steps leads
through the paper. The page works from a disk and asks nobody for anything.

MODELS are fully connected networks of images of 28×28, FILE.safetensors written by `intriguing
train`: fcA-B-…, aeA-K, mlpA-B-…. Their weights are rounded to 16 bits inside the page.

examples:
  intriguing playground fc100-100-10.safetensors fc10.safetensors
  intriguing playground a.safetensors b.safetensors --out class.html --digits 60
"""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from intriguing.cli.options import MODEL


def playground(
    models: Annotated[Positional[list[str]], arg(metavar="MODEL", help=MODEL)],
    data: Annotated[str, arg(metavar="DATA")] = "mnist-5k",
    digits: int = 30,
    out: Path = Path("playground.html"),
) -> None:
    """Write the page.

    Args:
        data: mnist or mnist-5k: its test images are those to choose from, and tell the networks'
            errors.
        digits: How many there are to choose from, spread over the classes.
        out: The page.
    """
    import torch

    from intriguing.cli.console import Console
    from intriguing.cli.progress import shown
    from intriguing.cli.setup import load_network
    from intriguing.data.named import load_data
    from intriguing.errors import InputError
    from intriguing.measures import Progress
    from intriguing.playground.networks import carried, rounded
    from intriguing.playground.page import draw_page
    from intriguing.runs.network_names import names_of

    if out.suffix not in (".html", ".htm"):
        raise InputError(f"--out {out} must end in .html")
    if not 1 <= digits <= 200:
        raise InputError(f"--digits {digits}: give a number from 1 to 200")
    test = load_data(data).test
    labels, pixels = test.labels, test.images[0].numel()
    networks = {
        name: rounded(name, load_network(spec, torch.device("cpu")), pixels)
        for name, spec in zip(names_of(models), models, strict=True)
    }
    chosen = torch.cat([(labels == k).nonzero()[: -(-digits // 10), 0] for k in range(10)])
    chosen = chosen.sort().values[:digits]
    made = []
    with shown() as progress:
        for done, (name, network) in enumerate(networks.items()):
            progress(Progress("bounds", done, len(networks), name))
            made.append(carried(name, network, test.images, labels))
        progress(Progress("bounds", len(networks), len(networks)))
    size = draw_page(made, test.images[chosen], labels[chosen], out)
    Console().print(f"{out}: {size / 2**20:.1f} MB; open it in a browser", markup=False)
