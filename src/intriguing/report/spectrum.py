"""The sections of a spectral analysis: the layers' bounds, and their singular values."""

import json
import math
from collections.abc import Sequence

from intriguing.report import norms
from intriguing.report.contents import Contents, TensorFile
from intriguing.report.figure_style import Drawing
from intriguing.report.layers import HEAD, single, telling, to_csv, to_latex, words
from intriguing.report.section import LAYERS, Listing, Part, Section

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
        (_table(contents), *_bars(contents)),
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


def _table(contents: Contents) -> Listing:
    layers = contents.layers
    count = len(single(layers))
    noted = any(layer.note for layer in layers)
    return Listing(
        "layers",
        f"All {count} layers" if count > 1 else "The layer",
        (*HEAD, "Note") if noted else HEAD,
        tuple((*words(layer), *((layer.note,) if noted else ())) for layer in layers),
        to_csv(layers),
        (LAYERS,),
        opened=True,
        latex=to_latex(layers),
        prose=("Formula", "Note"),
    )


def _bars(contents: Contents) -> Sequence[Drawing]:
    layers = telling(contents.layers)[:DRAWN]
    if not layers:
        return ()
    unknown = any(math.isinf(layer.upper) for layer in layers)
    drawing = Drawing(
        "bounds",
        "Upper and lower bounds",
        "A bar to the right of 1 says that the layer can make a change longer, to the left that it "
        "always makes it shorter; layers that only pass changes on are left out."
        + (" Hatched: no bound is known." if unknown else ""),
        "Bars of every layer's upper bound on a logarithmic scale, lower bounds as marks",
        (LAYERS,),
        lambda: norms.bounds(layers),
    )
    return (drawing,)


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
