"""What a reader of the reproduced tables has to know, in plain language."""

from collections.abc import Mapping, Sequence

from intriguing.paper.comparison import rank_agreement
from intriguing.paper.config import ReproduceConfig, Scale
from intriguing.results.rows import Measurement
from intriguing.scale.attack import Attacked
from intriguing.training.recipe import Recipe

_DECAY = {"sum": "λ Σ w²", "half": "λ/2 Σ w²", "units": "λ Σ w² / (units of the layer)"}


def notes(
    config: ReproduceConfig,
    scale: Scale,
    recipes: Sequence[Recipe],
    attacks: Mapping[str, Attacked],
    rows: Sequence[Measurement],
) -> tuple[str, ...]:
    """Remarks on the readings of the paper that were chosen, and on what fell short."""
    said = (
        [scale.remark]
        if scale.remark and set(config.items) - {"table5", "figure3", "figure4", "figure5"}
        else []
    )
    said += [
        f"Weight decay: the paper's λ Σ w² / k is read as {_DECAY[convention]}."
        for convention in dict.fromkeys(recipe.convention for recipe in recipes)
    ]
    if attacks or "figure7" in config.items:
        said.append(
            "Minimum distortion: every image is moved towards a random wrong class, drawn once for "
            f"each network; {_PENALTY[config.attack.penalty]}, with the largest c whose minimiser "
            "is still classified as that class."
        )
        said.append(_success(attacks))
    if {"table2", "table4"} & set(config.items):
        said.append(
            "Noise is not clipped to [0, 1], so that its distortion is the standard deviation that "
            "is stated."
        )
    if "table4" in config.items:
        said.append(
            "Amplified to 0.1 means x + 0.1 √n (x′ − x)/‖x′ − x‖₂, a distortion of exactly 0.1 "
            "(an image with x′ = x stays). The paper prints the formula without √n, which would be "
            "a distortion of 0.1/28, and says in its text that the standard deviation becomes 0.1. "
            "An image whose minimum distortion is above 0.1 is thereby moved less than it needs, "
            "which is why a network's error on its own amplified examples is below 100 %."
        )
    for table in ("table2", "table4"):
        if table in config.items:
            agreement = rank_agreement(rows, table)
            said.append(
                f"Table {table[-1]}: Spearman's rank correlation of our off-diagonal cells with "
                f"the paper's is {agreement:.2f}."
            )
    return tuple(remark for remark in said if remark)


_PENALTY = {
    "squared": "c‖r‖² + loss is minimised in the box",
    "norm": "c‖r‖ + loss is minimised in the box",
}


def _success(attacks: Mapping[str, Attacked]) -> str:
    if not attacks:
        return ""
    short = [
        f"{title} {int(a.success.sum()):,} of {len(a):,}"
        for title, a in attacks.items()
        if not bool(a.success.all())
    ]
    if not short:
        return "An adversarial example was found for every image and every network."
    return (
        "Adversarial examples were found for: " + "; ".join(short) + ". Averages and errors on "
        "distorted images are over the images for which one was found; for all other networks that "
        "is every image."
    )
