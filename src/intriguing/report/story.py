"""The page and the text of one image's story."""

import math
from contextlib import suppress
from pathlib import Path

from markupsafe import Markup

from intriguing.errors import InputError
from intriguing.files import write_whole
from intriguing.names import file_name
from intriguing.report.browser import templates
from intriguing.report.contents import TensorFile
from intriguing.report.curves import descent
from intriguing.report.figure_style import inline, vectors
from intriguing.report.viewer import one_pair
from intriguing.results.damage import blame
from intriguing.results.explained import Nearest, Said, Story
from intriguing.results.store import find_tensors, read_run, read_tensors
from intriguing.written import refuse_links

STATUSES = {
    "FOUND": "found, an upper bound of the true distance",
    "OPTIMAL": "found, and proved to be the nearest",
    "ALREADY": "misclassified as it is",
    "NOT_FOUND": "none was found, which proves nothing",
}


def to_text(story: Story) -> str:
    """The story for a terminal."""
    lines = [f"{story.image_id}: {story.called(story.label)}"]
    for made in story.made:
        lines += [
            "",
            f"the nearest example for {made.network}",
            *map("  {}".format, _facts(story, made)),
        ]
        for said in made.said:
            lines += [f"  {said.network} says", f"    of the image    {_top(story, said.before)}",
                      f"    of the example  {_top(story, said.after)}"]  # fmt: skip
        if made.path:
            lines.append("  path of c, by the paper's search (larger c: shorter change)")
            lines += [
                f"    c = {solve.c:<10.4g} ‖r‖ = {solve.l2:<9.4g} "
                f"{'adversarial' if solve.adversarial else 'not adversarial'}"
                for solve in made.path
            ]
    return "\n".join(lines)


def _facts(story: Story, made: Nearest) -> list[str]:
    """How near, what is proved, what it becomes."""
    if not math.isfinite(made.l2):
        return [STATUSES.get(made.status, made.status)]
    how = STATUSES.get(made.status, made.status)
    said = [
        f"becomes {story.called(made.target)}",
        f"distortion {made.distortion:.4g}, L2 {made.l2:.4g} ({how})",
    ]
    if made.certified is None:
        said.append("no certificate was computed")
    elif made.certified == 0:
        said.append("nothing is certified: no finite bound of the network is known")
    else:
        said.append(
            f"safe from every change shorter than {made.certified:.3g} in L2, proved: "
            f"{100 * made.certified / max(made.l2, 1e-30):.2g} % of the distance found"
        )
    fooled = [s.network for s in made.said if s.network != made.network
              and s.after[0][0] != story.label]  # fmt: skip
    others = [s.network for s in made.said if s.network != made.network]
    if others:
        said.append(f"fools {', '.join(fooled) or 'none'} of the other networks ({len(others)})")
    return said


def _top(story: Story, top: tuple[tuple[int, float], ...]) -> str:
    return ", ".join(f"{story.called(number)} {logit:.2f}" for number, logit in top[:3])


def draw_story(folder: Path, story: Story) -> Path:
    """Draw DIR/report/explain-IMAGE.html, which loads nothing.

    Raises:
        InputError: If a part of the folder is elsewhere.
    """
    refuse_links(folder)
    with blame(folder):
        return _draw(folder, story)


def _draw(folder: Path, story: Story) -> Path:
    parts = []
    for place, made in enumerate(story.made):
        viewer = _viewer(folder, story, made, place)
        path = ""
        if len(made.path) > 1:
            figure = descent([(s.c, s.l2, s.adversarial) for s in made.path], made.l2)
            words = "Length of the change against c, adversarial answers filled"
            path = inline(figure, vectors(figure), f"path-{place}", words)
        rows = [_row(story, said) for said in made.said]
        parts.append((made, _facts(story, made), viewer, Markup(path), rows))
    page = folder / "report" / f"{file_name('explain', story.image_id)}.html"
    run = read_run(folder)
    text = templates().get_template("story.html.j2").render(
        run=run, story=story, title=f"{story.called(story.label)}: {story.image_id}", parts=parts
    )  # fmt: skip
    write_whole(page, text)
    return page


def _viewer(folder: Path, story: Story, made: Nearest, place: int) -> Markup:
    name = find_tensors(folder, kind="pairs", made="nearest", network=made.network)
    if name is not None:
        with suppress(InputError):  # of the images attacked, only the first ones' pairs are kept
            file = TensorFile(name, *read_tensors(folder, name))
            return one_pair(file, story.image_id, f"{name}-{place}")
    return Markup("<p>No picture was kept of this image.</p>")


def _row(story: Story, said: Said) -> tuple[str, str, str, str]:
    change = said.label_after - said.label_before
    return (said.network, _top(story, said.before), _top(story, said.after),
            f"{said.label_before:.2f} → {said.label_after:.2f} ({change:+.2f})")  # fmt: skip
