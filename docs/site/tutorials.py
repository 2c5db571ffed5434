"""Tutorials: scripts in cells (`docs/tutorials`), run as notebooks and made pages of the site.

Each runs in a kernel and a folder of its own. A cell that fails ends the build; so does a tutorial
that takes more than a minute of one core.
"""

import base64
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

LONGEST = 60.0
"""Seconds of processor time that a tutorial may take, with all its imports."""
CLOCK = "import time; print(time.process_time())"


def make_all(sources: list[Path], folder: Path) -> list[str]:
    """Run every tutorial and put its page, its notebook and its pictures into a folder.

    Returns:
        What is wrong: one line for each tutorial that took too long.

    Raises:
        nbclient.exceptions.CellExecutionError: At the first cell that fails.
    """
    # Kernels take their surroundings from this process: one thread each, no window for pictures.
    os.environ.update(OMP_NUM_THREADS="1", MPLBACKEND="module://matplotlib_inline.backend_inline")
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        made = list(pool.map(run, sources))
    for source, (notebook, seconds) in zip(sources, made, strict=True):
        write(notebook, source, folder)
        print(f"{source.name}: {seconds:.0f} s of one core")
    return [
        f"{source.name} takes {seconds:.0f} s, more than {LONGEST:.0f}"
        for source, (_, seconds) in zip(sources, made, strict=True)
        if seconds > LONGEST
    ]


def run(source: Path) -> tuple[nbformat.NotebookNode, float]:
    """The executed notebook of a script, and the seconds of processor time that it took."""
    notebook = jupytext.read(source)
    notebook.cells.append(nbformat.v4.new_code_cell(CLOCK))
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=1200, kernel_name="python3",
            resources={"metadata": {"path": folder}},
            extra_arguments=["--IPKernelApp.log_level=40"],  # errors only
        )  # fmt: skip
        client.execute()
    clock = notebook.cells.pop()
    return notebook, float(clock.outputs[0].text)


def write(notebook: nbformat.NotebookNode, source: Path, folder: Path) -> None:
    """Its page, the notebook beside it, and the pictures of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{source.stem}.ipynb")
    parts = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts.append(as_pages(cell.source))
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for place, output in enumerate(cell.outputs):
            name = f"{source.stem}-{number}-{place}.png"
            parts.append(shown(output, folder / name))
    parts.append(
        f'<p class="notebook">This page was run when the site was built. Take it along: '
        f'<a href="{source.stem}.ipynb" download>notebook</a>, '
        f'<a href="{source.name}" download>script</a>.</p>\n'
    )
    (folder / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / f"{source.stem}.md").write_text("\n\n".join(filter(None, parts)), encoding="utf-8")


def shown(output: nbformat.NotebookNode, picture: Path) -> str:
    """What a cell printed or drew, as Markdown."""
    if output.output_type == "stream":
        return f"```{{ .text .output }}\n{output.text.rstrip()}\n```"
    data = output.get("data", {})
    if "image/png" in data:
        picture.write_bytes(base64.b64decode(data["image/png"]))
        return f"![What the cell above draws]({picture.name})"
    return f"```{{ .text .output }}\n{data['text/plain']}\n```" if "text/plain" in data else ""


def as_pages(text: str) -> str:
    """Links from script to script become links from page to page."""
    return re.sub(r"(\]\((?:docs/)?(?:tutorials/)?\d\d_\w+)\.py\b", r"\1.md", text)
