"""What several verbs need before they start: a device, networks, images, and names for files."""

import os
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.data.limits import LIMITS, Limits
from intriguing.errors import InputError
from intriguing.models.classifier import check_classifier
from intriguing.models.load import load_model
from intriguing.models.weights import read_model
from intriguing.names import file_name
from intriguing.runs.network_names import names_of

__all__ = [
    "Device",
    "Part",
    "check_output_file",
    "choose_any_images",
    "choose_device",
    "choose_images",
    "default_folder",
    "load_network",
    "names_of",
    "open_model",
]

Device: TypeAlias = Literal["auto", "cpu", "cuda"]
Part: TypeAlias = Literal["test", "train"]


def choose_device(device: Device) -> torch.device:
    """The device that was asked for; "auto" is a GPU where there is one."""
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda, but torch sees no GPU; use --device cpu, or see `doctor`")
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return torch.device(name)


def choose_images(name: str, part: Part, limit: int | None) -> ImageSet:
    """The first `limit` images of one part of a named data set."""
    from intriguing.cli.progress import shown
    from intriguing.data.named import load_data

    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} leaves no images; give 1 or more")
    with shown() as progress:
        pair = load_data(name, progress=progress)
    images = pair.test if part == "test" else pair.train
    return images if limit is None else images.first(limit)


def load_network(spec: str, device: torch.device) -> nn.Module:
    """A network in evaluation mode; InputError says what to give instead."""
    file = spec.rpartition(":")[2]
    if spec.endswith(".safetensors") and not (Path(spec).is_file() or Path(file).is_file()):
        raise InputError(f"there is no file {spec}; make one with `intriguing train`")
    try:
        return load_model(spec).to(device)
    except InputError as error:
        raise InputError(f"{spec}: {error}") from error


def open_model(spec: str, images: ImageSet, device: torch.device) -> nn.Module:
    """A network ready to be asked about these images; InputError names what does not fit."""
    model = load_network(spec, device)
    try:
        check_classifier(model, images.images[:16], images.labels)
    except InputError as error:
        raise InputError(f"{spec}: {error}") from error
    return model


def default_folder(verb: str, *names: str) -> Path:
    """The results folder of a verb where none is given: its names as far as files may have them."""
    return Path("results") / "-".join((verb, *map(file_name, names)))


def check_output_file(path: Path, ending: str) -> None:
    """Refuse a file that could not be written in the end, before the work."""
    if path.suffix != ending:
        raise InputError(f"--out {path} must end in {ending}")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"cannot write {path}; choose another --out")
    if path.exists():
        try:
            read_model(path)
        except InputError as error:
            raise InputError(
                f"{path} is there and was not written by `intriguing train`, so it is not "
                "replaced; choose another --out, or move it"
            ) from error


def choose_any_images(
    spec: str,
    network: nn.Module,
    data: str,
    part: Part,
    limit: int | None,
    size: str | None,
    limits: Limits = LIMITS,
) -> tuple[ImageSet, bool, tuple[str, ...]]:
    """Images of a name, a folder, a zip or the hub, as the network takes them.

    Returns:
        The images, whether they have true classes, and remarks on files that were left out.
    """
    from intriguing.cli import bounding
    from intriguing.cli.progress import shown
    from intriguing.data.sources import load_images
    from intriguing.models.classifier import preprocessing_of

    like = preprocessing_of(network) if size is None else bounding.parse_shape(size)
    try:
        with shown() as progress:
            loaded = load_images(
                data, like, part=part, limit=limit, progress=progress, limits=limits
            )
    except InputError as error:
        raise InputError(f"{spec}: {error}" if "--input" in str(error) else str(error)) from error
    return loaded.images, loaded.labelled, loaded.remarks
