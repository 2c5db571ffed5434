"""Each sentence of the paper on hardening as a difference of test errors, with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intriguing.measures import mean_interval
from intriguing.paper.hardening.families import PLAIN
from intriguing.results.schema import Cell

TABLE = "claims"


@dataclass(frozen=True)
class Claim:
    """A sentence that says one family errs less than another, or than a number.

    Attributes:
        sentence: What the paper says, shortened.
        better: The slug of the family that is to err less.
        worse: The other's slug, or a test error in percent.
    """

    sentence: str
    better: str
    worse: str | float


ALL = "pools-alternating"
CLAIMS: tuple[Claim, ...] = (
    Claim("Weight decay alone gets to 1.6 % (§4.2), at most 0.1 more", PLAIN, 1.7),
    Claim("Dropout improves on it", "dropout", PLAIN),
    Claim("… to around 1.3 % (§4.2), at most 0.1 more", "dropout", 1.4),
    Claim("Pools at all layers, alternating: below 1.2 % (§4.2)", ALL, 1.2),
    Claim("The same, trained jointly: below 1.2 %", "pools-joint", 1.2),
    Claim("Back-feeding adversarial examples improves generalization", ALL, PLAIN),
    Claim("… more than dropout does", ALL, "dropout"),
    Claim("Only with each layer's pool: all better than the input's alone", ALL, "pool-input"),
    Claim("The same, trained jointly", "pools-joint", "pool-input"),
    Claim("Examples at the input alone help as well", "pool-input", PLAIN),
    Claim("They are adversarial, not merely noisy", "pool-input", "noise"),
    Claim("Higher layers are more useful: second hidden before first", "pool-2", "pool-1"),
    Claim("Higher layers are more useful: second hidden before the input", "pool-2", "pool-input"),
    Claim("Penalising Lipschitz bounds improves generalization (§4.3)", "penalty", PLAIN),
)


def to_cells(errors: Mapping[str, Sequence[float]]) -> list[Cell]:
    """The difference of each claim, negative where the paper is right; pairs have a seed each.

    Args:
        errors: Test errors in percent by family and seed.
    """
    cells = []
    for order, claim in enumerate(CLAIMS):
        if claim.better not in errors or (
            isinstance(claim.worse, str) and claim.worse not in errors
        ):
            continue
        ours = errors[claim.better]
        theirs = errors[claim.worse] if isinstance(claim.worse, str) else [claim.worse] * len(ours)
        differences = [a - b for a, b in zip(ours, theirs, strict=False)]
        low, high = mean_interval(differences) if len(differences) > 1 else (None, None)
        count = len(differences)
        cells.append(
            Cell(TABLE, claim.sentence, "Difference of test errors", order, 0, "% more",
                 sum(differences) / count, low, high, count, count)
        )  # fmt: skip
    return cells
