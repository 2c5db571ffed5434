"""Adversarial images for people: a few in the report, or every one as a file."""

import json
from pathlib import Path

import torch
from torch import nn

from intriguing.data.png import shown_as, write_png
from intriguing.models.asking import Classifier
from intriguing.names import file_name
from intriguing.results.store import write_tensors
from intriguing.runs.attacking import Outcome

GALLERY = 8


@torch.no_grad()
def write_gallery(folder: Path, name: str, model: nn.Module, outcome: Outcome) -> None:
    """The first images for which one was found: original and adversarial, for the report."""
    rows = outcome.columns["success"].nonzero()[:GALLERY, 0]
    if not len(rows):
        return
    adversarial = outcome.columns["adversarial"][rows]
    says = Classifier.of(model).each(adversarial).argmax(1).tolist()
    names = outcome.images.class_names
    labels = outcome.images.labels[rows].tolist()
    words = [
        f"{names[label]} → {names[said] if said < len(names) else said}"
        for label, said in zip(labels, says, strict=True)
    ]
    tensors = {
        "original": shown_as(outcome.images.images[rows]).float().numpy(),
        "distorted": shown_as(adversarial).float().numpy(),
    }
    metadata = {"kind": "gallery", "title": f"{name}: the first images", "words": json.dumps(words)}
    write_tensors(folder, file_name("gallery", name), tensors, metadata)


def write_pngs(folder: Path, outcome: Outcome) -> None:
    """Every adversarial image as an 8-bit PNG under its id, to be read back without any change."""
    for row in outcome.columns["success"].nonzero()[:, 0].tolist():
        target = int(outcome.columns["targets"][row])
        path = folder / f"{file_name(outcome.images.ids[row])}-as-{target}.png"
        write_png(path, outcome.columns["adversarial"][row])
