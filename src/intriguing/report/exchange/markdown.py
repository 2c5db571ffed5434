"""Markdown for a step's summary or a comment, and annotations of a workflow's log."""

from intriguing.report.gated import CAPITALS, Gated, image_words, value, value_called
from intriguing.report.numbers import share
from intriguing.results.schema import RunRecord

MARKS = {"pass": "✅", "fail": "❌", "undecided": "❔"}


def summary(gate: Gated, run: RunRecord) -> str:
    """A heading, a table, the images that say most, and what the verdict does not say."""
    verdict = gate.verdict
    heading = f"{MARKS[verdict.ruling]} {CAPITALS[verdict.ruling]}: {verdict.network}"
    facts = [
        ("Asked", gate.asked),
        ("Too near",
         f"{verdict.near:,} of {verdict.images:,} images; {share(verdict.share)} may be"),
        (f"Of all images, {100 * (1 - 2 * verdict.level):.0f} %",
         f"{share(verdict.low)} to {share(verdict.high)} are too near"),
        (value_called(verdict).capitalize(), value(verdict) or "–"),
        ("Proved not to be near", f"{verdict.proved:,} images"),
        ("Data", ", ".join(f"{one.name}, {one.images:,} images" for one in run.data)),
    ]  # fmt: skip
    lines = [
        f"## {cell(heading)}",
        "",
        *map(cell, gate.sentences[:2]),
        "",
        "| | |",
        "| --- | --- |",
    ]
    lines += [f"| {cell(name)} | {cell(words)} |" for name, words in facts]
    if gate.telling:
        lines += ["", "The images that say most:", ""]
        lines += [f"- {cell(image_words(row))}" for row in gate.telling]
    if flaws := [flaw for flaw in gate.flaws if flaw.decides]:
        lines += ["", "What stands in the way of a pass:", ""]
        lines += [f"- {cell(f'{flaw.what}: {flaw.seen}; {flaw.follows}.')}" for flaw in flaws]
    lines += ["", *map(cell, gate.limits)]
    if run.command:
        lines += ["", "To repeat it:", "", "```", run.command.replace("`", "'"), "```"]
    return "\n".join(lines) + "\n"


def annotations(gate: Gated) -> str:
    """Workflow commands, which mark a run: an error, warning or notice for the verdict."""
    kind = {"pass": "notice", "fail": "error", "undecided": "warning"}[gate.verdict.ruling]
    lines = [f"::{kind} title=intriguing gate::{_escaped(' '.join(gate.sentences[:2]))}"]
    lines += [
        f"::warning title=intriguing gate::{_escaped(image_words(row))}"
        for row in gate.telling if row.near == "near"
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Text of others inside a line of Markdown: it makes no markup, and ends no cell."""
    for mark in ("\\", "`", "|", "<", ">", "*", "_", "[", "]", "#", "@"):
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """As workflow commands want it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
