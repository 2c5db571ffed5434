"""Each sentence of the paper on hardening as a difference of test errors, with its interval."""

from collections.abc import Mapping, Sequence

from intriguing.estimates import Rows
from intriguing.measures import mean_interval
from intriguing.results.measured import Measurement, Metric
from intriguing.results.published import published_claims


def differences(errors: Mapping[str, Sequence[float]]) -> list[Measurement]:
    """The difference of each claim, negative where the paper is right; pairs have a seed each.

    Args:
        errors: Test errors in percent by regime and seed.
    """
    rows = Rows("claims", images="test")
    for claim in published_claims():
        worse = claim.worse
        if claim.better not in errors or (isinstance(worse, str) and worse not in errors):
            continue
        ours = errors[claim.better]
        theirs = errors[worse] if isinstance(worse, str) else [worse] * len(ours)
        some = [a - b for a, b in zip(ours, theirs, strict=False)]
        count = len(some)
        span = mean_interval(some) if count > 1 else (None, None)
        rows.add(Metric.ERROR_DIFFERENCE, "% more", sum(some) / count, count, count, span,
                 method=claim.better, reference=claim.reference)  # fmt: skip
    return rows.made
