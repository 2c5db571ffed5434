"""What several verbs need before they start: a device, networks, images, and names for files."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from intriguing.cli.options import Device, Reading
from intriguing.errors import InputError
from intriguing.models.load import load_model
from intriguing.models.weights import read_model
from intriguing.names import file_name

if TYPE_CHECKING:
    from intriguing.data.sources import LoadedImages


def choose_device(device: Device) -> torch.device:
    """The device that was asked for; "auto" is a GPU where there is one."""
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda, but torch sees no GPU; use --device cpu, or see `doctor`")
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return torch.device(name)


def load_network(spec: str, device: torch.device) -> nn.Module:
    """A network in evaluation mode; InputError says what to give instead."""
    family, _, file = spec.rpartition(":")
    if spec.endswith(".safetensors") and not (Path(spec).is_file() or Path(file).is_file()):
        how = f"give the path of the weights of {family}" if family else "give another path"
        raise InputError(f"there is no file {file}; {how}, or train one with `intriguing train`")
    try:
        return load_model(spec).to(device)
    except InputError as error:
        raise InputError(f"{spec}: {error}") from error


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


def choose_images(
    spec: str, network: nn.Module, data: str, reading: Reading, stream: bool | None = False
) -> "LoadedImages":
    """Images of a name, a folder, a zip or the hub, as the network takes them."""
    from intriguing.cli import bounding
    from intriguing.cli.progress import shown
    from intriguing.data.sources import load_images
    from intriguing.models.normalized import preprocessing_of

    size = reading.input
    like = preprocessing_of(network) if size is None else bounding.parse_shape(size)
    try:
        with shown() as progress:
            return load_images(
                data, like, part=reading.part, limit=reading.limit, progress=progress,
                limits=reading.limits, stream=stream,
            )  # fmt: skip
    except InputError as error:
        raise InputError(f"{spec}: {error}" if "--input" in str(error) else str(error)) from error
