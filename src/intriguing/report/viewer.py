"""Originals beside adversarial images in a page: a slider between them, the change magnified.

Each pair is two pictures inside the page: the original, and the change with 128 for zero. A script
of the page's own makes the adversarial image from them, exactly, at any magnification.
"""

import base64
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image, features

from intriguing.errors import InputError
from intriguing.names import file_name
from intriguing.report.browser import templates
from intriguing.report.contents import TensorFile

SHOWN, FEW = 16, 6
"""Pairs of the nearest examples in a page, and of photographs; Figure 5 shows all of its 64."""
BUDGET, WHOLE = 400_000, 9_000_000
"""Bytes of pictures that a viewer puts in the report's page, so that it can be mailed, and in a
page of their own, which a browser still opens at once; further pairs are left to their files."""
THUMBNAIL = 64
"""Longest side of a small picture, and of one that is small as it is."""


@dataclass(frozen=True)
class Viewer:
    """A file of pairs as a block of a page.

    Attributes:
        markup: The first pairs, as many as the page has room for.
        whole: All pairs, for a page of their own; nothing where `markup` has them all.
        shown, pairs: How many each of them has.
    """

    name: str
    title: str
    caption: str
    sources: tuple[str, ...]
    markup: Markup
    whole: Markup
    shown: int
    pairs: int
    kind: str = "viewer"

    @property
    def file(self) -> str:
        """Of the page of their own."""
        return f"{file_name('pairs', self.name)}.html"


def viewer(file: TensorFile, caption: str, shown: int | None = None) -> Viewer | None:
    """The first `shown` pairs of a file of kind "pairs"; None of an empty one."""
    small = max(file.tensors["original"].shape[-2:]) <= THUMBNAIL
    count = shown or (SHOWN if small else FEW)
    words = json.loads(file.metadata.get("words", "[]"))[:count]
    if not words:
        return None
    pairs = _fitting((_pair(file, place, said) for place, said in enumerate(words)), WHOLE)
    few = _fitting(pairs, BUDGET)
    left = len(words) - len(pairs)
    more = f" {left} more are in the file it was drawn from." if left else ""
    whole = _markup(file, pairs, file.name) if len(few) < len(pairs) else Markup()
    return Viewer(
        file.name, file.metadata["title"], caption + more, (f"tensors/{file.name}.safetensors",),
        _markup(file, few, file.name), whole, len(few), len(pairs),
    )  # fmt: skip


def _fitting(pairs: Iterable[dict[str, Any]], budget: int) -> list[dict[str, Any]]:
    """The first pairs whose pictures take no more bytes; the first one in any case."""
    chosen: list[dict[str, Any]] = []
    size = 0
    for pair in pairs:
        size += len(pair["original"]) + len(pair["change"])
        if size > budget and chosen:
            break
        chosen.append(pair)
    return chosen


def one_pair(file: TensorFile, image_id: str, name: str) -> Markup:
    """The viewer of a single image.

    Raises:
        InputError: If the file has no pair of it.
    """
    for place, said in enumerate(json.loads(file.metadata.get("words", "[]"))):
        if said["id"] == image_id:
            return _markup(file, [_pair(file, place, said)], name)
    raise InputError(f"{file.name} has no picture of {image_id}; name another image")


def _markup(file: TensorFile, pairs: Sequence[dict[str, Any]], name: str) -> Markup:
    height, width = file.tensors["original"].shape[-2:]
    text = templates().get_template("viewer.html.j2").render(
        name=name, pairs=pairs, data=Markup(_json(pairs)), width=width, height=height,
        across=max(width, min(256, 8 * width)),
    )  # fmt: skip
    return Markup(text)


def _pair(file: TensorFile, place: int, said: dict[str, Any]) -> dict[str, Any]:
    original = file.tensors["original"][place]
    change = (file.tensors["change"][place].astype(np.int16) + 128).clip(0, 255).astype(np.uint8)
    return {
        "id": said["id"], "label": _short(said["label"]), "says": _short(said["says"]),
        "distortion": f"{said['distortion']:.4f}", "scale": float(file.tensors["scale"][place]),
        "original": _picture(original), "change": _picture(change), "thumb": _thumbnail(original),
    }  # fmt: skip


def _short(name: str) -> str:
    """ "n01518878_ostrich" is ostrich."""
    head, _, rest = name.partition("_")
    return rest.replace("_", " ") if rest and head[1:].isdecimal() and head[0] == "n" else name


def to_image(pixels: np.ndarray) -> Image.Image:
    """Pixels (channel height width) in 8 bits as a picture."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels[:3], 0, -1))


def _picture(pixels: np.ndarray) -> str:
    """A picture without loss."""
    buffer = io.BytesIO()
    if features.check("webp") and min(pixels.shape[-2:]) >= THUMBNAIL:
        to_image(pixels).convert("RGB").save(buffer, "WEBP", lossless=True, quality=60, method=3)
        return _uri("image/webp", buffer)
    to_image(pixels).save(buffer, "PNG", optimize=True)
    return _uri("image/png", buffer)


def _thumbnail(pixels: np.ndarray) -> str:
    picture = to_image(pixels).convert("RGB")
    if max(picture.size) > THUMBNAIL:
        picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return _uri("image/jpeg", buffer)


def _uri(media: str, buffer: io.BytesIO) -> str:
    return f"data:{media};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _json(pairs: Sequence[dict[str, Any]]) -> str:
    """JSON that may stand inside a <script> element."""
    kept = [{key: value for key, value in pair.items() if key != "thumb"} for pair in pairs]
    assert all(math.isfinite(pair["scale"]) for pair in pairs)
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
