"""What an audit comes to: the reader's questions, answered in words and numbers, and advice.

The answers were written by the stages (`audit/`), beside their questions; here they are put
together, with what to do next.
"""

from collections.abc import Iterator, Sequence

from intriguing.report.contents import Contents
from intriguing.report.numbers import sentence
from intriguing.report.takeaway import Answer, Findings
from intriguing.results.audit import Finding, StageRecord
from intriguing.results.measured import Measurement, Metric, first, where

NEAR = 2 / 255
"""A distortion that is less than what the eye tells in 8-bit images: two grey levels."""
LOOSE = 0.01
"""A share of the distance found below which certificates say next to nothing."""
FEW = 200
"""Images attacked from which intervals are narrow."""


def audited(contents: Contents) -> Findings:
    """The first screen of an audit."""
    stages: dict[str, list[StageRecord]] = {}
    for record in contents.audit:
        stages.setdefault(record.stage, []).append(record)
    answers = tuple(_answer(some) for some in stages.values() if any(one.question for one in some))
    found = [[one.finding for one in some if one.finding] for some in stages.values()]
    return Findings(
        tuple(some[0].tile for some in found if some and some[0].tile),
        tuple(answer.words for answer in answers if answer.kind != "not run"),
        tuple(_alarms(contents)),
        answers,
        tuple(_advice(contents)),
    )


def _answer(records: Sequence[StageRecord]) -> Answer:
    """To the question of one stage, from its records of every network."""
    question = next(record.question for record in records if record.question)
    done = [record for record in records if record.status == "done"]
    found = [record.finding for record in done if record.finding]
    if found:
        kinds = [one.kind for one in found]
        kind = next((one for one in kinds if one != "proved"), "proved")
        closing = dict.fromkeys(one.closing for one in found if one.kind == kind and one.closing)
        return Answer(question, " ".join((f"{_joined(found)}.", *closing)), kind)
    if failed := [record for record in records if record.status == "failed"]:
        words = "; ".join(_called(record, " ".join(record.words)) for record in failed)
        return Answer(question, f"It was tried and failed. {words}", "failed")
    words = " ".join(dict.fromkeys(word for record in records for word in record.words))
    return Answer(question, words, "not run")


def _joined(found: Sequence[Finding]) -> str:
    return ". ".join(one.words for one in found)


def _called(record: StageRecord, words: str) -> str:
    return f"{record.network}: {words}" if record.network else words


def _alarms(contents: Contents) -> Iterator[str]:
    said = set()
    for record in contents.audit:
        for one in record.warnings:
            if (record.network, one.what) not in said:  # two stages see the same
                said.add((record.network, one.what))
                words = map(sentence, (one.what, one.seen, one.follows))
                yield f"{record.network}: {' '.join(words)}"
    for network, rows in _measured(contents, "certify"):
        violations = first(rows, metric=Metric.VIOLATIONS)
        if violations is not None and violations.count:
            yield (
                f"{network}: {violations.count} images have an example closer than certified. A "
                "bound is wrong: please report it, and do not rely on these certificates."
            )


def _advice(contents: Contents) -> Iterator[str]:
    """What to do next, most urgent first."""
    if any(record.warnings for record in contents.audit):
        yield "See to the warnings above first: each can make the numbers mean less."
    attacks = dict(_measured(contents, "attack"))
    fooled = {name: where(rows, metric=Metric.FOOLED)[0] for name, rows in attacks.items()}
    for network, row in fooled.items():
        if row.count < row.total:
            yield (
                f"For {row.total - row.count:,} of the images of {network} the search ended "
                "without an example: that is not robustness. Give a larger --budget."
            )
            break
    medians = {name: first(r, metric=Metric.MEDIAN_DISTORTION) for name, r in attacks.items()}
    if near := [name for name, row in medians.items() if row and 0 < row.value < NEAR]:
        yield (
            f"{', '.join(near)}: examples lie within two grey levels of the images. Train with "
            "pools of adversarial examples (`intriguing train --pools`, or docs/hardening.md for "
            "networks of your own), and audit the result in the same way."
        )
    ratios = {
        name: first(rows, metric=Metric.CERTIFIED_RATIO, images="")
        for name, rows in _measured(contents, "certify")
    }
    if weak := [name for name, row in ratios.items() if row is None or row.value < LOOSE]:
        yield (
            f"The certificates of {', '.join(weak)} are far below what was found. To raise them, "
            "penalise the operator norms of the layers named above in training: "
            "`intriguing.SpectralPenalty`."
        )
    if len(contents.run.models) == 1:
        yield (
            "Add a second network, trained otherwise, to see whether its examples transfer: "
            "who cannot see your weights attacks by way of one of theirs."
        )
    most = max((row.total for row in fooled.values()), default=FEW)
    if most < FEW:
        yield (
            f"The attack is of {most} images; more --images narrow the intervals, and what is "
            "there is kept."
        )


def _measured(contents: Contents, stage: str) -> Iterator[tuple[str, list[Measurement]]]:
    """What was measured of each network, where a stage was done and measured anything."""
    for record in contents.audit:
        if (record.stage, record.status) == (stage, "done"):
            rows = where(contents.measured, analysis=stage, network=record.network)
            if rows:
                yield record.network, rows
