"""What is left of a network's accuracy when images are changed by so much: attack beside noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from intriguing.report.figure_style import SERIES, axes, label, logarithmic, style
from intriguing.report.lengths import Lengths


@dataclass(frozen=True)
class Line:
    """One network: its attacked images' distortions, its clean accuracy, and noise.

    Attributes:
        distortions: Of images that are classified correctly.
        clean: Accuracy without any change.
        noise: Sizes of noise, and the share of those images that withstand it.
    """

    network: str
    distortions: Lengths
    clean: float
    noise: tuple[tuple[float, float], ...]


def accuracy(lines: Sequence[Line]) -> Figure:
    """Accuracy against distortion, on a logarithmic axis of distortion."""
    with style():
        figure, axis = axes(7.6, 4.0)
        for index, line in enumerate(lines):
            colour = SERIES[index % len(SERIES)]
            found, share = line.distortions.steps()
            if len(found):
                start = found[0] / 3
                axis.step(
                    [start, *found], 100 * line.clean * np.array([1.0, *(1 - share)]), where="post",
                    color=colour, label=f"{label(line.network)}, nearest example",
                )  # fmt: skip
            if line.noise:
                sizes, kept = np.array(line.noise).T
                axis.plot(
                    sizes, 100 * line.clean * kept, "o--", ms=4, lw=1.2, color=colour,
                    label=f"{label(line.network)}, noise of that size",
                )  # fmt: skip
        logarithmic(axis, "x")
        axis.set_ylim(0, 101)
        axis.set_xlabel("distortion  sqrt(Σ(x′ᵢ − xᵢ)² / n)")
        axis.set_ylabel("accuracy, %")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, handlelength=1.8)
    return figure


def descent(solves: Sequence[tuple[float, float, bool]], found: float) -> Figure:
    """The path of c: the length of each minimiser, filled where it was adversarial."""
    with style():
        figure, axis = axes(6.4, 3.2)
        c, length, adversarial = map(np.array, zip(*solves, strict=True))
        axis.plot(c, length, lw=0.8, color=SERIES[0], alpha=0.5)
        axis.plot(c[adversarial], length[adversarial], "o", color=SERIES[0], label="adversarial")
        axis.plot(
            c[~adversarial], length[~adversarial], "o", mfc="none", color=SERIES[0],
            label="not adversarial",
        )  # fmt: skip
        if np.isfinite(found):
            axis.axhline(found, ls=(0, (4, 3)), lw=0.9, color=SERIES[1], label="nearest found")
        logarithmic(axis, "x")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel("c")
        axis.set_ylabel("‖r‖₂")
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
