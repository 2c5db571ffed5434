"""The stages of an audit that are whole analyses: transfer, bounds, certificates, units."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from intriguing.audit.kept import Made
from intriguing.audit.subject import Subject
from intriguing.measures import UNIT_BOX, median
from intriguing.names import file_name
from intriguing.results.parquet import read_rows
from intriguing.results.rows import ClaimRow, Condition, Measurement, Metric, where
from intriguing.results.store import write_tensors
from intriguing.runs import bounding, certifying
from intriguing.runs.attacking import Outcome
from intriguing.runs.predicting import predict
from intriguing.runs.study import Study, prepare
from intriguing.runs.transfer_table import transfer_rows
from intriguing.runs.units import analyse

CROSSED = 2000
"""Images that are shown to other networks at most."""
CLASSES = 100
"""With more classes every pair of them is too many for the tighter bounds."""
DIRECTIONS = 64
TOP = 5


def transfer(subject: Subject, outcomes: Mapping[str, Outcome]) -> Made:
    """Examples of each network shown to all: as they are, made equally long, and beside noise."""
    few = {name: _first(outcome) for name, outcome in outcomes.items()}
    means = [float(o.found.double().mean()) for o in few.values() if len(o.found)]
    if not means:
        return Made(("No example was found, so there is none to show to other networks.",))
    sizes = [float(f"{m * max(means):.2g}") for m in subject.config.amplified if m * max(means) < 1]
    images = next(iter(few.values())).images
    rows = transfer_rows(subject.networks, few, images, sizes, subject.config.seed)
    errors = where(rows, metric=Metric.ERROR)
    others = where(errors, condition=Condition.ADVERSARIAL, own=False)
    noise = where(errors, condition=Condition.NOISE)
    facts = {
        "pairs": len(others), "fooled": sum(c.count for c in others),
        "total": sum(c.total for c in others), "sizes": sizes,
        "noise": _rate(where(noise, reference=Condition.ADVERSARIAL)),
        "amplified": {
            f"{size:g}": {
                "examples": _rate(
                    where(errors, condition=Condition.AMPLIFIED, size=size, own=False)
                ),
                "noise": _rate(where(noise, size=size)),
            }
            for size in sizes
        },
        "each": [[c.made_for, c.network, c.count, c.total] for c in others],
    }  # fmt: skip
    return Made((), facts, tuple(rows), passes=(sum(row.total for row in errors), 0))


def _first(outcome: Outcome) -> Outcome:
    """The first images of an outcome, where there are very many."""
    if len(outcome) <= CROSSED:
        return outcome
    columns = {name: column[:CROSSED] for name, column in outcome.columns.items()}
    return replace(outcome, images=outcome.images.first(CROSSED), columns=columns)


def _rate(rows: list[Measurement]) -> float | None:
    total = sum(row.total for row in rows)
    return 100 * sum(row.count for row in rows) / total if total else None


def judge(subject: Subject, outcomes: Mapping[str, Outcome]) -> Made:
    """Keep what every network says of every image and of its nearest examples, for `explain`."""
    ids = list(subject.chosen().ids)
    for name, outcome in outcomes.items():
        tensors: dict[str, np.ndarray] = {}
        adversarial = outcome.columns["adversarial"].nan_to_num()
        for place, (judge_name, model) in enumerate(subject.networks.items()):
            for when, images in (("before", outcome.images.images), ("after", adversarial)):
                _, logits = predict(model, images, subject.batches[judge_name])
                top = logits.topk(min(TOP, logits.shape[1]), dim=1)
                tensors[f"{when}_classes_{place}"] = top.indices.numpy().astype(np.int32)
                tensors[f"{when}_logits_{place}"] = top.values.numpy()
                own = logits.gather(1, outcome.images.labels[:, None])[:, 0]
                tensors[f"{when}_label_{place}"] = own.numpy()
        words = {
            "kind": "judged", "title": f"What the networks say of examples made for {name}",
            "network": name, "networks": json.dumps(list(subject.networks)),
            "ids": json.dumps(ids, ensure_ascii=False),
            "classes": json.dumps(subject.images.class_names, ensure_ascii=False),
        }  # fmt: skip
        write_tensors(subject.folder, file_name("judged", name), tensors, words)
    return Made()


def spectrum(subject: Subject, name: str) -> Made:
    """Bounds of every layer, and of the whole network on images in [0, 1]."""
    shape = tuple(subject.images.images.shape[1:])
    model, tight = subject.networks[name], _tight(subject, name)
    bounding.check_traceable(name, model, shape)
    analysed = bounding.analyse(
        name, model, shape, images=subject.images.first(8), domain=UNIT_BOX, semidefinite=tight,
        seed=subject.config.seed, progress=subject.progress,
    )  # fmt: skip
    bounding.write_spectra(subject.folder, name, analysed.spectra, file_name("spectrum", name))
    whole = next(row for row in analysed.rows if row.kind == "network")
    finite = math.isfinite(whole.upper)
    facts = {
        "upper": whole.upper if finite else None, "guaranteed": whole.guaranteed,
        "lower": whole.lower if math.isfinite(whole.lower) else None, "formula": whole.formula,
    }  # fmt: skip
    words = analysed.notes if not finite else ()
    return Made(words, facts, layers=tuple(analysed.rows))


def _tight(subject: Subject, name: str) -> bool:
    return subject.config.semidefinite and subject.classes[name] <= CLASSES


def certificates(subject: Subject, name: str) -> certifying.Certified:
    """Of the chosen images; from disk where they are there."""
    return certifying.certify_images(
        subject.folder, name, subject.networks[name], subject.chosen(),
        semidefinite=_tight(subject, name), file=file_name("certificate", name),
        progress=subject.progress,
    )  # fmt: skip


def certify(subject: Subject, name: str, outcome: Outcome | None) -> Made:
    """How far the chosen images are safe, beside what was found."""
    certified = certificates(subject, name)
    if outcome is not None:
        certifying.check(name, subject.networks[name], subject.chosen(), certified, outcome)
    columns = certifying.columns(name, subject.chosen(), certified, outcome, subject.config.seed)
    radius, found = columns["certified"], columns["found"]
    rows = certifying.rows(name, columns, ())
    middle = median(torch.from_numpy(found)) if outcome is not None else math.nan
    known = np.isfinite(found) & (found > 0)
    facts = {
        "median": float(np.median(radius)), "largest": float(radius.max()), "total": len(radius),
        "formula": certified.formula, "guaranteed": certified.guaranteed,
        "pixels": columns["pixels"], "violations": certifying.violations(radius, found),
        "ratio": float(np.median(radius[known] / found[known])) if known.any() else None,
        "found": middle if math.isfinite(middle) else None,
        "beyond": [
            [share, int((radius > share * middle).sum())] for share in certifying.SHARES
            if math.isfinite(middle)
        ],
    }  # fmt: skip
    return Made((), facts, tuple(rows), seconds=certified.wall_seconds)


def units(subject: Subject, name: str) -> Made:
    """Whether the units of the first network's last hidden layer stand out, by §3's claim's test.

    One layer and few rotations: every layer more, and every rotation, is a pass over the images
    with as many products as the layer has units squared.
    """
    config, model = subject.config, subject.networks[name]
    generator = torch.Generator().manual_seed(config.seed)
    some = torch.randperm(len(subject.images), generator=generator)[: config.units_on]
    images = subject.images.subset(some.sort().values)
    study = Study(
        directions=DIRECTIONS, rotations=config.rotations, untrained=config.untrained, paths=0,
        seed=config.seed,
    )  # fmt: skip
    last = prepare(study, model, images).names[-1:]
    asked = prepare(replace(study, layers=last), model, images)
    studied = analyse(subject.folder, name, [model], images, asked, progress=subject.progress)
    claims = [
        {
            "layer": claim.layer, "verdict": claim.verdict, "sentence": claim.sentence,
            "difference": claim.difference, "low": claim.low, "high": claim.high,
            "measure": claim.measure,
        }
        for claim in read_rows(subject.folder, ClaimRow)
    ]  # fmt: skip
    facts = {"claims": claims, "images": len(images)}
    passes = sum(stage.forward_passes for stage in studied.stages)
    return Made(studied.notes, facts, studied.rows, passes=(passes, 0))
