"""The page: one HTML file with networks, digits and our scripts inside, which loads nothing."""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from torch import Tensor

from intriguing import __version__
from intriguing.errors import InputError
from intriguing.files import write_whole
from intriguing.playground.networks import Dense

SIDE = 28
SCRIPTS = (
    "network.js", "descent.js", "search.js", "exact.js", "nonsense.js",
    "views.js", "pad.js", "app.js", "lesson.js",
)  # fmt: skip
LARGEST = 3 << 20
"""Bytes of the page at most: it is sent around."""


def draw_page(
    networks: Sequence[Dense],
    images: Float[Tensor, "n 1 28 28"],
    labels: Int64[Tensor, " n"],
    page: Path,
) -> int:
    """Write the page; returns its size in bytes.

    Args:
        networks: Those to choose from, the first chosen at the start.
        images: Digits to choose from, in [0, 1]; more can be drawn.
        labels: What they are.
        page: The file; it is written whole or not at all.

    Raises:
        InputError: There is no network, images have another size, or the page would be larger than
            3 MB.
    """
    if not networks:
        raise InputError("no network was given; the page needs one at least")
    if tuple(images.shape[1:]) != (1, SIDE, SIDE):
        raise InputError(
            f"images have the shape {tuple(images.shape[1:])}; the page draws grey ones of 28×28, "
            "such as mnist-5k"
        )
    data = {
        "networks": [network.as_json() for network in networks],
        "digits": base64.b64encode(_bytes(images)).decode(),
        "labels": labels.tolist(),
    }
    environment = Environment(
        loader=PackageLoader("intriguing.playground", "page"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    script = '"use strict";\n' + "\n".join(_ours(name) for name in SCRIPTS)
    text = environment.get_template("index.html.j2").render(
        policy=_policy(script),
        style=Markup(_ours("style.css")),
        script=Markup(script),
        data=Markup(_json(data)),
        version=__version__,
    )
    size = len(text.encode())
    if size > LARGEST:
        raise InputError(
            f"the page would have {size / 2**20:.1f} MB, more than 3; give fewer or smaller "
            "networks"
        )
    write_whole(page, text)
    return size


def _ours(name: str) -> str:
    return files("intriguing.playground").joinpath("page", name).read_text("utf-8")


def _policy(script: str) -> str:
    """What the page may do: run our script, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _json(data: object) -> str:
    """JSON that may stand inside a <script> element, whatever networks are called."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _bytes(images: Float[Tensor, "n 1 28 28"]) -> bytes:
    pixels: np.ndarray = (images.clamp(0, 1) * 255).round().byte().numpy()
    return pixels.tobytes()
