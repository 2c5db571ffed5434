"""What a comparison of methods comes to: which is shortest, by how much, and at what cost."""

from collections.abc import Iterator, Sequence

from intriguing.report.contents import Contents
from intriguing.report.numbers import interval, number
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.results.measured import Measurement, Metric, first, where


def best_method(contents: Contents) -> str | None:
    """The method that is most often shortest: the one that the pairs are beside."""
    return next((row.reference for row in where(contents.measured, analysis="paired")), None)


def verdict(contents: Contents) -> Findings:
    """The headline of a comparison; empty before there is one."""
    best = best_method(contents)
    if best is None:
        return NOTHING
    methods = where(contents.measured, analysis="compare")
    pairs = where(contents.measured, analysis="paired", metric=Metric.RELATIVE_DIFFERENCE)
    return Findings(
        tuple(_tiles(methods, pairs, best)),
        (
            _shortest(methods, best),
            *_longer(pairs, best),
            _not_found(methods),
            _losses(contents, best),
        ),
    )


def _tiles(
    methods: Sequence[Measurement], pairs: Sequence[Measurement], best: str
) -> Iterator[Tile]:
    if shortest := first(methods, method=best, metric=Metric.SHORTEST):
        words = f"of images on which {best} is shortest"
        yield Tile(number(shortest.value, "%"), words, _span(shortest))
    if pairs:
        second = max(pairs, key=lambda row: (row.count, -row.value))
        words = f"length of {second.method} beside {best}, the next, on average"
        yield Tile(number(second.value, "% more"), words, _span(second))
    if cost := first(methods, method=best, metric=Metric.PASSES):
        yield Tile(number(cost.value, "passes"), f"passes an image for {best}", _span(cost))
    if proved := first(methods, method=best, metric=Metric.PROVED):
        yield Tile(number(proved.value, "%"), "of images proved optimal", _span(proved))


def _span(row: Measurement) -> str:
    span = interval(row.low, row.high, row.unit)
    return f"95 %: {span}" if span else ""


def _shortest(methods: Sequence[Measurement], best: str) -> str:
    rows = where(methods, metric=Metric.SHORTEST)
    parts = [f"{row.method} on {row.count:,}" for row in rows if row.method != best]
    most = first(rows, method=best)
    count = f"{most.count:,} of {most.total:,}" if most else "the most"
    return f"{best} is shortest, up to 0.1 %, on {count} images; {', '.join(parts)}."


def _longer(pairs: Sequence[Measurement], best: str) -> list[str]:
    said = []
    for row in pairs:
        some = "" if row.count == row.total else f" over {_images(row.count)}"
        span = interval(row.low, row.high, row.unit)
        value = number(row.value, row.unit)
        said.append(f"{row.method} {value}{f' ({span})' if span else ''}{some}")
    if not said:
        return []
    return [
        f"Length beside {best}’s, on average over the images that both found, with its 95 % "
        f"interval: {'; '.join(said)}."
    ]


def _not_found(methods: Sequence[Measurement]) -> str:
    failed = [
        f"{row.method} {row.total - row.count:,}"
        for row in where(methods, metric=Metric.FOOLED)
        if row.count < row.total
    ]
    if not failed:
        return "Every method found an adversarial example for every image."
    return f"Images without an adversarial example: {', '.join(failed)}; others none."


def _losses(contents: Contents, best: str) -> str:
    lost = sum(loss.method == best for loss in contents.losses)
    if not lost:
        return f"{best} loses no image to another method."
    return f"{best} loses {_images(lost)} to another method; the report lists them."


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"
