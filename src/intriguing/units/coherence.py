"""Whether the top images of a direction belong together, beside what chance would give.

Every measure has a value for each row of k images, and a chance level: its mean over all sets of k
different images of the same set, with the central 95 % range of one such row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb, log2

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.units.topk import TopImages

_ROWS = 1000
"""Random groups of k images, what chance gives: its mean is known to 3 % of their spread."""
_GATHERED = 1 << 24
"""Numbers gathered at once: 64 MiB of float32."""
# Images whose cosines, every one with every other, are kept: 64 MiB of them.
_TABLED = 4096


@dataclass(frozen=True)
class Coherence:
    """One measure of the rows of one basis.

    Attributes:
        name, unit: What is measured and in what; `higher` says whether more is more coherent.
        values: One for each direction.
        chance: The mean over rows of random images, exactly; one for each direction.
        low, high: The central 95 % range of a row of random images.
    """

    name: str
    unit: str
    values: Float[Tensor, " direction"]
    chance: Float[Tensor, " direction"]
    low: float
    high: float
    higher: bool = True


def coherence(
    top: TopImages,
    images: ImageSet,
    *,
    own: Float[Tensor, "image unit"] | None = None,
    features: Mapping[str, Float[Tensor, "image feature"]] | None = None,
    seed: int = 0,
) -> dict[str, Coherence]:
    """How coherent the top images of each direction are, by every measure.

    "purity", the share of the commonest label; "entropy" of the labels, in bits; "pixels", the mean
    cosine between the images of a pair, the mean image subtracted; "own", the same in the layer's
    own space without the direction (which all top images share by choice); and one measure for each
    of `features`, other networks' spaces.

    Args:
        top: What `top_images` found in these images.
        images: The set that its indices count.
        own: The layer's activations, one vector an image (`layer_features`).
        features: By name, vectors of another network.
        seed: Of the random rows that the ranges come from (labels: of entropy only).

    Raises:
        InputError: If a direction has fewer than k ≥ 2 images, or sizes do not fit.
    """
    rows = top.indices
    k = rows.shape[1]
    check_rows(rows, len(images))
    if taken := {"purity", "entropy", "pixels", "own"} & set(features or {}):
        raise InputError(f"features {', '.join(taken)}: that is a measure of its own; rename it")
    generator = torch.Generator().manual_seed(seed)
    random_rows = draw_rows(len(images), k, _ROWS, generator)
    labels = images.labels.cpu()
    counts = labels.bincount(minlength=images.classes)
    purity, entropy = label_purity(labels[rows]), label_entropy(labels[rows])
    low, high = purity_range(counts.tolist(), k)
    found = {
        "purity": Coherence(
            "purity",
            "share",
            purity,
            purity.new_full((len(rows),), chance_purity(counts, k)),
            low,
            high,
        ),
        "entropy": Coherence(
            "entropy",
            "bits",
            entropy,
            entropy.new_full((len(rows),), chance_entropy(counts, k)),
            *_range(label_entropy(labels[random_rows])),
            higher=False,
        ),
    }
    spaces = {"pixels": images.images.flatten(1), **(features or {})}
    for name, vectors in spaces.items():
        unit = unit_vectors(vectors)
        value = mean_cosine(unit, rows)
        chance = value.new_full((len(rows),), chance_cosine(unit))
        around = _range(mean_cosine(unit, random_rows))
        found[name] = Coherence(name, "cosine", value, chance, *around)
    if own is not None:
        found["own"] = _own(own, top, random_rows)
    return found


def label_purity(labels: Int64[Tensor, "direction k"]) -> Float[Tensor, " direction"]:
    """The share of a row's commonest label.

    >>> label_purity(torch.tensor([[1, 1, 2, 1], [0, 1, 2, 3]]))
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    return _alike(labels).amax(1).double() / labels.shape[1]


def label_entropy(labels: Int64[Tensor, "direction k"]) -> Float[Tensor, " direction"]:
    """The entropy of a row's labels in bits: 0 where all are the same.

    >>> label_entropy(torch.tensor([[1, 1, 2, 2], [0, 0, 0, 0]]))
    tensor([1., 0.], dtype=torch.float64)
    """
    return (_alike(labels).double() / labels.shape[1]).log2().mean(1).abs()


def unit_vectors(vectors: Float[Tensor, "image feature"]) -> Float[Tensor, "image feature"]:
    """Vectors less their mean, scaled to length 1 (one equal to the mean stays 0)."""
    flat = vectors.detach().cpu().flatten(1)
    unit = flat - flat.mean(0)
    # In place: of photographs' pixels a further copy is as large as all of them.
    return unit.div_(unit.norm(dim=1, keepdim=True).clamp_min(1e-12))


def mean_cosine(
    unit: Float[Tensor, "image feature"], rows: Int64[Tensor, "direction k"]
) -> Float[Tensor, " direction"]:
    """The mean cosine over all pairs of a row: (|Σu|² − Σ|u|²) / (k (k − 1)).

    Where rows hold more images than there are, every pair's cosine is computed once.
    """
    if len(unit) < rows.numel() and len(unit) <= _TABLED:
        return mean_of_pairs(unit @ unit.T, rows)
    step = max(1, _GATHERED // (rows.shape[1] * unit.shape[1]))
    return torch.cat([_pairs(unit[part]) for part in torch.split(rows, step)])


def all_cosines(unit: Float[Tensor, "image feature"]) -> Float[Tensor, "image image"] | None:
    """Those of every two images, for `mean_of_pairs`; None where they are too many to keep."""
    return unit @ unit.T if len(unit) <= _TABLED else None


def mean_of_pairs(
    cosines: Float[Tensor, "image image"], rows: Int64[Tensor, "direction k"]
) -> Float[Tensor, " direction"]:
    """`mean_cosine` from the cosines of every two images."""
    k = rows.shape[1]
    found = []
    for part in torch.split(rows, max(1, _GATHERED // k**2)):
        pairs = cosines[part[:, :, None], part[:, None, :]].double()
        own = pairs.diagonal(dim1=1, dim2=2).sum(1)
        found.append((pairs.sum((1, 2)) - own) / (k * (k - 1)))
    return torch.cat(found)


def chance_purity(counts: Sequence[int] | Tensor, k: int) -> float:
    """The mean purity of k different random images of so many of each label.

    E max = Σ_m P(max > m), and P(max ≤ m) counts the ways to draw at most m of each label.

    >>> chance_purity([2, 2], 2) == (1 * 1 / 3) + (0.5 * 2 / 3)
    True
    """
    return float(sum(1 - p for p in _purity_distribution(_integers(counts), k)[:-1]) / k)


def purity_range(
    counts: Sequence[int] | Tensor, k: int, confidence: float = 0.95
) -> tuple[float, float]:
    """The central range of the purity of k random images, from its exact distribution."""
    at_most = _purity_distribution(_integers(counts), k)
    tail = (1 - confidence) / 2
    low, high = (next(m for m in range(k + 1) if at_most[m] > q) for q in (tail, 1 - tail - 1e-12))
    return low / k, high / k


def chance_entropy(counts: Sequence[int] | Tensor, k: int) -> float:
    """The mean entropy, in bits, of the labels of k different random images.

    Σ over labels of E[−(X/k) log₂(X/k)] with X hypergeometric.
    """
    numbers = _integers(counts)
    rest, ways = sum(numbers), comb(sum(numbers), k)
    total = Fraction(0)
    for count in numbers:
        for x in range(1, min(count, k) + 1):
            share = Fraction(comb(count, x) * comb(rest - count, k - x), ways)
            total += share * Fraction(-(x / k) * log2(x / k))
    return float(total)


def chance_cosine(unit: Float[Tensor, "image feature"]) -> float:
    """The mean cosine over all pairs of different images: `mean_cosine` of all of them.

    Part by part: in float64 all of many photographs would be twice as large again.
    """
    total, own = torch.zeros(unit.shape[1], dtype=torch.float64), 0.0
    for part in torch.split(unit, max(1, _GATHERED // unit.shape[1])):
        total += part.sum(0, dtype=torch.float64)
        own += float(part.square().sum(dtype=torch.float64))
    return (float(total.square().sum()) - own) / (len(unit) * (len(unit) - 1))


def draw_rows(count: int, k: int, rows: int, generator: torch.Generator) -> Int64[Tensor, "row k"]:
    """Rows of k different random images."""
    if k * k > count:  # few to choose from: shuffle them all
        return torch.rand(rows, count, generator=generator).argsort(1)[:, :k]
    drawn = torch.randint(count, (rows, k), generator=generator)
    while True:
        ordered = drawn.sort(1).values
        again = (ordered[:, 1:] == ordered[:, :-1]).any(1)
        if not bool(again.any()):
            return drawn
        drawn[again] = torch.randint(count, (int(again.sum()), k), generator=generator)


def check_rows(rows: Int64[Tensor, "direction k"], count: int) -> None:
    """Refuse rows that are not complete or not of these images."""
    if rows.shape[1] < 2:
        raise InputError("one image a direction has no coherence; rank k=2 or more")
    if rows.numel() and (int(rows.min()) < 0 or int(rows.max()) >= count):
        raise InputError(
            f"rows name images {int(rows.min())} … {int(rows.max())} of {count}; give the set that "
            "was ranked, of at least k images"
        )


def _own(own: Tensor, top: TopImages, random_rows: Tensor) -> Coherence:
    """Similarity in the layer's space, each row without its own direction."""
    if own.shape[1] != len(top.directions) or len(own) < top.images:
        raise InputError(
            f"own has shape {tuple(own.shape)}; give one vector of {len(top.directions)} units an "
            "image, such as layer_features(model, layer, images)"
        )
    phi = own.detach().cpu().double()
    phi = phi - phi.mean(0)
    v = functional.normalize(top.directions.double(), dim=0)
    values = _without(phi, v, top.indices)
    which = torch.arange(len(random_rows)) % v.shape[1]
    around = _range(_without(phi, v[:, which], random_rows))
    return Coherence("own", "cosine", values, _chance_without(phi, v), *around)


def _without(phi: Tensor, v: Tensor, rows: Tensor) -> Float[Tensor, " direction"]:
    step = max(1, _GATHERED // (rows.shape[1] * phi.shape[1]))
    found = []
    for some, directions in zip(torch.split(rows, step), torch.split(v.T, step), strict=True):
        gathered = phi[some]
        along = gathered @ directions[:, :, None]
        found.append(_pairs(functional.normalize(gathered - along * directions[:, None], dim=2)))
    return torch.cat(found)


def _chance_without(phi: Tensor, v: Tensor) -> Float[Tensor, " direction"]:
    """The mean over all pairs, for each direction: Σ w (φ − a v) with w = 1 / |φ − a v|."""
    n = len(phi)
    found = []
    for directions in torch.split(v, max(1, _GATHERED // n), dim=1):
        along = phi @ directions
        length = (phi.square().sum(1, keepdim=True) - along.square()).clamp_min(0)
        counts = length > 1e-12 * phi.square().sum(1, keepdim=True)
        w = torch.where(counts, length.rsqrt(), 0.0)
        total = phi.T @ w - directions * (along * w).sum(0)
        found.append((total.square().sum(0) - counts.sum(0)) / (n * (n - 1)))
    return torch.cat(found)


def _alike(labels: Int64[Tensor, "direction k"]) -> Int64[Tensor, "direction k"]:
    """How many of a row have each image's label, itself among them."""
    return (labels[:, :, None] == labels[:, None, :]).sum(2)


def _pairs(unit: Float[Tensor, "row k feature"]) -> Float[Tensor, " row"]:
    k = unit.shape[1]
    total = unit.sum(1, dtype=torch.float64).square().sum(1)
    return (total - unit.square().sum((1, 2), dtype=torch.float64)) / (k * (k - 1))


def _purity_distribution(counts: list[int], k: int) -> list[Fraction]:
    """P(at most m of any label), for m = 0 … k, of k drawn without replacement."""
    if not 1 <= k <= sum(counts):
        raise InputError(f"k={k} of {sum(counts)} images; give 1 … {sum(counts)}")
    found = []
    for most in range(k + 1):
        ways = [1] + [0] * k
        for count, labels in _multiplicities(counts):
            few = [comb(count, x) if x <= most else 0 for x in range(k + 1)]
            ways = _product(ways, _to_the(few, labels, k), k)
        found.append(Fraction(ways[k], comb(sum(counts), k)))
    return found


def _multiplicities(counts: list[int]) -> list[tuple[int, int]]:
    return [(count, counts.count(count)) for count in sorted(set(counts))]


def _to_the(polynomial: list[int], power: int, k: int) -> list[int]:
    result = [1] + [0] * k
    while power:
        if power % 2:
            result = _product(result, polynomial, k)
        polynomial, power = _product(polynomial, polynomial, k), power // 2
    return result


def _product(a: list[int], b: list[int], k: int) -> list[int]:
    return [sum(a[i] * b[total - i] for i in range(total + 1)) for total in range(k + 1)]


def _integers(counts: Sequence[int] | Tensor) -> list[int]:
    return [int(count) for count in (counts.tolist() if isinstance(counts, Tensor) else counts)]


def _range(values: Float[Tensor, " row"]) -> tuple[float, float]:
    low, high = values.double().quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high
