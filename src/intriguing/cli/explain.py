"""One image of an audit: its whole story, as text and as a page.

The original, the change, and the adversarial image; what every network says of both; how near the
example is, and within what distance none can be; and the path of c, the paper's search from the
image to the same class.

IMAGE is the id of an attacked image, or a part of it that no other has; without one, the ids are
listed. The path of c needs the audited networks, which are loaded again from where they were.

examples:
  intriguing explain results/audit
  intriguing explain results/audit ostrich
  intriguing explain results/audit 00042.jpg --no-path
"""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


def explain(
    folder: Annotated[Positional[Path], arg(metavar="DIR", help="The --out folder of an audit.")],
    image: Annotated[Positional[str], arg(metavar="IMAGE")] = "",
    path: bool = True,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Print the story of one image, and draw its page in DIR/report/.

    Args:
        image: The id of an attacked image, or a part of it.
        path: Follow the path of c, which takes a search of some hundred passes.
        device: auto takes a GPU where there is one.
    """
    from intriguing.audit import explaining
    from intriguing.cli import setup
    from intriguing.cli.console import Console
    from intriguing.cli.progress import shown
    from intriguing.errors import InputError
    from intriguing.report.story import draw_story, to_text
    from intriguing.results.store import read_run

    console = Console()
    if not image:
        for one in explaining.attacked_ids(folder):
            console.print(one, highlight=False, markup=False)
        return
    config = read_run(folder).config
    networks, missing = {}, []
    for name, spec in zip(config.get("models", ()), config.get("specs", ()), strict=False):
        if not path:
            break
        try:
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
