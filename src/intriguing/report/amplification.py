"""What a spectral analysis comes to, in figures and in sentences."""

import math
from collections.abc import Sequence

from intriguing.report.contents import Contents
from intriguing.report.layers import ROUNDING, single, telling, whole
from intriguing.report.numbers import number
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.results.rows import LayerRow

MOST = 3
"""Layers that are named."""
ALIKE = 1.005
"""Ratio of two bounds that print alike."""


def amplification(contents: Contents) -> Findings:
    """The headline of a spectral analysis; empty before there is one."""
    layers = contents.layers
    network = whole(layers)
    if network is None:
        return NOTHING
    most = strongest(layers)
    return Findings(
        tuple(_tiles(network, most)),
        (
            *(
                _bounded(network)
                if math.isfinite(network.upper)
                else _unbounded(network, layers, contents.run.config.get("domain", ""))
            ),
            *_loose(network, "Near a real image" if contents.run.data else "Near a random image"),
            *_product(network, whole(layers, "product")),
            *_amplifying(most),
            *_unproved(layers),
        ),
    )


def _tiles(network: LayerRow, strongest: Sequence[LayerRow]) -> list[Tile]:
    proved = "guaranteed" if network.guaranteed else "not guaranteed"
    beside = "no bound is known" if math.isinf(network.upper) else proved
    tiles = [Tile(number(network.upper, "norm"), "times as long at most: the upper bound", beside)]
    if network.lower > 0:
        tiles.append(Tile(number(network.lower, "norm"), "times as long somewhere: reached"))
        if math.isfinite(network.upper):
            ratio = number(network.upper / network.lower, "ratio")
            tiles.append(Tile(f"{ratio}×", "too large at most: upper by lower bound"))
    if strongest:
        most = strongest[0]
        tiles.append(Tile(number(most.upper, "norm"), f"by {most.name}, the layer with the most"))
    return tiles


def _bounded(network: LayerRow) -> list[str]:
    proof = (
        "This is proved"
        if network.guaranteed
        else "This is not proved: it rests on a bound that is not guaranteed"
    )
    safe = 1.0 / (math.sqrt(2.0) * network.upper) if network.upper else math.inf
    return [
        f"However the input of {network.network} is changed, its output changes by at most "
        f"{number(network.upper, 'norm')} times as much, measured in L2. {proof} "
        f"({network.formula}).",
        "If the outputs are logits, an image whose class leads by 1 is safe from every change "
        f"shorter than 1/(√2 · {number(network.upper, 'norm')}) = {number(safe, 'norm')}; "
        "`intriguing certify` says more for each image.",
    ]


def _unbounded(network: LayerRow, layers: Sequence[LayerRow], domain: str | None) -> list[str]:
    """Why; where a domain could have been given, how."""
    because: dict[str, list[str]] = {}
    for layer in single(layers):
        if math.isinf(layer.upper):
            reason = (layer.note or "no bound is known").removeprefix(f"{layer.name}: ")
            because.setdefault(reason, []).append(layer.name)
    named = "; ".join(f"{_some(names)}: {reason}" for reason, names in because.items())
    hint = " On the command line a domain is --domain 0,1." if domain is None else ""
    return [
        f"The bound of {network.network} is ∞, because of {named or network.note}.{hint}",
        "Nothing is said of how far a change can be carried until each of these has a bound; the "
        "bounds of the other layers stand.",
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def _loose(network: LayerRow, where: str) -> list[str]:
    if not network.lower > 0:
        return []
    reached = f"{where} a small change does become {number(network.lower, 'norm')} times as long"
    if math.isinf(network.upper):
        return [f"{reached}."]
    ratio = network.upper / network.lower
    return [
        f"{reached}, so the truth lies between {number(network.lower, 'norm')} and "
        f"{number(network.upper, 'norm')}: the bound is at most {number(ratio, 'ratio')} times "
        "too large."
    ]


def _product(network: LayerRow, product: LayerRow | None) -> list[str]:
    if product is None or not math.isfinite(product.upper) or not network.upper > 0:
        return []
    ratio = product.upper / network.upper
    if ratio < ALIKE:
        return []
    return [
        "Multiplying the layers' bounds, as §4.3 does, would give "
        f"{number(product.upper, 'norm')}, {number(ratio, 'ratio')} times as much."
    ]


def strongest(layers: Sequence[LayerRow]) -> list[LayerRow]:
    """Of one input each: a join amplifies by no weight of its own.

    Nor does a change of the pixels' unit before the first layer, such as from [0, 1] to [0, 255].
    """
    apart = [
        layer
        for number, layer in enumerate(telling(layers))
        if layer.kind != "join" and (number > 0 or layer.kind != "scale")
    ]
    known = [layer for layer in apart if 1.0 + ROUNDING < layer.upper < math.inf]
    return sorted(known, key=lambda layer: -layer.upper)[:MOST]


def _amplifying(strongest: Sequence[LayerRow]) -> list[str]:
    if not strongest:
        return ["No layer makes a change longer."]
    said = [_reach(layer) for layer in strongest]
    few = "The layer that can amplify" if len(said) == 1 else "The layers that can amplify most"
    return [f"{few}: {'; '.join(said)}."]


def _reach(layer: LayerRow) -> str:
    upper = f"{layer.name} up to {number(layer.upper, 'norm')} times"
    if not layer.lower > 0:
        return upper
    return f"{upper} (reached: {number(layer.lower, 'norm')})"


def _unproved(layers: Sequence[LayerRow]) -> list[str]:
    names = [x.name for x in single(layers) if not x.guaranteed and math.isfinite(x.upper)]
    if not names:
        return []
    return [f"Not guaranteed: the bound of {', '.join(names)}."]
