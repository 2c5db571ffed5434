"""What an audit comes to: the reader's questions, answered in words and numbers, and advice."""

import math
from collections.abc import Iterator, Sequence

from intriguing.report.amplification import strongest
from intriguing.report.contents import Contents
from intriguing.report.numbers import number
from intriguing.report.takeaway import Answer, Findings, Tile
from intriguing.results.audit import StageRecord
from intriguing.results.published import paper_value
from intriguing.results.rows import Condition, LayerRow, Measurement, Metric, first, where

CORRECT = (Metric.ACCURACY, Metric.AGREEMENT)
"""How often a network gives an image its class, true or not."""


def audited(contents: Contents) -> Findings:
    """The first screen of an audit."""
    audit = Audit(contents)
    answers = tuple(answer for make in ANSWERS.values() if (answer := make(audit)) is not None)
    answers += tuple(_in_words(audit))
    sentences = tuple(answer.words for answer in answers if answer.kind != "not run")
    return Findings(
        (*_tiles(audit),), sentences, tuple(_alarms(audit)), answers, tuple(_advice(audit))
    )


class Audit:
    """Records and rows of an audit by stage and network."""

    def __init__(self, contents: Contents) -> None:
        self.contents = contents

    def records(self, stage: str) -> list[StageRecord]:
        """The records of one stage, in the order of the networks."""
        return [record for record in self.contents.audit if record.stage == stage]

    def done(self, stage: str) -> list[StageRecord]:
        """Those that were done."""
        return [record for record in self.records(stage) if record.status == "done"]

    def measured(self, stage: str) -> Iterator[tuple[str, list[Measurement]]]:
        """What was measured of each network, where a stage was done and measured anything."""
        for record in self.done(stage):
            about = {"network": record.network} if record.network else {}
            rows = where(self.contents.measured, analysis=stage, **about)
            if rows:
                yield record.network, rows

    def missing(self, stage: str, question: str) -> Answer | None:
        """Why there is no answer; None before the stage had its turn."""
        records = self.records(stage)
        if not records:
            return None
        failed = [record for record in records if record.status == "failed"]
        if failed:
            words = "; ".join(f"{_called(r)}{' '.join(r.words)}" for r in failed)
            return Answer(question, f"It was tried and failed. {words}", "failed")
        return Answer(question, " ".join(dict.fromkeys(w for r in records for w in r.words)),
                      "not run")  # fmt: skip


def _called(record: StageRecord) -> str:
    return f"{record.network}: " if record.network else ""


def _accuracy(audit: Audit) -> Answer | None:
    question = "How often is it right?"
    parts = []
    for network, rows in audit.measured("accuracy"):
        right = _right(rows)
        what = "is right on" if right.metric is Metric.ACCURACY else "agrees with the reference on"
        parts.append(
            f"{network} {what} {_percent(right.count, right.total)} of {right.total:,} images "
            f"(95 % interval {right.low or 0:.1f}–{100 if right.high is None else right.high:.1f})"
        )
    if not parts:
        return audit.missing("accuracy", question)
    return Answer(question, "; ".join(parts) + ".", "measured")


def _right(rows: Sequence[Measurement]) -> Measurement:
    """The share that a network gives its class."""
    return next(row for row in rows if row.metric in CORRECT)


def _closeness(audit: Audit) -> Answer | None:
    question = "How close is the nearest adversarial example?"
    parts, kinds = [], set()
    for network, rows in audit.measured("attack"):
        fooled, proved = _one(rows, Metric.FOOLED), first(rows, metric=Metric.PROVED)
        kinds.add("proved" if proved is not None and proved.count == proved.total else "found")
        found = f"found for {fooled.count:,} of {fooled.total:,} images"
        middle = first(rows, metric=Metric.MEDIAN_DISTORTION)
        if middle is None:
            parts.append(f"{network}: {found}, so the median is not known")
            continue
        l2 = middle.value * math.sqrt(_one(rows, Metric.PIXELS).value)
        parts.append(
            f"{network}: a change of {middle.value:.2g} in a pixel is enough for the median "
            f"image (root mean square on a scale of 0 to 1; {_greys(middle.value)}; L2 {l2:.2g}), "
            f"{found}"
        )
    if not parts:
        return audit.missing("attack", question)
    if kinds == {"proved"}:
        return Answer(question, "; ".join(parts) + ". Proved to be the nearest.", "proved")
    return Answer(
        question, "; ".join(parts) + ". These are upper bounds: a nearer one may exist.", "found"
    )


def _noise(audit: Audit) -> Answer | None:
    question = "Is it the size of the change, or its direction?"
    parts = []
    for network, rows in audit.measured("noise"):
        equal, middle = _equal_noise(rows), _one(rows, Metric.MEDIAN_DISTORTION).value
        said = (
            f"{network}: Gaussian noise of exactly the same size fools "
            f"{_percent(equal.count, equal.total)}, where the changes found fool 100 %"
        )
        curve = noise_curve(rows)
        half = half_at(curve)
        if half is not None:
            said += f"; noise fools half of the images at about {half / middle:.0f} times the " \
                "median size"  # fmt: skip
        elif curve:
            size, fooled, total = curve[-1]
            said += (
                f"; even {size / middle:.0f} times the median size fools only "
                f"{_percent(fooled, total)}"
            )
        parts.append(said)
    if not parts:
        return audit.missing("noise", question)
    return Answer(question, "; ".join(parts) + ".", "measured")


def _equal_noise(rows: Sequence[Measurement]) -> Measurement:
    """What noise of each example's own size does."""
    return where(rows, metric=Metric.FOOLED, condition=Condition.NOISE, size=None)[0]


def noise_curve(rows: Sequence[Measurement]) -> list[tuple[float, int, int]]:
    """Of noise of one size for all: the size, how many images it fools, and of how many."""
    noisy = where(rows, metric=Metric.FOOLED, condition=Condition.NOISE)
    return [(row.size, row.count, row.total) for row in noisy if row.size is not None]


def half_at(curve: Sequence[tuple[float, int, int]]) -> float | None:
    """The size at which noise fools half, by a line through logarithms; None beyond the curve.

    >>> round(half_at([(0.01, 0, 10), (1.0, 10, 10)]), 9)
    0.1
    """
    before: tuple[float, float] | None = None
    for size, count, total in curve:
        share = count / total
        if share >= 0.5:
            if before is None or share == before[1]:
                return size
            weight = (0.5 - before[1]) / (share - before[1])
            return math.exp((1 - weight) * math.log(before[0]) + weight * math.log(size))
        before = (size, share)
    return None


def _target(audit: Audit) -> Answer | None:
    parts, called = [], ""
    for network, rows in audit.measured("target"):
        became, again = _one(rows, Metric.BECAME), _one(rows, Metric.REMAINED)
        called = called or became.setting
        said = (
            f"{network}: {became.count:,} of {became.total:,} images became it, and "
            f"{again.count:,} still are when the saved 8-bit PNG file is read back and classified "
            "afresh"
        )
        mean = first(rows, metric=Metric.MEAN_DISTORTION)
        if mean is not None:
            said += f"; mean distortion {mean.value:.4f}"
            if (paper := paper_value(mean)) is not None:
                said += f", where the paper's 64 images of Figure 5 took {paper:.6g}"
        parts.append(said)
    if parts:
        return Answer(f"Can every image become “{called}”?", "; ".join(parts) + ".", "found")
    if any(record.status == "failed" for record in audit.records("target")):
        return audit.missing("target", "Can every image become the class asked for?")
    return None


def _certified(audit: Audit) -> Answer | None:
    question = "How far is every image safe, whoever looks for examples?"
    parts, proved = [], True
    for network, rows in audit.measured("certify"):
        columns = audit.contents.certificates
        radius = columns["certified"][columns["network"] == network]
        proved = proved and any(
            (file.metadata.get("network"), file.metadata.get("guaranteed")) == (network, "yes")
            for file in audit.contents.of_kind("certificate")
        )
        if not (radius > 0).any():
            parts.append(f"{network}: nothing is certified, because no finite bound is known")
            continue
        middle = _one(rows, Metric.MEDIAN_CERTIFIED, images="").value
        said = (
            f"{network}: the median image is safe from every change shorter than "
            f"{_small(middle)} in L2 (distortion "
            f"{_small(middle / math.sqrt(_one(rows, Metric.PIXELS).value))})"
        )
        ratio = first(rows, metric=Metric.CERTIFIED_RATIO, images="")
        if ratio is not None:
            said += f", which is {_share(ratio.value)} of the distance found"
        beyond = where(rows, metric=Metric.CERTIFIED)
        if beyond:
            shares = ", ".join(f"{100 * float(row.setting):g}" for row in beyond)
            counts = ", ".join(f"{row.count:,}" for row in beyond)
            said += (
                f"; of {len(radius):,} images, {counts} are certified beyond {shares} % of the "
                "median distance found"
            )
        parts.append(said)
    if not parts:
        return audit.missing("certify", question)
    return Answer(question, "; ".join(parts) + ".", "proved" if proved else "not proved")


def _transfer(audit: Audit) -> Answer | None:
    question = "Do examples made for one network fool the others?"
    for _, rows in audit.measured("transfer"):
        others, noise = _crossed(rows)
        said = (
            f"As they are, {_percent(*_counts(others))} of the examples are misclassified by a "
            f"network they were not made for (over {len(others)} pairs), and {_rate(noise)} of "
            "images with noise of the same size"
        )
        errors = where(rows, metric=Metric.ERROR)
        for size in dict.fromkeys(row.size for row in where(errors, condition=Condition.AMPLIFIED)):
            longer = where(errors, condition=Condition.AMPLIFIED, size=size, own=False)
            equal = where(errors, condition=Condition.NOISE, size=size)
            if longer and equal:
                said += (
                    f"; amplified to distortion {size:g}, {_rate(longer)} against {_rate(equal)} "
                    "under noise of that size"
                )
        return Answer(question, said + ".", "measured")
    return audit.missing("transfer", question)


def _crossed(rows: Sequence[Measurement]) -> tuple[list[Measurement], list[Measurement]]:
    """Errors on examples that were made for another network, and on noise as long as they are."""
    errors = where(rows, metric=Metric.ERROR)
    return (
        where(errors, condition=Condition.ADVERSARIAL, own=False),
        where(errors, condition=Condition.NOISE, reference=Condition.ADVERSARIAL),
    )


def _layers(audit: Audit) -> Answer | None:
    question = "Which layers can make a change larger?"
    parts, wholes = [], []
    for record in audit.done("spectrum"):
        rows = [row for row in audit.contents.layers if row.network == record.network]
        whole = next((row for row in rows if row.kind == "network"), None)
        if whole is not None:
            wholes.append(whole)
            parts.append(f"{record.network}: {_strongest(rows)}; {_whole(whole, record.words)}")
    if not parts:
        return audit.missing("spectrum", question)
    proved = all(whole.guaranteed for whole in wholes)
    return Answer(question, ". ".join(parts) + ".", "proved" if proved else "bounds")


def _strongest(rows: Sequence[LayerRow]) -> str:
    most = [f"{row.name} up to {number(row.upper, 'norm')} times" for row in strongest(rows)]
    return f"most of all {'; '.join(most)}" if most else "no single layer does"


def _whole(row: LayerRow, words: Sequence[str]) -> str:
    said = f"the whole network at most {number(row.upper, 'norm')} times"
    if not math.isfinite(row.upper):
        said = "of the whole network no bound is known" + (f" ({words[0]})" if words else "")
    if math.isfinite(row.lower) and row.lower:
        said += f", {number(row.lower, 'norm')} times reached near an image"
    return said


def _units(audit: Audit) -> Answer | None:
    question = "Do single units stand out from random directions?"
    judged = [record.network for record in audit.done("units")]
    claims = [claim for claim in audit.contents.claims if claim.network in judged]
    if not claims:
        return audit.missing("units", question)
    return Answer(question, " ".join(_sentence(claim.sentence) for claim in claims), "measured")


ANSWERS = {
    "accuracy": _accuracy, "attack": _closeness, "noise": _noise, "target": _target,
    "certify": _certified, "transfer": _transfer, "spectrum": _layers, "units": _units,
}  # fmt: skip
"""What answers a stage's question from its rows; of others the stage's own words do."""


def _in_words(audit: Audit) -> Iterator[Answer]:
    """The answers of stages that say them in words of their own."""
    for stage in dict.fromkeys(record.stage for record in audit.contents.audit):
        if stage in (*ANSWERS, "preflight"):
            continue
        records = audit.records(stage)
        said = [
            f"{_called(r)}{_sentence(' '.join(r.words))}" for r in records if r.status == "done"
        ]
        if said:
            yield Answer(records[0].question, " ".join(said), "measured")
        elif (answer := audit.missing(stage, records[0].question)) is not None:
            yield answer


def _tiles(audit: Audit) -> Iterator[Tile]:
    """One number of each stage, of the first network."""
    for network, rows in [*audit.measured("accuracy")][:1]:
        right = _right(rows)
        words = "clean accuracy" if right.metric is Metric.ACCURACY else \
            "agreement with the reference"  # fmt: skip
        yield Tile(_percent(right.count, right.total), f"{words}, {network}",
                   f"{right.total:,} images")  # fmt: skip
    for _, rows in [*audit.measured("attack")][:1]:
        fooled, middle = _one(rows, Metric.FOOLED), first(rows, metric=Metric.MEDIAN_DISTORTION)
        if middle is not None:
            beside = f"{_greys(middle.value)}; {fooled.count:,} of {fooled.total:,} fooled"
            yield Tile(f"{middle.value:.2g}", "median minimum distortion found", beside)
    for _, rows in [*audit.measured("noise")][:1]:
        equal = _equal_noise(rows)
        yield Tile(_percent(equal.count, equal.total), "fooled by noise of the same size")
    for _, rows in [*audit.measured("target")][:1]:
        mean = first(rows, metric=Metric.MEAN_DISTORTION)
        if mean is not None:
            paper = paper_value(mean)
            beside = "" if paper is None else f"paper: {paper:.6g}"
            yield Tile(f"{mean.value:.4f}", f"mean distortion to “{mean.setting}”", beside)
    for _, rows in [*audit.measured("certify")][:1]:
        ratio = first(rows, metric=Metric.CERTIFIED_RATIO, images="")
        share = "none" if ratio is None or not ratio.value else _share(ratio.value)
        yield Tile(share, "of the distance found is certified, median")
    for _, rows in [*audit.measured("transfer")][:1]:
        others, noise = _crossed(rows)
        yield Tile(
            _percent(*_counts(others)), "of examples fool another network", f"noise: {_rate(noise)}"
        )


def _alarms(audit: Audit) -> Iterator[str]:
    for record in audit.done("preflight"):
        for warning in record.warnings:
            yield (
                f"{record.network}: {warning.what}. {_sentence(warning.seen)} "
                f"{_sentence(warning.follows)}"
            )
    for record in audit.done("accuracy"):
        for warning in record.warnings:
            yield f"{record.network}: {_sentence(str(warning))}"
    for network, rows in audit.measured("certify"):
        violations = first(rows, metric=Metric.VIOLATIONS)
        if violations is not None and violations.count:
            yield (
                f"{network}: {violations.count} images have an example closer than certified. A "
                "bound is wrong: please report it, and do not rely on these certificates."
            )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _advice(audit: Audit) -> Iterator[str]:
    """What to do next, most urgent first."""
    if any(record.warnings for record in audit.done("preflight")):
        yield "See to the warnings above first: each can make the numbers mean less."
    attacks = [*audit.measured("attack")]
    for network, rows in attacks:
        fooled = _one(rows, Metric.FOOLED)
        if fooled.count < fooled.total:
            yield (
                f"For {fooled.total - fooled.count:,} of the images of {network} the search "
                "ended without an example: that is not robustness. Give a larger --budget."
            )
            break
    near = [
        network for network, rows in attacks
        if (middle := first(rows, metric=Metric.MEDIAN_DISTORTION)) and 0 < middle.value < 2 / 255
    ]  # fmt: skip
    if near:
        yield (
            f"{_listed(near)}: examples lie within two grey levels of the "
            "images. Train with pools of adversarial examples (`intriguing train --pools`, or "
            "docs/hardening.md for networks of your own), and audit the result in the same way."
        )
    weak = [
        network for network, rows in audit.measured("certify")
        if (ratio := first(rows, metric=Metric.CERTIFIED_RATIO, images="")) is None
        or ratio.value < 0.01
    ]  # fmt: skip
    if weak:
        yield (
            f"The certificates of {_listed(weak)} are far below what was "
            "found. To raise them, penalise the operator norms of the layers named above in "
            "training: `intriguing.SpectralPenalty`."
        )
    if any(record.status == "not run" for record in audit.records("transfer")):
        yield (
            "Add a second network, trained otherwise, to see whether its examples transfer: "
            "who cannot see your weights attacks by way of one of theirs."
        )
    totals = [_one(rows, Metric.FOOLED).total for _, rows in attacks]
    if totals and max(totals) < 200:
        yield (
            f"The attack is of {max(totals)} images; more --images narrow the intervals, and "
            "what is there is kept."
        )


def _one(rows: Sequence[Measurement], metric: Metric, **about: object) -> Measurement:
    """The row that every stage of the kind has."""
    return where(rows, metric=metric, **about)[0]


def _rate(rows: Sequence[Measurement]) -> str:
    """The share of all of them together."""
    count, total = _counts(rows)
    return f"{100 * count / total:.1f} %" if total else "none"


def _counts(rows: Sequence[Measurement]) -> tuple[int, int]:
    return sum(row.count for row in rows), sum(row.total for row in rows)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _percent(count: int, total: int) -> str:
    return number(100 * count / total, "%") if total else "none"


def _share(ratio: float) -> str:
    percent = 100 * ratio
    if 0 < percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{_small(percent)} %"


def _small(value: float) -> str:
    if value == 0 or 1e-3 <= value < 1e4:
        return f"{value:.3g}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


def _greys(distortion: float) -> str:
    return f"{255 * distortion:.2g} of 255 grey levels"
