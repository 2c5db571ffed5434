"""How fast the lead of one class over another can change: L_cj for every pair of classes."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.measures import Box, ProgressCallback
from intriguing.spectral.certificates.feed_forward import chain_of
from intriguing.spectral.certificates.lipschitz import Analysed, analyse, unknown_notes
from intriguing.spectral.certificates.step import Walk, linear_map
from intriguing.spectral.norms.bound import outward
from intriguing.spectral.norms.linear_map import Matrix
from intriguing.spectral.semidefinite.chain import chain_bound
from intriguing.spectral.semidefinite.layers import Layer


@dataclass(frozen=True)
class PairBounds:
    """pairs[c, j] bounds the Lipschitz constant of f_c − f_j; symmetric, 0 on the diagonal.

    With them, the network they are of: its graph, and its layers if it is a chain.
    """

    pairs: Float[Tensor, "k k"]
    formula: str
    guaranteed: bool
    analysed: Analysed
    layers: tuple[Layer, ...] | None = None


def pair_bounds(
    model: nn.Module,
    input_shape: tuple[int, ...],
    domain: Box | None,
    *,
    images: Float[Tensor, "n ..."] | None = None,
    semidefinite: bool = True,
    progress: ProgressCallback | None = None,
) -> PairBounds:
    """Bounds for every pair of logits.

    Infinite where the network's bound is, as `lipschitz_report` has it. Else √2 times that at most;
    where the last layer is linear, ‖w_c − w_j‖ times the bound of what comes before it; for a
    feed-forward network the semidefinite-quality bound.

    Raises:
        InputError: As `analyse`, and if the network mixes the images of a batch.
    """
    analysed = analyse(model, input_shape, domain, images)
    if analysed.mixing is not None:
        raise InputError(analysed.mixing)
    walked = analysed.walk
    classes = int(walked.steps[-1].value.shape[-1]) if walked.steps else 0
    if not walked.steps:
        return PairBounds(torch.zeros(classes, classes), "constant", True, analysed)
    if math.isinf(walked.upper):
        nothing = torch.full((classes, classes), torch.inf).double().fill_diagonal_(0.0)
        notes = "; ".join(unknown_notes(walked)) or "its bounds multiply to ∞"
        return PairBounds(nothing, f"no bound is known: {notes}", False, analysed)
    whole = torch.tensor(outward(math.sqrt(2) * walked.upper), dtype=torch.float64)
    pairs = whole.repeat(classes, classes)
    formula = "√2 times the network's bound, layer by layer"
    rows = _by_rows(walked)
    if rows is not None:
        pairs, formula = (
            torch.minimum(pairs, rows),
            "pairs of rows of the last layer, layer by layer",
        )
    layers = chain_of(walked) if semidefinite else None
    if layers is not None and classes > 1:
        first, second = torch.triu_indices(classes, classes, 1)
        differences = torch.zeros(len(first), classes, dtype=torch.float64)
        place = torch.arange(len(first))
        differences[place, first], differences[place, second] = 1.0, -1.0
        bound = chain_bound(layers, differences, progress=progress)
        assert bound.pairs is not None
        tighter = torch.full_like(pairs, torch.inf)
        tighter[first, second] = tighter[second, first] = bound.pairs.cpu()
        if bool((tighter < pairs).any()):
            pairs, formula = (
                torch.minimum(pairs, tighter),
                "semidefinite-quality bound of each pair",
            )
    pairs.fill_diagonal_(0.0)
    proved = walked.guaranteed and math.isfinite(walked.upper)
    return PairBounds(pairs, formula, proved, analysed, layers)


@dataclass(frozen=True)
class Packed:
    """Bounds as they travel to other processes: without the graph that they are of.

    A graph of torch's cannot be pickled with what it knows; to trace it again takes no time beside
    the search for pairs.
    """

    pairs: Float[Tensor, "k k"]
    formula: str
    guaranteed: bool
    chain: bool

    @classmethod
    def of(cls, bounds: PairBounds) -> "Packed":
        """What was found."""
        return cls(bounds.pairs, bounds.formula, bounds.guaranteed, bounds.layers is not None)

    def unpacked(
        self, model: nn.Module, domain: Box | None, images: Float[Tensor, "n ..."]
    ) -> PairBounds:
        """With the graph; the arguments as `pair_bounds` had them."""
        analysed = analyse(model, tuple(images.shape[1:]), domain, images)
        layers = chain_of(analysed.walk) if self.chain else None
        return PairBounds(self.pairs, self.formula, self.guaranteed, analysed, layers)


def _by_rows(walked: Walk) -> Tensor | None:
    """‖w_c − w_j‖ times the bound of what the last linear part starts from."""
    last = walked.steps[-1]
    piece = last.ends
    options = []
    if piece.layers and isinstance(piece.map, Matrix):
        options.append((piece.map, piece.origin))
    map = None if last.operation is None else linear_map(last.operation)
    if isinstance(map, Matrix) and not last.parents[0].fused:
        options.append((map, last.parents[0]))
    found: Tensor | None = None
    for matrix, before in options:
        if matrix.weight.shape[0] != last.value.shape[-1] or last.value.ndim != 2:
            continue
        apart = _distances(matrix.weight) * before.total
        found = apart if found is None else torch.minimum(found, apart)
    return found


def _distances(rows: Float[Tensor, "k n"]) -> Float[Tensor, "k k"]:
    """‖w_c − w_j‖ of all pairs, from differences, rounded up."""
    rows = rows.double().cpu()
    apart = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    larger: Tensor = apart * (1 + 1e-12 * max(1, rows.shape[1]) ** 0.5)
    return larger
