"""What mathematics settles: each by a proof or a counter-example that is checked here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, max_pool2d

from intriguing.paper.claims.claim import Claim, less_than
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.results.measured import Metric, where
from intriguing.results.published import published
from intriguing.results.verdicts import Basis, Source
from intriguing.spectral.norms.equation import paper_norm
from intriguing.spectral.norms.pooling import max_pool_norm

_PAIRS = 2000
"""Of images, for counter-examples."""
_PROOF = "nothing: it is proved"
_FOUND = "nothing: one case is enough"


@dataclass(frozen=True)
class Formulas(Topic):
    """§4.3's formulas, and a count in Table 1."""

    name: ClassVar[str] = "formulas"
    question: ClassVar[str] = "Which of the paper's formulas are right?"
    once: ClassVar[bool] = True
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim(
            "max-pool", Source.PAPER, "§4.3", "Max-pooling layers are contractive.",
            "Of windows that do not overlap.", "Lipschitz constant of a 2×2 pool of stride 2",
            "norm", less_than(1.0), _PROOF,
            "|max a − max b| ≤ max |a − b| in every window, and no pixel is in two "
            "(docs/spectral.md). Random pairs agree.", Basis.PROOF,
        ),
        Claim(
            "max-pool-overlapping", Source.PAPER, "§4.3", "Max-pooling layers are contractive.",
            "Of overlapping windows as well, such as AlexNet's 3×3 of stride 2.",
            "how much longer a change of one pixel becomes that is the maximum of four windows",
            "norm", less_than(1.0), _FOUND,
            "The pixel lies in four windows, so that a change of 1 becomes one of 2.",
            Basis.COUNTEREXAMPLE,
        ),
        Claim(
            "equation-1", Source.PAPER, "§4.3, Eq. 1",
            "Eq. 1 is the operator norm of a convolution of stride Δ.", "As printed, Δ⁻².",
            "what a 4×4 box of stride 2 does to one image over Eq. 1 as printed", "ratio",
            less_than(1.0), _FOUND,
            "By power iteration on an image of 64×64; Parseval on the coarser grid gives Δ⁻¹.",
            Basis.COUNTEREXAMPLE,
        ),
        Claim(
            "relu-contracts", Source.PAPER, "§4.3",
            "Half-rectified layers are no steeper than their linear part: ‖φ(x; W)‖ has ‖W‖ as a "
            "bound.", "ReLU never makes a change longer.",
            "largest ratio of lengths after and before, over random pairs", "ratio",
            less_than(1.0), _PROOF, "|max(0, a) − max(0, b)| ≤ |a − b|, entry by entry.",
            Basis.PROOF,
        ),
        Claim(
            "noise-above-all-but-one", Source.PAPER, "§4.2",
            "Noise of stddev 0.1 is greater than all but one of the models' minimum distortions.",
            "In the paper's own Table 1 one network has an average above 0.1.",
            "networks of Table 1 with an average distortion above 0.1", "images", less_than(1.5),
            "nothing: it is a count in a table",
            "FC10(1), at 0.14; FC10(10⁻²) has 0.1 itself. On MNIST we count the same "
            "(docs/reproduction.md): 0.119.", Basis.PROOF,
        ),
        Claim(
            "bound-implies-none", Source.PAPER, "§4.3",
            "Large bounds do not automatically translate into adversarial examples, small bounds "
            "guarantee that none can appear.",
            "Small bounds do: within margin over bound there is none.",
            "changes up to that length that fool a random network", "images", less_than(0.5),
            _PROOF, "Definition of a Lipschitz constant; its test is docs/spectral.md's whole "
            "suite. Random changes agree.", Basis.PROOF,
        ),
    )  # fmt: skip

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        return {}

    @torch.no_grad()
    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        generator = self.generator("pairs")
        a, b = (torch.randn(_PAIRS, 1, 8, 8, generator=generator).double() for _ in range(2))
        pooled = (max_pool2d(a, 2) - max_pool2d(b, 2)).flatten(1).norm(dim=1)
        ratio = float((pooled / (a - b).flatten(1).norm(dim=1)).max())
        found.checked("max-pool", max_pool_norm(2), ratio <= 1 and max_pool_norm(2) < 1 + 1e-6)
        rectified = (a.relu() - b.relu()).flatten(1).norm(dim=1)
        steepest = float((rectified / (a - b).flatten(1).norm(dim=1)).max())
        found.checked("relu-contracts", steepest, steepest <= 1)
        dot = torch.zeros(1, 1, 7, 7)
        dot[..., 2, 2] = 1.0
        longer = float(max_pool2d(dot, 3, 2).norm() / dot.norm())
        found.checked("max-pool-overlapping", longer, longer > 1)
        reached, printed = _reached(), paper_norm(torch.ones(1, 1, 4, 4), stride=2, as_printed=True)
        found.checked("equation-1", reached / printed, reached > 1.01 * printed)
        table = where(published("table1"), metric=Metric.MEAN_DISTORTION)
        above = sum(row.value > 0.1 for row in table)
        found.checked("noise-above-all-but-one", float(above), above == 1)
        fooled = self._within_bound()
        found.checked("bound-implies-none", float(fooled), fooled == 0)

    def _within_bound(self) -> int:
        """Random changes no longer than margin over bound that change the answer."""
        generator = self.generator("bound")
        first, last = (torch.randn(shape, generator=generator) for shape in ((20, 64), (10, 20)))
        x = torch.randn(200, 64, generator=generator)
        bound = float(torch.linalg.matrix_norm(first, 2) * torch.linalg.matrix_norm(last, 2))
        logits = (x @ first.T).relu() @ last.T
        top = logits.topk(2, dim=1).values
        # The difference of two logits is √2 times as steep as all of them together.
        radius = 0.999 * (top[:, 0] - top[:, 1]) / (2**0.5 * bound)
        r = torch.randn(50, 200, 64, generator=generator)
        moved = x + radius[:, None] * r / r.norm(dim=2, keepdim=True)
        answers = ((moved @ first.T).relu() @ last.T).argmax(2)
        return int((answers != logits.argmax(1)).sum())


def _reached() -> float:
    """The gain of a 4×4 box of stride 2, from below, by power iteration."""
    kernel, image = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 64, 64)
    for _ in range(50):
        out = conv2d(image, kernel, stride=2)
        back = conv_transpose2d(out, kernel, stride=2)
        image = back / back.norm()
    return float(conv2d(image, kernel, stride=2).norm() / image.norm())
