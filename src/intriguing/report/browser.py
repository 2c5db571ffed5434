"""report/units.html: every unit and direction to browse, from an image back to its units, a quiz.

One page that works from a file:// address.  Thumbnails are sprite sheets inside the page; large
originals lie beside it, in units-images/, and are loaded when they are looked at.
"""

import base64
import hashlib
import io
import json
import math
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from intriguing.files import write_whole
from intriguing.report.contents import Contents
from intriguing.report.rows import Group, Pictures, read_groups, read_pictures, short

TILE = 72
"""Longest side of a thumbnail; smaller images keep their own size."""
SHEET = 512
"""Thumbnails on one sheet."""
BINS = 24
"""Of a histogram at most: its shape is seen, and a page of thousands stays small."""


def draw_browser(contents: Contents, report: Path) -> Path | None:
    """Draw report/units.html; None, and nothing is drawn, where no units were analysed."""
    pictures, groups = read_pictures(contents), read_groups(contents)
    if pictures is None or not groups:
        return None
    data = {
        "title": str(contents.tops["network"][0]),
        "command": contents.run.command,
        "images": _images(pictures, report),
        "groups": [_group(group) for group in groups],
        "verdicts": {claim.layer: claim.sentence for claim in contents.claims},
    }
    page = report / "units.html"
    text = (
        templates()
        .get_template("units.html.j2")
        .render(
            title=f"What excites the units of {data['title']}",
            run=contents.run,
            data=Markup(_json(data)),
        )
    )
    write_whole(page, text)
    return page


@cache
def templates() -> Environment:
    """The report's templates, compiled once: every value is escaped where it enters a page."""
    environment = Environment(
        loader=PackageLoader("intriguing.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"script": _script, "policy": _policy}
    return environment


def _script(name: str) -> Markup:
    """One of our own scripts, to stand in a page exactly as its digest in `_policy` was taken."""
    return Markup("\n" + files("intriguing.report").joinpath("templates", name).read_text("utf-8"))


def _policy(*scripts: str, images: str = "data:") -> str:
    """What a page may do, if something of it were not escaped: run our scripts, load nothing."""
    digests = (hashlib.sha256(_script(name).encode()).digest() for name in scripts)
    ours = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {ours}; style-src 'unsafe-inline'; img-src {images}; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(data: Any) -> str:
    """JSON that may stand inside a <script> element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _images(pictures: Pictures, report: Path) -> dict[str, Any]:
    height, width = pictures.size
    scale = min(1.0, TILE / max(height, width))
    tile = (max(1, round(width * scale)), max(1, round(height * scale)))
    across = math.isqrt(SHEET)
    return {
        "width": width, "height": height, "tileWidth": tile[0], "tileHeight": tile[1],
        "across": across, "perSheet": across * across,
        "sheets": _sheets(pictures, tile, across),
        "full": _originals(pictures, report) if scale < 1 else None,
        "ids": list(pictures.ids), "labels": pictures.labels.tolist(),
        "classes": {str(i): short(pictures.classes[i]) for i in set(pictures.labels.tolist())},
        "total": pictures.total,
    }  # fmt: skip


def _sheets(pictures: Pictures, tile: tuple[int, int], across: int) -> list[str]:
    colour = pictures.pixels.shape[1] == 3
    kind, media = ("JPEG", "image/jpeg") if colour and tile[0] >= 48 else ("PNG", "image/png")
    sheets = []
    for start in range(0, len(pictures.ids), across * across):
        some = pictures.pixels[start : start + across * across]
        down = math.ceil(len(some) / across)
        sheet = Image.new("RGB" if colour else "L", (across * tile[0], down * tile[1]))
        for place, pixels in enumerate(some):
            picture = _picture(pixels)
            if picture.size != tile:
                picture = picture.resize(tile, Image.Resampling.LANCZOS)
            sheet.paste(picture, (place % across * tile[0], place // across * tile[1]))
        buffer = io.BytesIO()
        sheet.save(buffer, kind, **({"quality": 84} if kind == "JPEG" else {"optimize": True}))
        sheets.append(f"data:{media};base64,{base64.b64encode(buffer.getvalue()).decode()}")
    return sheets


def _originals(pictures: Pictures, report: Path) -> list[str]:
    """Every image as a file of its own, as the network saw it."""
    names = []
    for place, pixels in enumerate(pictures.pixels):
        name = f"units-images/{place:05d}.jpg"
        buffer = io.BytesIO()
        _picture(pixels).save(buffer, "JPEG", quality=90)
        write_whole(report / name, buffer.getvalue())
        names.append(name)
    return names


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels[:3], 0, -1))


def _group(group: Group) -> dict[str, Any]:
    tensors = group.file.tensors
    bases = json.loads(group.file.metadata["bases"])
    return {
        "layer": group.layer,
        "basis": group.basis,
        "word": group.word,
        "kind": group.file.metadata["type"],
        "shape": json.loads(group.file.metadata["shape"]),
        "crops": bool(group.boxes["positive"].size) and not group.file.metadata["whole"],
        "numbers": group.numbers.tolist(),
        "responds": [int(value) for value in group.responds],
        "images": {sign: places.tolist() for sign, places in group.images.items()},
        "values": {sign: _rounded(values) for sign, values in group.values.items()},
        "boxes": _boxes(group),
        "measures": {
            one.name: {
                "values": _rounded(one.values), "unit": one.unit, "low": _round(one.low),
                "high": _round(one.high), "chance": _round(float(np.nanmean(one.chance))),
            }
            for one in group.measures
        },
        "histograms": [_histogram(tensors, i) for i in range(len(group.numbers))],
        "near": [
            [[bases[b], int(n), _round(float(c))] for b, n, c in zip(*row, strict=True)]
            for row in zip(tensors["near_basis"], tensors["near"], tensors["cosines"], strict=True)
        ],
        "strongest": tensors["strongest"].tolist(),
        "strength": _rounded(tensors["strength"], 3),
    }  # fmt: skip


def _boxes(group: Group) -> dict[str, list[Any]] | None:
    """[top, left, bottom, right] of every image of every row; None where all see everything."""
    if group.file.metadata["whole"]:
        return None
    return {sign: boxes.tolist() for sign, boxes in group.boxes.items()}


def _histogram(tensors: dict[str, np.ndarray], direction: int) -> list[Any]:
    """[lowest, highest, counts]: the bins that are not empty at the ends, at most `BINS`."""
    counts = tensors["counts"][direction]
    width, first = float(tensors["width"][direction]), int(tensors["first"][direction])
    used = np.flatnonzero(counts)
    if not len(used):
        return [0, 0, []]
    kept = counts[used[0] : used[-1] + 1]
    group = math.ceil(len(kept) / BINS)
    padded = np.pad(kept, (0, -len(kept) % group)).reshape(-1, group).sum(1)
    low = (first + int(used[0])) * width
    return [_round(low), _round(low + len(padded) * group * width), padded.tolist()]


def _rounded(values: np.ndarray, digits: int = 4) -> list[Any]:
    """Nested lists of a few digits; null where not finite."""
    if values.ndim > 1:
        return [_rounded(row, digits) for row in values]
    return [_round(float(value), digits) for value in values]


def _round(value: float, digits: int = 4) -> float | None:
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
