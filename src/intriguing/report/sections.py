"""The sections of a report for each kind of run; a new analysis adds one function here."""

from collections.abc import Sequence

from intriguing.report import (
    audit,
    certificates,
    charts,
    claims,
    comparison,
    figure6,
    fool,
    gate,
    hardening,
    spectrum,
    table5,
    units,
)
from intriguing.report.charts import fooled_within
from intriguing.report.contents import Contents, TensorFile, panel
from intriguing.report.figure_style import Drawing
from intriguing.report.figures import as_pictures, figure7, filters, gallery
from intriguing.report.findings import RANKED, correlation
from intriguing.report.section import MEASURED, Part, Section
from intriguing.report.views import Table

_NET = "What a network misreads anyway is no transfer: the last table subtracts it, image by image."


def sections(contents: Contents) -> list[Section]:
    """The sections of this kind of run that have something to show."""
    if contents.run.kind == "claims":
        return claims.sections_of(contents)
    drawn = [part(contents) for part in PARTS[contents.run.kind]]
    return [section for section in drawn if section.blocks]


def _closeness(contents: Contents) -> Section:
    table = contents.table("table1")
    return Section(
        "distortion",
        "How little it takes",
        "Every image is moved, by as little as the search can find, until the network calls it a "
        "randomly chosen wrong class. Distortion is the root mean square change of a pixel.",
        (*contents.tables_of("table1"), *_bars(table), *_curves(contents)),
    )


def _figure7(contents: Contents) -> Section:
    files = contents.of_kind("panel")
    words = "Odd columns are original images, even columns their distorted counterparts."
    if not files:
        return Section("figure7", "", "", ())
    captions = [f.metadata["caption"] for f in files if "caption" in f.metadata]
    drawing = Drawing(
        "figure7",
        "Figure 7. Adversarial examples beside random distortion",
        " ".join([words, *captions]),
        "Grids of handwritten digits, originals in odd and distorted in even columns: "
        + ", ".join(panel(f).title for f in files),
        tuple(f"tensors/{f.name}.safetensors" for f in files),
        lambda: figure7([panel(f) for f in files]),
    )
    return Section("figure7", "What it looks like", "", (drawing,))


def _across_networks(contents: Contents) -> Section:
    return Section(
        "networks",
        "Across networks",
        "Examples made for the network of the row are shown to the network of the column. A cell "
        "is the share it misclassifies; the rows of noise say what random distortion does. " + _NET,
        (*_with_heatmap(contents, "table2"), *contents.tables_of("table2-net")),
    )


def _across_training_sets(contents: Contents) -> Section:
    return Section(
        "training-sets",
        "Across training sets",
        "Two networks learn from one half of the training images, P₁, and one from the other, P₂. "
        "Test images distorted for one are shown to all, as they are and amplified. " + _NET,
        (
            *contents.tables_of("table3"),
            *_with_heatmap(contents, "table4"),
            *contents.tables_of("table4-net"),
        ),
    )


def _agreement(contents: Contents) -> Section:
    tables = [t for t in contents.tables if t.has_paper and t.has_intervals]
    if not tables:
        return Section("agreement", "", "", ())
    ranks = [
        f"{correlation(cells):.2f} for {table.heading} ({len(cells)} cells)"
        for table in contents.tables_of("table2", "table4")
        if len(cells := [c for c in table.where(transferred=True) if c.paper is not None]) >= RANKED
    ]
    drawing = Drawing(
        "agreement",
        "Every error cell, ours against the paper's",
        "Lines are 95 % intervals; axes are linear below 2 % and logarithmic above."
        + (f" Spearman's ρ off the diagonal: {', '.join(ranks)}." if ranks else ""),
        "Scatter of our error cells against the paper's with the line of equality",
        (MEASURED,),
        lambda: charts.scatter(tables),
    )
    return Section("agreement", "Agreement with the paper", "", (drawing,))


def _filters(contents: Contents) -> Section:
    drawings = tuple(_filter_drawing(file) for file in contents.of_kind("filters"))
    return Section("filters", "First-layer filters", "", drawings)


def _filter_drawing(file: TensorFile) -> Drawing:
    weights = as_pictures(file.tensors["filters"])
    shown = min(len(weights), 1000)
    choice = f"The {shown} of {len(weights)} with the largest norm"
    return Drawing(
        file.name,
        file.metadata.get("title", "First-layer filters"),
        f"{'All' if shown == len(weights) else choice}; grey is zero, white positive.",
        f"Grid of {shown} first-layer filters",
        (f"tensors/{file.name}.safetensors",),
        lambda: filters(weights, shown),
    )


def _attack(contents: Contents) -> Section:
    return Section(
        "distortion",
        "How close the images are to being misread",
        "Each image is moved by as little as the search can find until the network calls it the "
        "target, or untargeted any wrong class. Distortion is the root mean square change of a "
        "pixel.",
        (*contents.tables_of("attack"), *_curves(contents)),
    )


def _gallery(contents: Contents) -> Section:
    drawings = tuple(_gallery_drawing(file) for file in contents.of_kind("gallery"))
    return Section("pictures", "What it looks like", "", drawings)


def _gallery_drawing(file: TensorFile) -> Drawing:
    return Drawing(
        file.name,
        file.metadata.get("title", "The first images"),
        f"{file.metadata.get('chosen', 'Not chosen: the first images attacked.')} Under each, its "
        "class, then what the network says of the adversarial image.",
        "Original images, differences magnified ten times, and adversarial images",
        (f"tensors/{file.name}.safetensors",),
        lambda: gallery(panel(file)),
    )


def _transfer(contents: Contents) -> Section:
    return Section(
        "transfer",
        "Do other networks fall for it?",
        "Examples made for the network of the row are shown to the network of the column. A cell "
        "is the share it misclassifies. What a network misreads anyway is no transfer: the second "
        "table subtracts it, image by image.",
        (*_with_heatmap(contents, "transfer"), *contents.tables_of("transfer-net")),
    )


def _training(contents: Contents) -> Section:
    histories = {
        f"{model.name}, seed {model.seed}": [h for h in model.training["history"] if h > 0]
        for model in contents.run.models
        if len(model.training.get("history") or ()) > 1
    }
    drawing = Drawing(
        "objective",
        "Training objective",
        "The mean cross entropy plus weight decay: after each chunk of full-batch L-BFGS "
        "iterations, or the mean over each epoch of minibatches.",
        "The training objective falling with the iterations",
        ("run.json",),
        lambda: charts.objectives(histories),
    )
    curves = (drawing,) if histories else ()
    return Section("training", "Training", "", (*contents.tables_of("train"), *curves))


PARTS: dict[str, tuple[Part, ...]] = {
    "reproduce": (
        _closeness, _figure7, _across_networks, _across_training_sets, _agreement, _filters,
        table5.section, audit.figure5, figure6.section, *units.PARTS, audit.others,
    ),
    "attack": (_attack, _gallery),
    "transfer": (_transfer, _attack, _gallery),
    "train": (_training, _filters),
    "compare": comparison.PARTS,
    "spectrum": spectrum.PARTS,
    "certify": (*certificates.PARTS, _gallery),
    "units": units.PARTS,
    "hardening": hardening.PARTS,
    "fool": fool.PARTS,
    "audit": audit.PARTS,
    "gate": (_gallery, *gate.PARTS),
}  # fmt: skip


def _with_heatmap(contents: Contents, name: str) -> tuple[Table | Drawing, ...]:
    table = contents.table(name)
    if table is None:
        return ()
    drawing = Drawing(
        f"{name}-heatmap",
        f"{table.heading} as a picture",
        "Error in percent; the darker, the more images are misclassified.",
        f"Heat map of {table.title}",
        (MEASURED,),
        lambda: charts.heatmaps(table),
    )
    return table, drawing


def _bars(table: Table | None) -> Sequence[Drawing]:
    cells = table.where(unit="distortion") if table else []
    if len(cells) < 2:
        return ()
    drawing = Drawing(
        "distortion-bars",
        "Average minimum distortion",
        "A line joins ours to the paper's.",
        "Average minimum distortion of each network, ours and the paper's",
        (MEASURED,),
        lambda: charts.distortion_bars(cells),
    )
    return (drawing,)


def _curves(contents: Contents) -> Sequence[Drawing]:
    return fooled_within(contents.attacked.distortions, "network")
