"""The verdict of a gate in words: what was asked, found and proved, and what it does not say."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from intriguing.report.contents import Contents
from intriguing.report.numbers import share, short
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.results.gate import FlawRow, GateRow, RulingRow

CAPITALS = {"pass": "PASS", "fail": "FAIL", "undecided": "UNDECIDED"}


@dataclass(frozen=True)
class Gated:
    """A finished gate as all of its outputs say it.

    Attributes:
        verdict, flaws: Rows.
        rows: The images that it decided by, in their order.
        telling: Of these, those that say most.
    """

    verdict: RulingRow
    rows: tuple[GateRow, ...]
    flaws: tuple[FlawRow, ...]
    telling: tuple[GateRow, ...]

    @property
    def asked(self) -> str:
        """What was asked, without a full stop."""
        return asked(self.verdict)

    @property
    def headline(self) -> str:
        """The verdict and what it means, in a sentence."""
        return f"{CAPITALS[self.verdict.ruling]}: {_meaning(self.verdict)}."

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the verdict rests on."""
        return (self.headline, *_grounds(self))

    @property
    def limits(self) -> tuple[str, ...]:
        """What the verdict does not say."""
        return tuple(_limits(self.verdict))


def gated(contents: Contents) -> Gated | None:
    """The gate of a results folder; None before there is a verdict."""
    if not contents.rulings:
        return None
    verdict = contents.rulings[0]
    rows = tuple(sorted(contents.gate, key=lambda row: row.place)[: verdict.images])
    return Gated(verdict, rows, contents.flaws, tuple(telling(rows)))


def telling(rows: Sequence[GateRow], most: int = 3) -> list[GateRow]:
    """Of the images with an example, those whose is nearest, measured by how near it may be."""
    some = [row for row in rows if 0 < row.found < math.inf and row.limit > 0]
    return sorted(some, key=lambda row: (row.found / row.limit, row.place))[:most]


def outcome(contents: Contents) -> Findings:
    """The headline of the page."""
    gate = gated(contents)
    if gate is None:
        return NOTHING
    verdict = gate.verdict
    tiles = (
        Tile(CAPITALS[verdict.ruling], gate.asked),
        Tile(
            f"{verdict.near:,} of {verdict.images:,}", "images are too near",
            f"{share(verdict.share)} may be; {_interval(verdict)}",
        ),
        *_value_tile(verdict),
        *([Tile(f"{verdict.proved:,}", "images proved not to be")] if verdict.proved else []),
    )  # fmt: skip
    alarms = tuple(
        f"{row.what}: {row.seen}; {row.follows}." for row in gate.flaws if row.decides
    )  # fmt: skip
    return Findings(tiles, (*gate.sentences, *gate.limits), alarms)


def image_words(row: GateRow) -> str:
    """An image and its nearest example found, in a sentence."""
    distortion = short(row.found / math.sqrt(row.pixels))
    return (
        f"{row.image_id}: class {row.label} becomes {row.became} at distortion {distortion} (L2 "
        f"{short(row.found)}), {share(row.found / row.limit)} of the limit"
    )


def asked(verdict: RulingRow) -> str:
    """What is asked of the network, without a full stop."""
    limit, some = short(verdict.limit), share(verdict.share)
    half = verdict.share == 0.5
    if verdict.kind == "distance":
        return (
            f"the median distortion of the nearest examples is at least {limit}" if half
            else f"at most {some} of the images have an example nearer than distortion {limit}"
        )  # fmt: skip
    if verdict.kind == "ratio":
        which = "the median image" if half else f"all but {some} of the images"
        return (
            f"for {which} the nearest example is no more than {share(1 - verdict.limit)} nearer "
            f"than for {verdict.baseline}"
        )
    counted = "certified beyond" if verdict.kind == "certified accuracy" else "right within"
    return f"at least {share(1 - verdict.share)} of the images are {counted} L2 {limit}"


def what_is_near(verdict: RulingRow) -> str:
    """What makes an image count as too near."""
    limit = short(verdict.limit)
    return {
        "distance": f"an example nearer than distortion {limit}",
        "accuracy": f"an example within L2 {limit}, or a wrong class to begin with",
        "certified accuracy": f"no certificate beyond L2 {limit}",
        "ratio": f"an example nearer than {limit} times that found for {verdict.baseline}",
    }[verdict.kind]


def value(verdict: RulingRow, at_most: str = "at most ") -> str:
    """What was found, as far as it is known; empty where it is not."""
    if math.isnan(verdict.value):
        return ""
    if verdict.kind in ("accuracy", "certified accuracy"):
        return share(verdict.value)
    shown = "∞" if math.isinf(verdict.value) else short(verdict.value)
    return f"{at_most}{shown}" if verdict.value_at_most else shown


def value_called(verdict: RulingRow) -> str:
    """What the value is, in a few words."""
    if verdict.kind in ("accuracy", "certified accuracy"):
        return "of the images looked at are not too near"
    which = "median" if verdict.share == 0.5 else f"{verdict.share:g} quantile of the"
    what = "ratio to the baseline" if verdict.kind == "ratio" else "distortion"
    return f"{which} {what} found"


def _value_tile(verdict: RulingRow) -> list[Tile]:
    found = value(verdict, "≤ ")
    return [Tile(found, value_called(verdict), f"asked: {short(verdict.limit)}")] if (
        found and verdict.kind in ("distance", "ratio")
    ) else []  # fmt: skip


def _interval(verdict: RulingRow) -> str:
    """Of the share of all images that are too near."""
    span = f"{share(verdict.low)} to {share(verdict.high)}"
    return f"of all images {span} ({100 * (1 - 2 * verdict.level):.0f} %)"


def _meaning(verdict: RulingRow) -> str:
    if verdict.ruling == "pass":
        if verdict.kind == "certified accuracy":
            return f"{asked(verdict)}, as certificates prove for the images looked at"
        return f"{asked(verdict)}, as far as {verdict.method} finds them"
    if verdict.ruling == "fail":
        return f"it does not hold that {asked(verdict)}"
    if verdict.refused:
        return (
            f"whether {asked(verdict)} cannot be said, because the network hides its examples from "
            "gradients; no pass is given"
        )
    return f"{verdict.images:,} images do not decide whether {asked(verdict)}"


def _grounds(gate: Gated) -> Iterator[str]:
    verdict = gate.verdict
    others = verdict.images - verdict.near - verdict.unknown
    if verdict.kind == "certified accuracy":
        yield (
            f"For {others:,} of {verdict.images:,} images it is proved that no example lies within "
            f"L2 {short(verdict.limit)}; {verdict.near:,} have no such certificate."
        )
    else:
        searched = others - verdict.proved
        vain = f"for {searched:,} no nearer example was found by {verdict.method}"
        proved = f"for {verdict.proved:,} it is proved that there is none"
        said = [vain + _within(verdict)] if searched or not verdict.proved else []
        said += [proved] if verdict.proved else []
        yield (
            f"Of {verdict.images:,} images {verdict.near:,} have {what_is_near(verdict)}; "
            f"{', and '.join(said)}."
        )
    if verdict.unknown:
        yield (
            f"For {verdict.unknown:,} images nothing is known: the search found no example at any "
            "distance, or failed. They count against a pass, and against a fail."
        )
    yield (
        f"The share of all such images that are too near lies between {share(verdict.low)} and "
        f"{share(verdict.high)} ({100 * (1 - 2 * verdict.level):.0f} %, whenever the gate ends); "
        f"asked for are at most {share(verdict.share)}. A wrong pass and a wrong fail have a "
        f"probability of at most {share(verdict.level)} each."
    )
    if found := value(verdict):
        yield f"The {value_called(verdict)} is {found}." if verdict.kind in (
            "distance", "ratio"
        ) else f"{found} {value_called(verdict)}."  # fmt: skip
    if verdict.checked and not any(flaw.decides for flaw in gate.flaws):
        yield (
            f"On {verdict.checked:,} images nothing came nearer than the search by gradients: no "
            "search without them, and no example of another network, where one was given."
        )


def _within(verdict: RulingRow) -> str:
    if not verdict.budget:
        return ""
    early = (
        f", of which {verdict.far:,} ended after {_shorter(verdict)} with an example farther than "
        f"{short(verdict.beyond)} times the limit"
    )
    return f" within {verdict.budget:,} passes an image" + (early if verdict.far else "")


def _shorter(verdict: RulingRow) -> str:
    return f"{verdict.first:,} or {verdict.short:,}" if verdict.first else f"{verdict.short:,}"


def _limits(verdict: RulingRow) -> Iterator[str]:
    if verdict.kind != "certified accuracy":
        yield (
            "What a search finds is an upper bound of a distance: a pass says that no nearer "
            "example was found, not that there is none."
        )
    yield (
        "The images are taken for a random sample of those that the network will see; of others "
        "nothing is said. Distances are in L2; changes of other kinds, such as of light or place, "
        "are not covered."
    )
