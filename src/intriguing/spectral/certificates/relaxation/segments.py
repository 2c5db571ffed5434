"""The affine parts of a program between its curves, each as sparse matrices.

What enters a curve is z = Σ Cₚyₚ + c, where the yₚ are what curves before it and the input give.
The Cₚ of convolutions are sparse, and so are their products: bounds of every single unit go through
those, hundreds of times cheaper than through images of zeros.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, eye, vstack

from intriguing.spectral.certificates.relaxation.affine import AffineMap
from intriguing.spectral.certificates.relaxation.program import Node, Program
from intriguing.spectral.certificates.relaxation.sparse_map import SparseMap

ENTRIES = 20_000_000
"""Entries that a matrix may have, 240 MB: beyond, bounds of every unit would take minutes."""
_DENSE = 300_000_000
"""Entries of an operation's matrix, zeros included, that are looked through: some seconds."""
_BLOCK = 4_000_000
"""Entries of a block of rows while it is written out."""


@dataclass(frozen=True)
class Segment:
    """z = Σ Cₚyₚ + c, entries in flat order.

    Attributes:
        parts: C and, from absolute values in the place of its factors, |C|, by p.
        offset, size: c and the same of it.
        terms: Of all sums on the way together.
    """

    parts: dict[int, tuple[csr_matrix, csr_matrix]]
    offset: NDArray[np.float64]
    size: NDArray[np.float64]
    terms: int


def segments_of(program: Program) -> dict[int, Segment] | None:
    """The segment of every curve's input, by its node; None where one has too many entries."""
    matrices: dict[int, tuple[csr_matrix, ...]] = {}
    found: dict[int, Segment] = {}
    for at in program.curves:
        (before,) = program.nodes[at].parents
        if before in found:
            continue
        segment = _segment(program.nodes, before, matrices)
        if segment is None:
            return None
        found[before] = segment
    return found


def first_map(program: Program, segments: dict[int, Segment]) -> SparseMap | None:
    """From the input to the first curve that is reached by affine maps alone."""
    for at in program.curves:
        (before,) = program.nodes[at].parents
        segment, norm = segments[before], program.nodes[before].lipschitz
        affine = isinstance(program.nodes[before].rule, AffineMap)
        if affine and list(segment.parts) == [0] and math.isfinite(norm):
            return SparseMap(before, 0, *segment.parts[0], norm, segment.terms)
    return None


def inner_maps(program: Program, segments: dict[int, Segment], most: int) -> dict[int, SparseMap]:
    """From one curve to another's input, by that: those of so many numbers at most."""
    found: dict[int, SparseMap] = {}
    for at in program.curves:
        (before,) = program.nodes[at].parents
        segment = segments[before]
        affine = isinstance(program.nodes[before].rule, AffineMap)
        several = len(segment.parts) > 1 or 0 in segment.parts
        if not affine or several or len(segment.offset) > most:
            continue
        for place, part in segment.parts.items():
            norm = float(np.sqrt(part[1].power(2).sum())) * (1 + 1e-9)  # Frobenius
            found[before] = SparseMap(before, place, *part, norm, segment.terms)
    return found


def _segment(
    nodes: tuple[Node, ...], place: int, matrices: dict[int, tuple[csr_matrix, ...]]
) -> Segment | None:
    count = nodes[place].shape.numel()
    one = eye(count, format="csr")
    pending = {place: (one, one)}
    ends: dict[int, tuple[csr_matrix, csr_matrix]] = {}
    offset, size, terms = np.zeros(count), np.zeros(count), 0
    while pending:
        at = max(pending)
        rows, absolute = pending.pop(at)
        node = nodes[at]
        if not isinstance(node.rule, AffineMap):
            ends[at] = (rows, absolute)
            continue
        if at not in matrices:
            written = _written_out(node)
            if written is None:
                return None
            matrices[at] = written
        flat = node.rule.offset.flatten().cpu().numpy()
        offset, size = offset + rows @ flat, size + absolute @ np.abs(flat)
        terms += node.rule.terms
        for parent, matrix in zip(node.parents, matrices[at], strict=True):
            part = rows @ matrix, absolute @ abs(matrix)
            if part[0].nnz > ENTRIES:
                return None
            if parent in pending:
                part = tuple(a + b for a, b in zip(part, pending[parent], strict=True))
            pending[parent] = part
    return Segment(ends, offset, size, terms)


def _written_out(node: Node) -> tuple[csr_matrix, ...] | None:
    """Wᵢ of every parent."""
    rule, count = node.rule, node.shape.numel()
    assert isinstance(rule, AffineMap)
    widest = max(count, *(rows.shape[1:].numel() for rows in rule.adjoint(_rows(node, 0, 1))))
    if count * widest > _DENSE:
        return None
    block = max(1, _BLOCK // widest)
    parts: list[list[csr_matrix]] = []
    entries = 0
    for first in range(0, count, block):
        rows = rule.adjoint(_rows(node, first, min(count, first + block)))
        made = [csr_matrix(r.flatten(1).cpu().numpy()) for r in rows]
        entries += sum(m.nnz for m in made)
        if entries > ENTRIES:
            return None
        parts.append(made)
    return tuple(vstack(column, format="csr") for column in zip(*parts, strict=True))


def _rows(node: Node, first: int, last: int) -> torch.Tensor:
    """Rows of the identity, shaped as the node."""
    assert isinstance(node.rule, AffineMap)
    count = node.shape.numel()
    rows = node.rule.offset.new_zeros(last - first, count)
    rows[torch.arange(last - first), torch.arange(first, last)] = 1.0
    return rows.view(-1, *node.shape[1:])
