"""One image of an audit: its whole story, as text and as a page.

The original, the change, and the adversarial image; what every network says of both; how near the
example is, and within what distance none can be; and the path of c, the paper's search from the
image to the same class.

IMAGE is the id of an attacked image, or a part of it that no other has; without one, the ids are
listed. The path of c needs the audited networks, which are loaded again from where they were; but
of FILE.py:FUNCTION, which is executed, only where you name it again: DIR may be somebody else's.

examples:
  intriguing explain results/audit
  intriguing explain results/audit ostrich
  intriguing explain results/audit 00042.jpg --no-path
  intriguing explain results/audit ostrich --network net.py:build
"""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from intriguing.addresses import as_folder
from intriguing.cli.options import Device
from intriguing.errors import InputError


def explain(
    folder: Annotated[Positional[Path], arg(metavar="DIR", help="The --out folder of an audit.")],
    image: Annotated[Positional[str], arg(metavar="IMAGE")] = "",
    network: Annotated[tuple[str, ...], arg(metavar="MODEL ...")] = (),
    path: bool = True,
    device: Device = "auto",
) -> None:
    """Print the story of one image, and draw its page in DIR/report/.

    Args:
        image: The id of an attacked image, or a part of it.
        network: The audited networks in the audit's order, in place of those that its run.json
            names.
        path: Follow the path of c, which takes a search of some hundred passes.
        device: auto takes a GPU where there is one.
    """
    from intriguing.audit import explaining
    from intriguing.cli import setup
    from intriguing.cli.console import Console
    from intriguing.cli.progress import shown
    from intriguing.report.story import draw_story, to_text

    console, folder = Console(), as_folder(folder)
    if not image:
        for one in explaining.attacked_ids(folder):
            console.print(one, highlight=False, markup=False)
        return
    names, specs = audited(folder)
    if network and len(network) != len(names):
        raise InputError(f"--network names {len(network)} and the audit was of {len(names)}")
    networks, missing = {}, []
    for name, spec in zip(names, network or specs, strict=False) if path else ():
        try:
            if ".py" in spec and not network:
                raise InputError(
                    f"{folder / 'run.json'} says {spec}, which would be executed; if you trust it, "
                    "give --network and the networks"
                )
            networks[name] = setup.load_network(spec, setup.choose_device(device))
        except InputError as error:
            missing.append(f"no path of c for {name}: {error}")
    with shown() as progress:
        story = explaining.explain(folder, image, networks, path=path, progress=progress)
    page = draw_story(folder, story)
    console.print(to_text(story), highlight=False, markup=False)
    for sentence in missing:
        console.print(sentence, highlight=False, markup=False)
    console.print(f"\npage     {page}", highlight=False, markup=False, soft_wrap=True)


def audited(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the networks of an audit, and where they came from, as its record says."""
    from intriguing.results.store import read_run

    config = read_run(folder).config
    names, specs = config.get("models", []), config.get("specs", [])
    both = (names, specs)
    if not all(isinstance(v, list) and all(isinstance(n, str) for n in v) for v in both):
        raise InputError(f"{folder / 'run.json'} is damaged: it names no networks; use another")
    return names, specs
