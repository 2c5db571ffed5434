"""How every figure looks, and how it becomes PNG, SVG, or an element of the page."""

import base64
import io
import re
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation
from PIL import Image

from intriguing.names import visible

INK, MUTED, GRID = "#1d2531", "#5d6674", "#d8dbe0"
SERIES = ("#0b6fae", "#d2571c", "#0a8f68", "#b3569a", "#b98207", "#5a6acf", "#7a8b1f", "#8a5a3c")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")

# Sizes in points and inches of the page; what is thinner or smaller is not seen in print.
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar in somebody's name is a dollar
    "svg.hashsalt": "intriguing",
}


PICTURED = 60_000
"""Bytes of pictures inside an SVG from which a page has a picture of the whole figure instead."""
SCREEN = 120
"""Dots an inch of that picture: a quarter more than a screen's 96."""


@dataclass(frozen=True)
class Drawing:
    """A figure with its title, what it shows in words, and the files it was drawn from."""

    name: str
    title: str
    caption: str
    description: str
    sources: tuple[str, ...]
    draw: Callable[[], Figure]


@contextmanager
def style() -> Iterator[None]:
    """Draw with the report's fonts, colours and lines."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the font lacks some scripts
        warnings.filterwarnings("ignore", "constrained_layout not applied")  # names fill it all
        yield


def label(text: str, longest: int = 48) -> str:
    """A name from elsewhere as a figure shows it: short, in one line, nothing in it invisible."""
    shown = visible(" ".join(text.split()), longest)
    # A legend leaves out what begins so.
    return f" {shown}" if shown.startswith("_") else shown


LINE = 0.15
"""Inches between two lines of 8 points."""


def characters(inches: float) -> int:
    """How many of 8 points go into a line: most are narrower than this, so that none overlap."""
    return max(int(inches / 0.075), 4)


def folded(text: str, inches: float, lines: int = 2) -> str:
    """A name from elsewhere in lines of 8 points, broken between words where that is possible.

    Of what is longer the middle is left out.

    >>> print(folded("n07614500_ice_cream", 0.85))
    n07614500_
    ice_cream
    """
    across = characters(inches)
    found = [""]
    for piece in re.findall(r"[^\s_,/-]*[\s_,/-]?", label(text, lines * across)):
        if len(found[-1]) + len(piece.rstrip()) > across and found[-1]:
            found.append("")
        found[-1] += piece
    if len(found) > lines or max(map(len, found)) > across:
        whole = "".join(found)
        found = [whole[start : start + across] for start in range(0, len(whole), across)]
    return "\n".join(map(str.strip, found))


def logarithmic(axis: Axes, which: Literal["x", "y"]) -> None:
    """Make the x or the y axis logarithmic, its ticks text."""
    axis.set(**{f"{which}scale": "log"})
    one = axis.xaxis if which == "x" else axis.yaxis
    one.set_major_formatter(_Powers())
    one.set_minor_formatter(_Powers(labelOnlyBase=False))


class _Powers(LogFormatterSciNotation):
    """Ticks of a logarithmic axis as text: 10⁻³, 2×10⁻³."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The tick at `x`; nothing where there is no room for one."""
        found = re.fullmatch(r"\$\\mathdefault\{(.*)\^\{(.*)\}\}\$", super().__call__(x, pos))
        if found is None:
            return ""
        power = found[2].translate(str.maketrans("-−0123456789", "⁻⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return found[1].replace(r"\times", "×") + power


def axes(
    width: float, height: float, columns: int = 1, rows: int = 1, **keywords: Any
) -> tuple[Figure, Any]:
    """A figure of so many inches that never touches a window system, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **keywords)


def bare(axis: Axes) -> None:
    """No frame, ticks or grid: the axis holds a picture."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def png(figure: Figure, dpi: int = 180) -> bytes:
    """The figure as PNG on white."""
    return _saved(figure, "png", dpi=dpi, facecolor="white")


def vectors(figure: Figure) -> str:
    """The figure as SVG with nothing behind it, the same bytes each time."""
    nothing: Any = {"Date": None, "Creator": None}
    return _saved(figure, "svg", transparent=True, metadata=nothing).decode()


def svg(drawn: str) -> str:
    """What `vectors` gave as an SVG file on white: the figure's own patch is its first."""
    return _lighter(drawn.replace("fill: none", "fill: #ffffff", 1))


def inline(figure: Figure, drawn: str, name: str, description: str) -> str:
    """The figure as an element of a page: an <svg> in the page's colours and font, ids of its own.

    One made of pictures is a single picture instead, as sharp as a screen: its files have the rest.

    Args:
        figure: Whose texts are `label`s where they came from elsewhere.
        drawn: What `vectors` gave of it.
        name: Made by `file_name`; begins all ids.
        description: What is seen, for those who do not.
    """
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = drawn[drawn.index("<svg") :]
    if sum(map(len, re.findall(r"data:image/[^\"]*", drawn))) > PICTURED:
        return _picture(figure, description)
    head, body = drawn.split(">", 1)
    view = re.search(r'viewBox="([^"]*)"', head)
    width = float(view.group(1).split()[2]) if view else 600.0
    for colour, variable in ((INK, "--ink"), (MUTED, "--muted"), (GRID, "--rule")):
        body = body.replace(colour, f"var({variable})")
    body = body.replace("'DejaVu Sans'", "var(--sans)")
    used = {f'id="{one}"' for one in re.findall(r'(?:url\(|href=")#([^)"]*)', body)}
    body = re.sub("<[^>]*>", lambda tag: _own(_short(tag[0], used), name), body)
    body = re.sub(r">\s+<", "><", body)
    return (
        f'<svg role="img" aria-label="{escape(visible(description))}" viewBox="'
        f'{view.group(1) if view else "0 0 600 400"}" style="max-width:{width * 4 / 3:.0f}px">'
        f"{body}"
    )


def _picture(figure: Figure, description: str) -> str:
    buffer = io.BytesIO()
    drawn = Image.open(io.BytesIO(png(figure, dpi=SCREEN))).convert("RGB")
    drawn.save(buffer, "WEBP", quality=70, method=6)
    width = round(drawn.width * 96 / SCREEN)
    return (
        f'<img alt="{escape(visible(description))}" style="max-width:{width}px" src="data:image/'
        f'webp;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    )


def _short(tag: str, used: Collection[str]) -> str:
    """A tag without what nobody sees: ids that nothing refers to, thousandths of a pixel."""
    tag = re.sub(r' ?\bid="[^"]*"', lambda one: one[0] if one[0].strip() in used else "", tag)
    tag = re.sub(r' transform="rotate\(-?0 [^"]*"', "", tag)
    return re.sub(r"(\.\d{2})\d+", r"\1", tag)


def _own(tag: str, name: str) -> str:
    """A tag whose ids are its page's alone."""
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    return tag.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')


def _lighter(drawn: str) -> str:
    """Large opaque pictures inside an SVG, which are photographs, as JPEG where that is smaller."""
    return re.sub(r"data:image/png;base64,([^\"]{400000,})", _as_jpeg, drawn)


def _as_jpeg(found: re.Match[str]) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(found[1])))
    if "A" in picture.getbands() and min(picture.getchannel("A").tobytes()) < 255:
        return found[0]
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=80)
    text = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/jpeg;base64,{text}" if len(text) < len(found[1]) else found[0]


def _saved(figure: Figure, kind: str, **keywords: Any) -> bytes:
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=kind, **keywords)
        figure.set_layout_engine(None)  # it is laid out now, which takes as long as drawing it
    return buffer.getvalue()
