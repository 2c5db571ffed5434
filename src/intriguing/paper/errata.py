"""What §4.3 and Table 5 get wrong, with the numbers that it makes of them."""

import math
from collections.abc import Sequence

from intriguing.paper.layers import Layer, Layers
from intriguing.report.amplification import ALIKE
from intriguing.report.numbers import number
from intriguing.results.published import published


def papers_name(layer: Layer) -> str:
    """The name in the paper's table of a layer of `AlexNet`; pools and norms are named alike."""
    name = layer.bound.name.rpartition(".")[2]
    kind, place = name.rstrip("0123456789"), int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))
    if kind == "fc":
        return f"FC. {place - 5}"
    return {"conv": "Conv.", "pool": "Pool", "norm": "Norm."}[kind] + f" {place}"


def mended(layer: Layer, printed: float | None) -> float:
    """A bound of the paper without the errata of §4.3: with the factor Δ, and overlapping pools.

    What it does not bound, or wrongly whatever the weights, is bounded as ours.
    """
    if printed is None or layer.bound.kind == "pool":
        return layer.bound.upper
    return printed * missing_factor(layer)


def missing_factor(layer: Layer) -> float:
    """Δ^(m/2) for a convolution over m axes: what Eq. 1 as printed lacks."""
    axes = layer.bound.size.count("×") - 1
    return layer.stride ** (axes / 2) if layer.bound.kind == "convolution" else 1.0


def errata(words: str, layers: Layers) -> list[str]:
    """Remarks under the paper's table beside ours.

    Args:
        words: What network ours is.
        layers: Of `AlexNet`.
    """
    by_name = {papers_name(layer): layer for layer in layers.layers if layer.matters}
    pools, norms = (
        [layer for layer in by_name.values() if layer.bound.kind == kind]
        for kind in ("pool", "normalization")
    )
    values = {
        row.layer: row.value
        for row in published("table5")
        if row.layer and by_name[row.layer] not in pools
    }
    strided = [row for row in values if missing_factor(by_name[row]) != 1.0]
    product = math.prod(values.values())
    factors = {row: missing_factor(by_name[row]) for row in strided}
    corrected = product * math.prod((*factors.values(), *(p.bound.upper for p in pools)))
    excess = norms[0].bound.upper / norms[0].printed
    normalised = corrected * math.prod(norm.bound.upper for norm in norms)
    said = [f"our columns are of {words}."]
    said += [
        f"Eq. 1 prints Δ^(−2) where aliasing and Parseval's formula together give Δ^(−1), "
        f"so that a bound is too small by the stride Δ. {row} has stride {by_name[row].stride}: "
        f"the paper's {values[row]:g} is {_n(values[row] * factors[row])}."
        for row in strided
    ]
    said += _sampling(layers.layers)
    said += _pools(pools)
    said.append(
        f"response normalisation across channels is not the x/(ε + ‖x‖²)^γ of §4.3, and "
        f"is left out of the paper's table. It is bounded by {_n(excess)}·k^(−β), here "
        f"{_n(norms[0].bound.upper)}; with k = 1, as in Caffe, {_n(excess)}."
    )
    times = " · ".join(f"{value:g}" for value in values.values())
    mending = " and ".join(
        (*(f"{row} × {factor:g}" for row, factor in factors.items()),
         f"{len(pools)} pools × {pools[0].bound.upper:.3g}")
    )  # fmt: skip
    said.append(
        f"the paper's bounds multiply to {times} = {_n(product)}. With {mending} that is "
        f"{_n(corrected)}; with its {len(norms)} response normalisations {_n(normalised)} (k = 1: "
        f"{_n(corrected * excess ** len(norms))})."
    )
    said.append(_reached(layers))
    return [f"Table 5: {remark}" for remark in said]


def errata_of_any(words: str, layers: Layers) -> list[str]:
    """Remarks under the table of a network that is not the paper's."""
    pools = [one for one in layers.layers if one.printed == 1.0 < one.bound.upper]
    said = [*_sampling(layers.layers), *_pools(pools), _reached(layers)]
    if not layers.is_chain:
        said.append(
            "its layers do not simply follow one another, and §4.3 says nothing of such networks, "
            "so that nothing is multiplied as printed. Corrected, sums of branches add their "
            "bounds, and concatenations take the root of the sum of squares."
        )
    return [f"Table 5, {words}: {remark}" for remark in said]


def _sampling(layers: Sequence[Layer]) -> list[str]:
    shares = [
        one.printed * missing_factor(one) / one.bound.upper
        for one in layers
        if one.bound.kind == "convolution" and one.printed > 0 and "×1×1×" not in one.bound.size
    ]
    if not shares:
        return []
    return [
        "Eq. 1's ξ runs over frequencies of the kernel's own size N (its exponent is read "
        "as 2πi(u·ξ)/N, without the square). So few of them miss the supremum: ours as printed, "
        f"the stride put right, are {100 * min(shares):.0f} to {100 * max(shares):.0f} % of ours "
        f"corrected over the {len(shares)} convolutions larger than 1×1"
        + (
            " (above 100 where the image is so small that its border matters)."
            if max(shares) > ALIKE
            else "."
        )
    ]


def _pools(pools: Sequence[Layer]) -> list[str]:
    """Max pools that are not the contractions that §4.3 calls them."""
    said = dict.fromkeys(
        f"{one.shape}: {_n(one.bound.upper)}" for one in pools if one.bound.upper > 1.0
    )
    if not said:
        return []
    return [
        "§4.3 calls max pooling contractive. Where windows overlap, one pixel can be the "
        "largest of several, and a change of it counts in each. The bound is attained: "
        + "; ".join(said) + f" ({len(pools)} pools here)."
    ]  # fmt: skip


def _reached(layers: Layers) -> str:
    return (
        "“at least” is the largest stretch of a Jacobian found near images of noise, so "
        f"the truth lies between. For the whole network it is {_n(layers.lower)}, and the bound "
        f"{_n(layers.upper)}: no layer's worst direction need be the next one's."
    )


def _n(value: float) -> str:
    return number(value, "norm")
