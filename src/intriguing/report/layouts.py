"""How the table of each analysis is laid out: rows, columns, their order, their names."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from intriguing.report.views import Labels, Table, View
from intriguing.results.measured import Condition, Measurement, Metric, first
from intriguing.results.published import published_claims


def gather(rows: Iterable[Measurement]) -> list[Table]:
    """The tables of these measurements, sorted by their analyses' files."""
    of_analysis: dict[str, list[Measurement]] = {}
    for row in rows:
        of_analysis.setdefault(row.analysis, []).append(row)
    known = sorted(of_analysis.keys() & VIEWS.keys(), key=lambda name: VIEWS[name].file or name)
    tables = [table for name in known for table in VIEWS[name].tables(name, of_analysis[name])]
    return [table for table in tables if table.cells]


def plain(title: str) -> View:
    """Of an analysis that has no view of its own: a row a network, a column for each metric."""
    words: Labels = {(one,): one.value.replace("_", " ").capitalize() + "{about}" for one in Metric}
    told = ("metric", "condition", "size", "setting")
    return View(title, "Network", words, column=told, more=_about)


def _about(row: Measurement, rows: Sequence[Measurement]) -> dict[str, Any]:
    """Under which condition, of which size and setting."""
    said = (row.condition, "" if row.size is None else f"{row.size:g}", row.setting)
    return {"about": "".join(f", {part}" for part in said if part)}


def _length(row: Measurement, rows: Sequence[Measurement]) -> dict[str, Any]:
    """How long the examples of a network are on average."""
    mean = first(
        rows, metric=Metric.MEAN_DISTORTION, condition=Condition.ADVERSARIAL, made_for=row.made_for
    )
    return {"length": 0.0 if mean is None else mean.value}


def _whom(row: Measurement, rows: Sequence[Measurement]) -> dict[str, Any]:
    """For which network, and to which it is shown; or over all pairs."""
    return {"maker": row.made_for or "each", "whom": row.network or "all others"}


def _as_distortion(row: Measurement, rows: Sequence[Measurement]) -> dict[str, Any]:
    """A size in L2 as the paper's distortion."""
    pixels = first(rows, metric=Metric.PIXELS)
    return {"distortion": (row.size or 0.0) / (1.0 if pixels is None else pixels.value**0.5)}


def _layer(row: Measurement, rows: Sequence[Measurement]) -> dict[str, Any]:
    """A layer with its shape, where it has one."""
    return {"whole": ": ".join(part for part in (row.layer, row.setting) if part)}


def _sentence(row: Measurement, rows: Sequence[Measurement]) -> dict[str, Any]:
    """What the paper says of which the row is the difference."""
    about = row.method, row.reference
    said = (c.sentence for c in published_claims() if (c.better, c.reference) == about)
    return {"sentence": next(said, f"{row.method} errs less than {row.reference}")}


M = Metric
NAMES = {
    M.ERROR: "Test error", M.ACCURACY: "Clean accuracy", M.AGREEMENT: "Agreement",
    M.FOOLED: "Fooled", M.BECAME: "Became {setting}", M.REMAINED: "Still so as PNG files",
    M.MEAN_DISTORTION: "Mean distortion", M.MEDIAN_DISTORTION: "Median distortion",
    M.MEAN_L2: "Mean L2", M.MEDIAN_L2: "Median L2", M.PASSES: "Passes", M.TIME: "Time, ms",
    M.PROVED: "Proved optimal", M.LOCAL_GAP: "Local gap, median", M.SHORTEST: "Shortest",
    M.SHORTER: "Shorter on", M.LONGER: "Longer on", M.L2_DIFFERENCE: "Mean difference of L2",
    M.CERTIFIED: "Certified", M.RELATIVE_DIFFERENCE: "Mean relative difference",
    M.FLAWS: "Flaws found", M.ACCURACY_DIFFERENCE: "Above raw pixels", M.VIOLATIONS: "Violations",
    M.ERROR_DIFFERENCE: "Difference of test errors", M.COHERENCE: "α = {size:g}",
    M.COHERENCE_DIFFERENCE: "Lead in coherence", M.EXPLAINED: "Variance explained",
    M.DEAD: "Dead features",
    M.MEDIAN_CERTIFIED: "Certified radius", M.WITHSTOOD: "Under the attack",
    M.DISTORTION_RATIO: "Distortion over plain", M.RADIUS_RATIO: "Radius over plain",
    M.TIME_RATIO: "Time over plain", M.MENDED_BOUND: "Paper, mended",
    M.PRINTED_BOUND: "As printed", M.UPPER_BOUND: "Corrected", M.LOWER_BOUND: "At least",
}  # fmt: skip
"""What columns are called, where the table does not call them otherwise."""


def _columns(*metrics: Metric, **otherwise: str) -> Labels:
    """These metrics in this order, some of them by another name."""
    return {(metric,): otherwise.get(metric.value, NAMES[metric]) for metric in metrics}


_SHOWN = ("condition", "made_for", "size")
_CROSSED = ("metric", "network")
_EXAMPLES, _LONGER, _NOISE = (
    (condition,) for condition in (Condition.ADVERSARIAL, Condition.AMPLIFIED, Condition.NOISE)
)
_BY_NETWORK: Labels = {(M.ERROR,): "{network}", (M.MEAN_DISTORTION,): "Av. distortion"}
_BY_SET: Labels = {
    (M.ERROR, "train"): "Training error",
    (M.ERROR, "test"): "Test error",
    (M.MEAN_DISTORTION,): "Av. min. distortion",
}
_BOUNDS = View(
    "How many times longer each layer can make a change", "Layer: size /stride",
    _columns(M.MENDED_BOUND, M.PRINTED_BOUND, M.UPPER_BOUND, M.LOWER_BOUND),
    "Table 5", row=("layer", "setting"), labels={("",): "Product", (): "{whole}"}, more=_layer,
)  # fmt: skip
_HARDENED = View(
    "One network, trained in each way", "Training",
    _columns(
        M.ERROR, M.MEDIAN_DISTORTION, M.DISTORTION_RATIO, M.MEDIAN_CERTIFIED, M.RADIUS_RATIO,
        M.TIME_RATIO,
    ),
    row=("method",), labels={(): "{method}"},
)  # fmt: skip

_NET = View(
    "What of it is there without any change",
    "",
    {
        (M.ERROR, ""): "Misclassified",
        (M.ERROR, "clean"): "The same images, unchanged",
        (M.ERROR_DIFFERENCE,): "Difference",
    },
    row=("condition", "made_for", "size", "network"),
    column=("metric", "images"),
    labels={
        _EXAMPLES: "For {maker}, shown to {whom}",
        _LONGER: "For {maker}, amplified to {size:g}, shown to {whom}",
        _NOISE: "Noise of {size:.3g}, shown to {whom}",
    },
    more=_whom,
)

VIEWS: dict[str, View] = {
    "table1": View(
        "Error, and how little it takes to fool every image", "Network", _BY_SET, "Table 1",
        column=("metric", "images"),
    ),
    "table2": View(
        "Cross-model generalization of adversarial examples", "Distorted for", _BY_NETWORK,
        "Table 2", row=_SHOWN, column=_CROSSED,
        labels={_EXAMPLES: "{made_for}", _NOISE: "Gaussian noise, stddev={size:g}"},
    ),
    "table3": View(
        "Networks trained on two disjoint halves, before distortion", "Network",
        {
            (M.ERROR, "P1"): "Error on P1",
            (M.ERROR, "P2"): "Error on P2",
            (M.ERROR, "test"): "Error on Test",
            (M.MEAN_DISTORTION,): "Min Av. Distortion",
        },
        "Table 3", column=("metric", "images"),
    ),
    "table4": View(
        "Cross-training-set generalization of adversarial examples", "", _BY_NETWORK, "Table 4",
        row=_SHOWN, column=_CROSSED,
        labels={
            _EXAMPLES: "Distorted for {made_for}",
            _LONGER: "Distorted for {made_for} amplified to stddev={size:g}",
            _NOISE: "Gaussian noise with stddev={size:g}",
        },
    ),
    "table5": _BOUNDS,
    "bounds": replace(
        _BOUNDS, labels={("",): "Whole network", (): "{whole}"}, each=True, file="table5"
    ),
    "figure6": View(
        "Automobile or not, by unsupervised features", "Network",
        _columns(
            M.ACCURACY, M.ACCURACY_DIFFERENCE, M.FOOLED, M.MEAN_DISTORTION, accuracy="Accuracy",
            fooled="Known cars fooled", mean_distortion="Av. min. distortion",
        ),
        "Figure 6",
    ),
    "figure6-transfer": View(
        "Automobile or not, by unsupervised features: transfer", "Network", _BY_NETWORK,
        "Figure 6", row=_SHOWN, column=_CROSSED,
        labels={_EXAMPLES: "{made_for}", _NOISE: "{made_for}, noise instead"},
    ),
    "attack": View(
        "Minimum distortion", "Network",
        _columns(
            M.ERROR, M.FOOLED, M.MEAN_DISTORTION, M.MEDIAN_DISTORTION, M.MEDIAN_L2, M.PASSES,
            M.PROVED, M.LOCAL_GAP, error="Error before", passes="Passes an image",
        ),
    ),
    "accuracy": View(
        "Accuracy on the images as they are", "Network",
        _columns(M.ACCURACY, M.AGREEMENT),
    ),
    "noise": View(
        "How many images are fooled", "Network",
        {
            (M.FOOLED, Condition.ADVERSARIAL): "By the changes found",
            (M.FOOLED, Condition.NOISE, ""): "By noise of each one's size",
            (M.FOOLED, Condition.NOISE): "By noise of {setting} × the median",
        },
        column=("metric", "condition", "setting"),
    ),
    "target": View(
        "Made one class, as 8-bit images", "Network",
        _columns(M.BECAME, M.REMAINED, M.MEAN_DISTORTION, M.MEDIAN_DISTORTION),
    ),
    "compare": View(
        "Every method on the same images", "Method",
        _columns(
            M.FOOLED, M.SHORTEST, M.MEAN_L2, M.MEDIAN_L2, M.MEAN_DISTORTION, M.MEDIAN_DISTORTION,
            M.PASSES, M.TIME, M.PROVED, M.LOCAL_GAP, fooled="Found",
        ),
        row=("method",), labels={(): "{method}"},
    ),
    "paired": View(
        "Image by image beside the method that is most often shortest", "",
        _columns(M.L2_DIFFERENCE, M.RELATIVE_DIFFERENCE, M.SHORTER, M.LONGER),
        row=("method", "reference"), labels={(): "{method} beside {reference}"},
    ),
    "transfer": View(
        "Error each network makes on examples made for another", "",
        _columns(M.ERROR, error="{network}"), "Transfer", row=_SHOWN, column=_CROSSED,
        labels={
            _EXAMPLES: "Distorted for {made_for} (av. stddev={length:.3g})",
            _LONGER: "Distorted for {made_for} amplified to stddev={size:g}",
            _NOISE: "Gaussian noise with stddev={size:.3g}",
        },
        more=_length,
    ),
    "transfer-net": _NET,
    "table2-net": replace(_NET, heading="Table 2, net"),
    "table4-net": replace(_NET, heading="Table 4, net"),
    "train": View(
        "Error of the trained network", "Network", _BY_SET, column=("metric", "images")
    ),
    "path": View(
        "Coherence on the way from the units (α = 0) to a random rotation (α = 1)", "Layer",
        _columns(M.COHERENCE), row=("layer",), column=("metric", "size"),
        labels={(): "{layer}"},
    ),
    "dictionaries": View(
        "Learned dictionaries beside units and random directions, on images they had not seen",
        "Layer, basis",
        _columns(M.COHERENCE, M.EXPLAINED, M.DEAD, coherence="Coherence"),
        row=("layer", "method"), labels={(): "{layer}, {method}"},
    ),
    "dictionary-leads": View(
        "By how much a learned dictionary is more coherent", "",
        _columns(M.COHERENCE_DIFFERENCE), row=("layer", "method", "reference"),
        labels={(): "{layer}: {method} less {reference}"},
    ),
    "certify": View(
        "What is certified, and what is found", "Network",
        {
            (M.ACCURACY,): "Clean accuracy",
            (M.MEDIAN_CERTIFIED, "correct"): "Median certified",
            (M.MEDIAN_L2, "correct"): "Median found",
            (M.CERTIFIED_RATIO, "correct"): "Certified/found",
            (M.PROVED,): "Exact to 1 %",
            (M.VIOLATIONS,): "Violations",
        },
        column=("metric", "images"),
    ),
    "robust": View(
        "Accuracy against every change of at most ε, in L2", "ε (as distortion)",
        _columns(M.CERTIFIED, M.WITHSTOOD), row=("size",),
        labels={(): "{size:g} ({distortion:.4f})"}, more=_as_distortion, each=True,
    ),
    "hardening": _HARDENED,
    "fool": View(
        "Read as the class asked for, with confidence", "Network",
        {
            (M.BECAME,): "From {setting}",
            (M.AGREEMENT,): "Agrees, from {setting}",
        },
        column=("metric", "setting"),
    ),
    "penalty": replace(
        _HARDENED, title="The spectral penalty by its weight", corner="Weight", row=("setting",),
        labels={(): "{setting}"},
    ),
    "masking": View(
        "What fools the networks without their gradients", "Training",
        {
            (M.FOOLED, Condition.ADVERSARIAL): "Attack finds",
            (M.SHORTER,): "Transfer shorter",
            (M.FOOLED, Condition.NOISE): "Fooled by noise",
            (M.FLAWS,): "Flaws found",
        },
        row=("method",), column=("metric", "condition"), labels={(): "{method}"},
    ),
    "settings": View(
        "Settings by validation error", "Training: settings",
        _columns(M.ERROR, error="Validation error"), row=("method", "setting"),
        labels={(): "{method}: {setting}"},
    ),
    "claims": View(
        "The paper's sentences as differences of test errors", "Claim",
        _columns(M.ERROR_DIFFERENCE), row=("method", "reference"),
        labels={(): "{sentence}"}, more=_sentence,
    ),
}  # fmt: skip
"""By analysis; what has none has no table."""
