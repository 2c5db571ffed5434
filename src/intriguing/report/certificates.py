"""The sections of a certification: the sandwich, accuracies over ε, and every image."""

from collections.abc import Mapping, Sequence

import numpy as np

from intriguing.report import sandwich
from intriguing.report.assurance import grounds
from intriguing.report.certified import Certified, share_of_found
from intriguing.report.contents import Contents
from intriguing.report.csv_text import csv_text
from intriguing.report.figure_style import Drawing
from intriguing.report.numbers import number
from intriguing.report.section import CERTIFICATES, Listing, Part, Section

SHOWN = 200
"""Images that the page lists."""


def _sandwich(contents: Contents) -> Section:
    formula, guaranteed = grounds(contents)
    return Section(
        "sandwich",
        "Certified and found",
        "No adversarial example of an image is closer than its certified radius; one was found at "
        "the distance found. The closest there is lies between. Medians are over the images that "
        "are classified correctly; where nothing was found counts as infinitely far. "
        + (f"The certificates rest on: {formula}" if formula else "")
        + ("." if guaranteed or not formula else ", which is not proved."),
        (*contents.tables_of("certify"), *_drawing(contents)),
    )


def _accuracies(contents: Contents) -> Section:
    certified = _of(contents)
    if certified is None:
        return Section("accuracy", "", "", ())
    return Section(
        "accuracy",
        "How many images withstand how much",
        "A share is of all images, misclassified ones included.",
        (accuracies(certified), *contents.tables_of("robust")),
    )


def accuracies(certified: Certified, part: str = "", network: str = "") -> Drawing:
    """Accuracies over ε of the images of one network; arguments as in `layer_blocks`."""
    found = certified.found if certified.searched else None
    return Drawing(
        f"accuracies{part}",
        f"Accuracy over ε, {network}" if network else "Accuracy over ε",
        "Certified: no change of at most ε, whoever looks for it, makes the network misclassify "
        "the image. Withstands the attack: none was found. The accuracy against the best possible "
        "attack lies in the grey between; both begin at the accuracy on the images as they are.",
        "Two falling curves over ε: certified accuracy, and above it the accuracy under the attack",
        (CERTIFICATES,),
        lambda: sandwich.accuracies(certified.certified, found, certified.pixels),
    )


def _images(contents: Contents) -> Section:
    certified = _of(contents)
    if certified is None:
        return Section("images", "", "", ())
    return Section("images", "Image by image", "", (_listing(certified),))


PARTS: tuple[Part, ...] = (_sandwich, _accuracies, _images)


def _of(contents: Contents) -> Certified | None:
    """The images of the one network, where any was certified."""
    return next(iter(contents.certified.values()), None)


def _drawing(contents: Contents) -> Sequence[Drawing]:
    certified = _of(contents)
    if certified is None or not certified.correct:
        return ()
    radii, found = certified.pairs
    some = certified.correct > sandwich.SHOWN
    drawing = Drawing(
        "sandwich",
        "The sandwich",
        ("Every so many images, " if some else "Correctly classified images, ")
        + "from the least to the greatest certified radius. Green: no adversarial example lies "
        "there. A dot is the closest one found; the grey line to it is what is not known. A dot "
        "in the green would refute the certificate.",
        "A rising curve of certified radii, above it a dot for the distance found of each image",
        (CERTIFICATES,),
        lambda: sandwich.sandwich(radii, found, certified.pixels),
    )
    return (drawing,)


def _listing(certified: Certified) -> Listing:
    """The least known first: violations, then the least share of what was found certified."""
    columns, count = certified.least, certified.images
    share = share_of_found(columns["certified"], columns["found"])
    listed = len(share)
    every = f"All {count:,} images" if listed == count else f"{listed:,} of {count:,} images"
    return Listing(
        "certificates",
        f"{every}, the least known first",
        ("Image", "Class", "Says", "Margin", "Against", "Certified", "Found", "Certified/found"),
        tuple(_row(columns, row, float(share[row])) for row in range(min(SHOWN, listed))),
        csv_text(
            tuple(columns), zip(*(column.tolist() for column in columns.values()), strict=True)
        ),
        (CERTIFICATES,),
        omitted=max(listed - SHOWN, 0),
        opened=bool(certified.bad),
    )


def _row(columns: Mapping[str, np.ndarray], row: int, share: float) -> tuple[str, ...]:
    found = float(columns["found"][row])
    return (
        str(columns["image_id"][row]),
        str(columns["label"][row]),
        str(columns["predicted"][row]),
        number(float(columns["margin"][row]), "l2"),
        str(columns["against"][row]),
        number(float(columns["certified"][row]), "l2"),
        "–" if np.isnan(found) else number(found, "l2"),
        "–" if np.isnan(share) else number(share, "ratio"),
    )
