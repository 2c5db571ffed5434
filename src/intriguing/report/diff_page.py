"""The page of what changed between two runs, and its Markdown."""

from pathlib import Path

from intriguing.files import explained, write_whole
from intriguing.report.browser import templates
from intriguing.report.diff import Difference, sentences, table, to_markdown
from intriguing.written import refuse_links


def write_difference(made: Difference, folder: Path) -> Path:
    """Write index.html and diff.md; returns the path of the page.

    Raises:
        InputError: If the folder cannot be written.
    """
    refuse_links(folder)
    head, rows = table(made)
    page = templates().get_template("diff.html.j2").render(
        title="What changed", sentences=sentences(made), head=head, rows=rows,
        runs=(("before", made.before), ("after", made.after)), only_before=made.only_before,
        only_after=made.only_after,
    )  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "index.html", page)
        write_whole(folder / "diff.md", to_markdown(made))
    except OSError as error:
        raise explained(error, folder) from error
    return folder / "index.html"
