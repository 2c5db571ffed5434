"""The sections of a comparison: methods side by side, image by image, pass by pass."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields

import numpy as np

from intriguing.report import passes
from intriguing.report.contents import Contents
from intriguing.report.csv_text import csv_text
from intriguing.report.figure_style import Drawing
from intriguing.report.numbers import number
from intriguing.report.section import IMAGES, Listing, Part, Section
from intriguing.report.verdict import best_method
from intriguing.results.rows import CurvePoint, LossRow

CURVES, LOSSES = "rows/curves.parquet", "rows/losses.parquet"
SHOWN = 400
"""Losses of one method that the page shows."""


def _methods(contents: Contents) -> Section:
    return Section(
        "methods",
        "The methods",
        "All methods were given the same images and the same goals; passes and time are those of "
        "one image, on average. Shortest is the share of "
        "images on which no other method finds an answer that is shorter by more than 0.1 %. A "
        "median is over all images and counts what is not found as infinitely far; a mean is over "
        "the images that the method found, so compare means only where all found as many.",
        tuple(contents.tables_of("compare")),
    )


def _pairs(contents: Contents) -> Section:
    best = best_method(contents)
    return Section(
        "pairs",
        f"Image by image beside {best}" if best else "Image by image",
        "Differences are taken image by image, over the images that both methods found: images "
        "differ more among themselves than methods do, and that part falls out. Shorter and longer "
        "count by more than 0.1 %, and what only one of the two finds counts there, too.",
        (*contents.tables_of("paired"), *_profile(contents)),
    )


def _anytime(contents: Contents) -> Section:
    curves = _curves(contents)
    if not curves:
        return Section("passes", "", "", ())
    lengths = Drawing(
        "distortion-by-passes",
        "How far, after so many passes",
        "Left, the median of the shortest distance within so many passes, over all images: what is "
        "not found yet counts as infinitely far, so a line begins where half are found. Right, the "
        "median over the images of how much longer that is than the shortest that any method ends "
        "with. A line ends where the method did.",
        "Two charts against passes: median distance, and median excess over the shortest",
        (CURVES, IMAGES),
        lambda: passes.lengths_by_passes(curves),
    )
    shares = Drawing(
        "found-by-passes",
        "How many images, after so many passes",
        "Left, images for which the method has found any adversarial image; right, those where it "
        "is as short as the shortest that any method ends with, up to 0.1 %.",
        "Two charts against passes: share of images found, and share found as short as the best",
        (CURVES, IMAGES),
        lambda: passes.shares_by_passes(curves),
    )
    return Section(
        "passes",
        "What passes buy",
        "A pass is half a forward and a backward pass of one image: a gradient step costs one.",
        (lengths, shares, _numbers(contents.curves)),
    )


def _lost(contents: Contents) -> Section:
    return Section(
        "lost",
        "Images lost",
        "Every image on which another method finds an answer that is shorter by more than 0.1 %, "
        "the worst first.",
        tuple(_losses(contents)),
    )


PARTS: tuple[Part, ...] = (_methods, _pairs, _anytime, _lost)


def _profile(contents: Contents) -> Sequence[Drawing]:
    lengths = contents.lengths()
    if not any(np.isfinite(values).any() for values in lengths.values()):
        return ()
    drawing = Drawing(
        "excess-profile",
        "How far behind the shortest each method ends",
        "For each method, the share of all images on which its answer is at most so much longer "
        "than the shortest that any of the methods found. Higher is better; where a line stays "
        "below 100 % the method found nothing for the rest, or something much longer. The dashed "
        "line is the 0.1 % up to which lengths count as equal.",
        "Cumulative share of images against the excess over the shortest, one curve a method",
        (IMAGES,),
        lambda: passes.excess_profile(lengths),
    )
    return (drawing,)


def _curves(contents: Contents) -> dict[str, list[CurvePoint]]:
    """The points of each method up to where it ended."""
    curves: dict[str, list[CurvePoint]] = {}
    cost = contents.passes()
    for point in contents.curves:
        line = curves.setdefault(point.method, [])
        if not line or line[-1].passes < cost[point.method].max():
            line.append(point)
    return curves


def _numbers(points: Sequence[CurvePoint]) -> Listing:
    rows = tuple(
        (
            p.method, f"{p.passes:,}", number(100 * p.found / p.images, "%"),
            number(100 * p.within / p.images, "%"), number(p.median, "l2"), number(p.mean, "l2"),
            number(100 * p.excess, "% more"),
        )
        for p in points
    )  # fmt: skip
    return Listing(
        "curves",
        "The numbers of these charts",
        ("Method", "Passes", "Found", "Within 0.1 %", "Median L2", "Mean L2", "Median excess"),
        rows,
        csv_text([field.name for field in fields(CurvePoint)], map(astuple, points)),
        (CURVES,),
    )


def _losses(contents: Contents) -> Iterable[Listing]:
    """One listing a method, the best method's first and open."""
    best = best_method(contents)
    lengths = contents.lengths()
    for name in sorted(lengths, key=lambda name: name != best):
        total = len(lengths[name])
        losses = [loss for loss in contents.losses if loss.method == name]
        yield Listing(
            f"lost-by-{name}",
            f"{name} loses {len(losses):,} of {total:,} images",
            ("Image", "Class", "Taken for", "L2", "Shorter", "Its L2", "Longer by"),
            tuple(_loss(loss) for loss in losses[:SHOWN]),
            csv_text([field.name for field in fields(LossRow)], map(astuple, losses)),
            (LOSSES,),
            omitted=max(len(losses) - SHOWN, 0),
            opened=name == best and 0 < len(losses) <= 30,
        )


def _loss(loss: LossRow) -> tuple[str, ...]:
    lost = not math.isfinite(loss.l2)
    longer = math.inf if not loss.shorter_l2 else 100 * (loss.l2 / loss.shorter_l2 - 1)
    return (
        loss.image_id,
        str(loss.label),
        "–" if lost else str(loss.target),
        "not found" if lost else number(loss.l2, "l2"),
        loss.shorter,
        number(loss.shorter_l2, "l2"),
        "–" if lost else number(longer, "% more"),
    )
