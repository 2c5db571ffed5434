"""Every command on the pages is run, page by page, in a folder that has what the page supposes.

    python docs/site/commands.py [PAGE ...]     # all pages when none is named

Data sets are a few of their images and networks are small; what is changed in a command, and what
is not run here and why, stands in `commands.toml`. A command that ends otherwise than its page says
ends the build.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tarfile
import tempfile
import time
import tomllib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from intriguing.cli.main import main as intriguing
from intriguing.data import named
from intriguing.data.cifar import CLASSES
from intriguing.data.dataset import ImageSet
from intriguing.models.family import build_network
from intriguing.models.load import load_model
from intriguing.models.weights import save_model

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)  # fmt: skip
RULES = tomllib.loads((Path(__file__).parent / "commands.toml").read_text(encoding="utf-8"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WORDS = ("intriguing ", "make ", "pip ", "python ", "torchrun ", "export ", "TORCH_")
"""How lines begin that are meant for a shell."""
ONCE = re.compile(r"^intriguing (reproduce|train) |--dry-run")
"""Commands that are run on the first page that has them: they leave nothing, or what `furnish` lays
there for every page."""
LONGEST = 150.0
"""Seconds of processor time that all pages may take; they take half of that."""
TRAIN, TEST = 100, 20
"""Images of a data set."""


@dataclass(frozen=True)
class Command:
    """A line that a page gives to a shell.

    Attributes:
        page: Where it stands, from the repository on.
        text: Without what follows a #.
        said: What follows it.
    """

    page: str
    text: str
    said: str

    @property
    def elsewhere(self) -> str:
        """Why it is not run here; empty if it is."""
        for rule in RULES["elsewhere"]:
            if re.search(rule["line"], self.text) and not _installed(rule.get("without")):
                return str(rule["why"])
        return ""

    @property
    def small(self) -> str:
        """As it is run here."""
        return self.changes()[0]

    def changes(self) -> tuple[str, list[str]]:
        """As it is run here, and the patterns that made it so."""
        text, used = self.text, []
        for rule in RULES["smaller"]:
            text, count = re.subn(rule["from"], rule["to"], text)
            used += [rule["from"]] * count
        return text, used

    @property
    def codes(self) -> set[int]:
        """Exit codes with which it ends as it should: of a gate every verdict, if none is said."""
        told = re.search(r"exit code (\d)", self.said)
        if told is not None:
            return {int(told[1])}
        return {0, 1, 3} if self.text.startswith("intriguing gate ") else {0}


def _installed(module: str | None) -> bool:
    return module is not None and find_spec(module) is not None


def commands(page: Path) -> list[Command]:
    """All of a page, in their order."""
    found = []
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language not in ("", "sh", "bash"):
            continue
        lines = block.replace("\\\n", " ").splitlines()
        # Where a prompt stands before commands, the other lines are what they print.
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        for line in prompted or [line for line in lines if line.startswith(WORDS)]:
            text, _, said = line.partition(" #")
            name = page.relative_to(ROOT).as_posix()
            found.append(Command(name, " ".join(text.split()), said.strip()))
    return found


def run_page(page: Path, once: dict[str, str]) -> Iterator[tuple[Command, str]]:
    """Run the commands of a page, each with what went wrong; empty where nothing did.

    Args:
        page: Whose commands.
        once: What went wrong in those that all pages share, of pages before; this one's are added.
    """
    asked = commands(page)
    if all(one.elsewhere for one in asked):
        yield from ((one, "") for one in asked)
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), few_images():
        furnish()
        for line in RULES["before"].get(page.relative_to(ROOT).as_posix(), []):
            _run(Command("", line, "").small, {0})
        own: dict[str, str] = {}  # what is the same at a small size is run once
        for one in asked:
            ended = once if ONCE.search(one.small) else own
            if not one.elsewhere and one.small not in ended:
                ended[one.small] = _run(one.small, one.codes)
            yield one, "" if one.elsewhere else ended[one.small]


def _run(line: str, codes: set[int]) -> str:
    """What is wrong with how a command ended."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code: object = intriguing(shlex.split(line)[1:])
        except SystemExit as ended:
            code = ended.code or 0
        except Exception as error:
            code = f"{type(error).__name__}: {error}"
    if code in codes:
        return ""
    return f"{line} ends with {code}: " + " ".join(said.getvalue().split())[-300:]


@contextlib.contextmanager
def few_images() -> Iterator[None]:
    """Data sets by their names, of a few images: the digits for MNIST, noise for CIFAR-10."""

    def few(load: Callable[[], tuple[ImageSet, ImageSet]]) -> named.Loader:
        @cache
        def pair() -> tuple[ImageSet, ImageSet]:
            train, test = load()
            return train.first(TRAIN), test.first(TEST)

        return lambda root, progress: pair()

    digits, sets = few(named.load_mnist_5k), named.DATA_SETS
    named.DATA_SETS = MappingProxyType({
        "mnist": digits, "mnist-5k": digits, "digits": sets["digits"], "cifar10": few(_colours)
    })  # fmt: skip
    try:
        yield
    finally:
        named.DATA_SETS = sets


def _colours() -> tuple[ImageSet, ImageSet]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(TRAIN, 3, 32, 32, generator=generator)
    labels = torch.arange(TRAIN) % 10
    ids = tuple(f"cifar10/{i}" for i in range(TRAIN))
    images = ImageSet("cifar10", pixels, labels, ids, CLASSES)
    return images, images.first(TEST)


def furnish() -> None:
    """Networks, pictures and files of weights by the names that pages give to readers' own."""
    train = named.load_data("mnist-5k").train
    reader = nearest_mean(train)
    for name in ("fc", "another", "fc10", "fc100-100-10"):
        save_model(Path(f"{name}.safetensors"), reader, "fc10")
    for seed, (name, kind) in enumerate(UNTRAINED.items()):
        torch.manual_seed(seed)
        save_model(Path(f"{name}.safetensors"), build_network(kind).eval(), kind)
    for name, file in FOREIGN.items():
        save_file(build_network(name).state_dict(), file)
    np.save("dictionary.npy", np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0])
    for name in ("net", "my_net", "my_network"):
        Path(f"{name}.py").write_text(NETWORK, encoding="utf-8")
    if _installed("onnx2torch"):
        network = load_model("net.py:build")
        images = torch.rand(1, 3, 8, 8)
        torch.onnx.export(network, (images,), "net.onnx", dynamo=False, opset_version=17)
    pictures()
    shard(train.first(12))


UNTRAINED = {
    "a": "mlp12-10", "b": "mlp12-10",
    **dict.fromkeys(("conv", "conv-seed1", "conv-seed2"), "conv4-4-12-10"),
}  # fmt: skip
FOREIGN = {
    "resnet20": "resnet20_cifar10.safetensors", "squeezenet": "squeezenet.safetensors",
}  # fmt: skip
NETWORK = '''
import torch
from torch import nn


class Brightness(nn.Module):
    """Tells ten levels of it apart."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.relu1, self.fc2 = nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10)
        level = (torch.arange(10) + 0.5) / 10
        self.fc1.weight.data = 0.01 * torch.randn(12, 64) + 1 / 64
        self.fc1.bias.data.zero_()
        self.fc2.weight.data = 100 * (2 * level[:, None] / 12).expand(10, 12).clone()
        self.fc2.bias.data = -100 * level.square()

    def forward(self, images):
        seen = nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 8)
        return self.fc2(self.relu1(self.fc1(seen.flatten(1))))


def build():
    return Brightness().eval()
'''


def nearest_mean(train: ImageSet) -> torch.nn.Module:
    """A softmax classifier that reads most digits."""
    model = build_network("fc10", train.images[0].numel()).eval()
    flat = train.images.flatten(1)
    means = torch.stack([flat[train.labels == label].mean(0) for label in range(10)])
    with torch.no_grad():
        layer = model.get_submodule("layers.0")
        layer.weight.copy_(3 * means)
        layer.bias.copy_(-1.5 * means.square().sum(1))
    return model


def pictures() -> None:
    """Folders and zips of pictures of three levels of brightness, a folder each."""
    generator = torch.Generator().manual_seed(1)
    birds = ("goose", "ostrich", "swan", "gull", "heron", "stork")
    for folder, names in {"photos": birds, "photographs": (*birds, *"abcdef")}.items():
        for number, called in enumerate(names):
            place = Path(folder, f"level{number % 3}", f"{called}.png")
            place.parent.mkdir(parents=True, exist_ok=True)
            level = 25 * (number % 3) + 13
            pixels = torch.randint(level - 9, level + 9, (32, 32, 3), generator=generator)
            Image.fromarray(pixels.byte().numpy()).save(place)
        shutil.make_archive(folder, "zip", folder)


def shard(images: ImageSet) -> None:
    """A tar of pictures beside their classes."""
    Path("shards").mkdir()
    with tarfile.open("shards/0000.tar", "w") as tar:
        for number, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
            picture = io.BytesIO()
            Image.fromarray((255 * image[0]).byte().numpy()).save(picture, "png")
            for name, content in (("png", picture.getvalue()), ("cls", b"%d" % int(label))):
                entry = tarfile.TarInfo(f"{number:04}.{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


def main(names: list[str]) -> list[str]:
    """Run all pages, or those named; returns what is wrong, one line a command."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    begin, wrong, apart, ran = time.process_time(), [], Counter[str](), 0
    once: dict[str, str] = {}
    for page in PAGES:
        if names and page.name not in names:
            continue
        for one, fault in run_page(page, once):
            now = time.process_time()
            ran += not one.elsewhere
            if one.elsewhere:
                apart[one.elsewhere] += 1
            if fault:
                wrong.append(f"{one.page}: {fault}")
            if names:
                print(
                    f"{now - begin:6.1f} s  {one.small if not one.elsewhere else f'({one.text})'}"
                )
    spent = time.process_time() - begin
    print(f"{ran} commands of pages run in {spent:.0f} s of one core; {apart.total()} elsewhere:")
    print(*(f"  {count} {why}" for why, count in apart.most_common()), sep="\n")
    if spent > LONGEST:
        wrong.append(f"the commands of pages take {spent:.0f} s, more than {LONGEST:.0f}")
    return wrong


if __name__ == "__main__":
    faults = main(sys.argv[1:])
    print(*faults, sep="\n")
    sys.exit(bool(faults))
