"""The sections of a spectral analysis: the layers' bounds, and their singular values."""

import json
import math
from collections.abc import Sequence

from intriguing.report import norms
from intriguing.report.contents import Contents, TensorFile
from intriguing.report.figure_style import Drawing
from intriguing.report.layers import HEAD, single, telling, to_csv, to_latex, words
from intriguing.report.section import LAYERS, Listing, Part, Section
from intriguing.results.rows import LayerRow

DRAWN = 60
"""Layers that a chart has room for."""


def _layers(contents: Contents) -> Section:
    if not contents.layers:
        return Section("layers", "", "", ())
    return Section(
        "layers",
        "Layer by layer",
        "An upper bound says how many times longer, in L2, any change can be after the layer than "
        "it was before; a lower bound says how much longer some change does become, by the "
        "gradient at an image. The truth lies between. The whole network's bound is often less "
        "than the product, because no change can be the worst for every layer.",
        layer_blocks(contents.layers),
    )


def _spectra(contents: Contents) -> Section:
    return Section(
        "spectra",
        "Singular values",
        "A layer's singular values are what it multiplies the directions of its input by; the "
        "greatest is its norm. A spectrum that falls fast says that few directions are amplified.",
        tuple(_drawing(contents, file) for file in contents.of_kind("spectrum")),
    )


PARTS: tuple[Part, ...] = (_layers, _spectra)


def layer_blocks(
    layers: Sequence[LayerRow], part: str = "", network: str = ""
) -> tuple[Listing | Drawing, ...]:
    """The layers of one network as a listing, and their bounds as bars.

    Args:
        layers: Its rows.
        part: Of the files' names, where there are several networks.
        network: Its name, likewise.
    """
    of, count = f" of {network}" if network else "", len(single(layers))
    noted = any(layer.note for layer in layers)
    listing = Listing(
        f"layers{part}", f"All {count} layers{of}" if count > 1 else f"The layer{of}",
        (*HEAD, "Note") if noted else HEAD,
        tuple((*words(layer), *((layer.note,) if noted else ())) for layer in layers),
        to_csv(layers), (LAYERS,), opened=not network, latex=to_latex(layers),
        prose=("Formula", "Note"),
    )  # fmt: skip
    shown = telling(layers)[:DRAWN]
    if not shown:
        return (listing,)
    unknown = any(math.isinf(layer.upper) for layer in shown)
    drawing = Drawing(
        f"bounds{part}",
        f"Upper and lower bounds{of}",
        "A bar to the right of 1 says that the layer can make a change longer, to the left that it "
        "always makes it shorter; layers that only pass changes on are left out."
        + (" Hatched: no bound is known." if unknown else ""),
        f"Bars of every layer's upper bound{of} on a logarithmic scale, lower bounds as marks",
        (LAYERS,),
        lambda: norms.bounds(shown),
    )
    return listing, drawing


def _drawing(contents: Contents, file: TensorFile) -> Drawing:
    uppers = {layer.name: layer.upper for layer in contents.layers}
    layers = json.loads(file.metadata["layers"])
    spectra = {layer: file.tensors[str(place)] for place, layer in enumerate(layers)}
    order = [layer.name for layer in contents.layers if layer.name in spectra]
    names = list(dict.fromkeys((*order, *spectra)))
    shown = [
        norms.Spectrum(name, spectra[name], uppers.get(name, math.nan)) for name in names[:DRAWN]
    ]
    return Drawing(
        file.name,
        file.metadata.get("title", "Singular values of each layer"),
        "From the greatest to the least, on a logarithmic scale; of a convolution, over the "
        "frequencies of a grid. The dashed line is the layer's upper bound.",
        f"Singular values of {len(shown)} layers, one small panel each",
        (f"tensors/{file.name}.safetensors", LAYERS),
        lambda: norms.spectra(shown),
    )
