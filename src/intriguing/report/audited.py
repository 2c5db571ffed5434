"""What an audit comes to: the reader's questions, answered in words and numbers, and advice."""

import math
from collections.abc import Sequence

from intriguing.report.amplification import strongest
from intriguing.report.contents import Contents
from intriguing.report.numbers import number
from intriguing.report.takeaway import Answer, Findings, Tile
from intriguing.results.audit import StageRecord
from intriguing.results.rows import LayerRow


def audited(contents: Contents) -> Findings:
    """The first screen of an audit."""
    facts = Facts(contents.audit, contents.layers)
    answers = tuple(
        answer
        for make in (_accuracy, _closeness, _noise, _target, _certified, _transfer, _layers, _units)
        if (answer := make(facts)) is not None
    )
    sentences = tuple(answer.words for answer in answers if answer.kind != "not run")
    return Findings((*_tiles(facts),), sentences, _alarms(facts), answers, tuple(_advice(facts)))


class Facts:
    """Records of an audit by stage and network."""

    def __init__(self, records: Sequence[StageRecord], layers: Sequence[LayerRow]) -> None:
        self.records, self.layers = records, layers

    def of(self, stage: str) -> list[StageRecord]:
        """The records of one stage, in the order of the networks."""
        return [record for record in self.records if record.stage == stage]

    def done(self, stage: str) -> list[StageRecord]:
        """Those that were done and have something to say."""
        return [record for record in self.of(stage) if record.status == "done" and record.facts]

    def missing(self, stage: str, question: str) -> Answer | None:
        """Why there is no answer; None before the stage had its turn."""
        records = self.of(stage)
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


def _accuracy(facts: Facts) -> Answer | None:
    question = "How often is it right?"
    parts = []
    for record in facts.done("accuracy"):
        f = record.facts
        low, high = (100 * end for end in f["interval"])
        what = "is right on" if f["labelled"] else "agrees with the reference on"
        parts.append(
            f"{record.network} {what} {_percent(f['correct'], f['total'])} of {f['total']:,} "
            f"images (95 % interval {low:.1f}–{high:.1f})"
        )
    if not parts:
        return facts.missing("accuracy", question)
    return Answer(question, "; ".join(parts) + ".", "measured")


def _closeness(facts: Facts) -> Answer | None:
    question = "How close is the nearest adversarial example?"
    parts, kinds = [], set()
    for record in facts.done("attack"):
        f = record.facts
        kinds.add("proved" if f["proved"] == f["total"] else "found")
        found = f"found for {f['found']:,} of {f['total']:,} images"
        if f["median"] is None:
            parts.append(f"{record.network}: {found}, so the median is not known")
            continue
        parts.append(
            f"{record.network}: a change of {f['median']:.2g} in a pixel is enough for the median "
            f"image (root mean square on a scale of 0 to 1; {_greys(f['median'])}; L2 "
            f"{f['median'] * math.sqrt(f['pixels']):.2g}), {found}"
        )
    if not parts:
        return facts.missing("attack", question)
    if kinds == {"proved"}:
        return Answer(question, "; ".join(parts) + ". Proved to be the nearest.", "proved")
    return Answer(
        question, "; ".join(parts) + ". These are upper bounds: a nearer one may exist.", "found"
    )


def _noise(facts: Facts) -> Answer | None:
    question = "Is it the size of the change, or its direction?"
    parts = []
    for record in facts.done("noise"):
        f = record.facts
        if not f.get("total"):
            continue
        said = (
            f"{record.network}: Gaussian noise of exactly the same size fools "
            f"{_percent(f['fooled'], f['total'])}, where the changes found fool 100 %"
        )
        if f["half_at"] is not None:
            said += f"; noise fools half of the images at about {f['half_at'] / f['median']:.0f} " \
                "times the median size"  # fmt: skip
        elif f["curve"]:
            size, fooled, total = f["curve"][-1]
            said += (
                f"; even {size / f['median']:.0f} times the median size fools only "
                f"{_percent(fooled, total)}"
            )
        parts.append(said)
    if not parts:
        return facts.missing("noise", question)
    return Answer(question, "; ".join(parts) + ".", "measured")


def _target(facts: Facts) -> Answer | None:
    done = facts.done("target")
    if not done:
        failed = [record for record in facts.of("target") if record.status == "failed"]
        return facts.missing("target", "Can every image become the class asked for?") \
            if failed else None  # fmt: skip
    parts = []
    for record in done:
        f = record.facts
        said = (
            f"{record.network}: {f['found']:,} of {f['total']:,} images became it, and "
            f"{f['again']:,} still are when the saved 8-bit PNG file is read back and classified "
            "afresh"
        )
        if f["mean"] is not None:
            said += f"; mean distortion {f['mean']:.4f}"
        if f["paper"] is not None:
            said += f", where the paper's 64 images of Figure 5 took {f['paper']:.6g}"
        parts.append(said)
    question = f"Can every image become “{done[0].facts['called']}”?"
    return Answer(question, "; ".join(parts) + ".", "found")


def _certified(facts: Facts) -> Answer | None:
    question = "How far is every image safe, whoever looks for examples?"
    parts, proved = [], True
    for record in facts.done("certify"):
        f = record.facts
        proved = proved and f["guaranteed"]
        if f["largest"] == 0:
            parts.append(
                f"{record.network}: nothing is certified, because no finite bound is known"
            )
            continue
        said = (
            f"{record.network}: the median image is safe from every change shorter than "
            f"{_small(f['median'])} in L2 (distortion "
            f"{_small(f['median'] / math.sqrt(f['pixels']))})"
        )
        if f["ratio"] is not None:
            said += f", which is {_share(f['ratio'])} of the distance found"
        if f["beyond"]:
            shares = ", ".join(f"{100 * share:g}" for share, _ in f["beyond"])
            counts = ", ".join(f"{count:,}" for _, count in f["beyond"])
            said += (
                f"; of {f['total']:,} images, {counts} are certified beyond {shares} % of the "
                "median distance found"
            )
        parts.append(said)
    if not parts:
        return facts.missing("certify", question)
    kind = "proved" if proved else "not proved"
    return Answer(question, "; ".join(parts) + ".", kind)


def _transfer(facts: Facts) -> Answer | None:
    question = "Do examples made for one network fool the others?"
    done = facts.done("transfer")
    if not done:
        return facts.missing("transfer", question)
    f = done[0].facts
    said = (
        f"As they are, {_percent(f['fooled'], f['total'])} of the examples are misclassified by a "
        f"network they were not made for (over {f['pairs']} pairs), and {f['noise']:.1f} % of "
        "images with noise of the same size"
    )
    for size, rates in f["amplified"].items():
        if rates["examples"] is not None and rates["noise"] is not None:
            said += (
                f"; amplified to distortion {size}, {rates['examples']:.1f} % against "
                f"{rates['noise']:.1f} % under noise of that size"
            )
    return Answer(question, said + ".", "measured")


def _layers(facts: Facts) -> Answer | None:
    question = "Which layers can make a change larger?"
    parts = []
    for record in facts.done("spectrum"):
        f = record.facts
        rows = [row for row in facts.layers if row.network == record.network]
        most = [f"{row.name} up to {number(row.upper, 'norm')} times" for row in strongest(rows)]
        whole = (
            f"the whole network at most {number(f['upper'], 'norm')} times"
            if f["upper"] is not None
            else "of the whole network no bound is known"
            + (f" ({record.words[0]})" if record.words else "")
        )
        reached = (
            f", {number(f['lower'], 'norm')} times reached near an image" if f["lower"] else ""
        )
        named = f"most of all {'; '.join(most)}" if most else "no single layer does"
        parts.append(f"{record.network}: {named}; {whole}{reached}")
    if not parts:
        return facts.missing("spectrum", question)
    proved = all(r.facts["guaranteed"] for r in facts.done("spectrum"))
    return Answer(question, ". ".join(parts) + ".", "proved" if proved else "bounds")


def _units(facts: Facts) -> Answer | None:
    question = "Do single units stand out from random directions?"
    done = facts.done("units")
    claims = [claim for record in done for claim in record.facts["claims"]]
    if not claims:
        return facts.missing("units", question)
    return Answer(question, " ".join(_sentence(claim["sentence"]) for claim in claims), "measured")


def _tiles(facts: Facts) -> list[Tile]:
    tiles = []
    for record in facts.done("accuracy")[:1]:
        f = record.facts
        words = "clean accuracy" if f["labelled"] else "agreement with the reference"
        tiles.append(Tile(_percent(f["correct"], f["total"]), f"{words}, {record.network}",
                          f"{f['total']:,} images"))  # fmt: skip
    for record in facts.done("attack")[:1]:
        f = record.facts
        if f["median"] is not None:
            beside = f"{_greys(f['median'])}; {f['found']:,} of {f['total']:,} fooled"
            tiles.append(Tile(f"{f['median']:.2g}", "median minimum distortion found", beside))
    for record in facts.done("noise")[:1]:
        f = record.facts
        if f.get("total"):
            tiles.append(Tile(_percent(f["fooled"], f["total"]),
                              "fooled by noise of the same size"))  # fmt: skip
    for record in facts.done("target")[:1]:
        f = record.facts
        beside = f"paper: {f['paper']:.6g}" if f["paper"] is not None else ""
        if f["mean"] is not None:
            tiles.append(Tile(f"{f['mean']:.4f}", f"mean distortion to “{f['called']}”", beside))
    for record in facts.done("certify")[:1]:
        f = record.facts
        share = "none" if not f["ratio"] else _share(f["ratio"])
        tiles.append(Tile(share, "of the distance found is certified, median"))
    for record in facts.done("transfer")[:1]:
        f = record.facts
        tiles.append(Tile(_percent(f["fooled"], f["total"]), "of examples fool another network",
                          f"noise: {f['noise']:.1f} %"))  # fmt: skip
    return tiles


def _alarms(facts: Facts) -> tuple[str, ...]:
    said = [
        f"{record.network}: {warning['what']}. {_sentence(warning['seen'])} "
        f"{_sentence(warning['follows'])}"
        for record in facts.done("preflight")
        for warning in record.facts["warnings"]
    ]
    said += [
        f"{record.network}: {_sentence(warning)}"
        for record in facts.done("accuracy")
        for warning in record.facts.get("warnings", ())
    ]
    said += [
        f"{record.network}: {record.facts['violations']} images have an example closer than "
        "certified. A bound is wrong: please report it, and do not rely on these certificates."
        for record in facts.done("certify")
        if record.facts["violations"]
    ]
    return tuple(said)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _advice(facts: Facts) -> list[str]:
    """What to do next, most urgent first."""
    said = []
    if any(record.facts["warnings"] for record in facts.done("preflight")):
        said.append("See to the warnings above first: each can make the numbers mean less.")
    for record in facts.done("attack"):
        f = record.facts
        if f["found"] < f["total"]:
            said.append(
                f"For {f['total'] - f['found']:,} of the images of {record.network} the search "
                "ended without an example: that is not robustness. Give a larger --budget."
            )
            break
    near = [r for r in facts.done("attack") if (m := r.facts["median"]) and m < 2 / 255]
    if near:
        said.append(
            f"{_listed([r.network for r in near])}: examples lie within two grey levels of the "
            "images. Train with pools of adversarial examples (`intriguing train --pools`, or "
            "docs/hardening.md for networks of your own), and audit the result in the same way."
        )
    weak = [r for r in facts.done("certify") if (r.facts["ratio"] or 0) < 0.01]
    if weak:
        said.append(
            f"The certificates of {_listed([r.network for r in weak])} are far below what was "
            "found. To raise them, penalise the operator norms of the layers named above in "
            "training: `intriguing.SpectralPenalty`."
        )
    if any(r.status == "not run" for r in facts.of("transfer")):
        said.append(
            "Add a second network, trained otherwise, to see whether its examples transfer: "
            "who cannot see your weights attacks by way of one of theirs."
        )
    totals = [r.facts["total"] for r in facts.done("attack")]
    if totals and max(totals) < 200:
        said.append(
            f"The attack is of {max(totals)} images; more --images narrow the intervals, and "
            "what is there is kept."
        )
    return said


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
