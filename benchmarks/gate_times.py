"""What real gates take on two cores: the command from its start to its exit code.

    INTRIGUING_DATA=FOLDER python benchmarks/gate_times.py [--gates fc-pass squeezenet-fail]

Each row of benchmarks/figures/gate_times.csv (--out) is a gate by two processes: what was asked,
the verdict and after how many images, seconds by the clock, CPU seconds of all processes together,
and what these are on cores that nobody else uses: half of them, or the busiest process's if those
are more. Rows of other gates stay as they are. FC100-100-10, after some epochs of 5,000 images, is
asked about MNIST's test images, ResNet-20 about 200 of CIFAR-10's, SqueezeNet about photographs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from engines.measuring import network, spent
from intriguing.models.weights import save_model
from networks import data_file
from tables import keep

TABLE = Path(__file__).parent / "figures" / "gate_times.csv"
COLUMNS = (
    "gate", "network", "at_least", "verdict", "images", "wall_seconds", "cpu_seconds",
    "on_free_cores", "load",
)  # fmt: skip
WORKERS = 2
VERDICTS = {0: "pass", 1: "fail", 3: "undecided"}


def digits(room: Path) -> tuple[str, str]:
    """A model and data, as the command takes them."""
    file = room / "fc100-100-10.safetensors"
    save_model(file, network(), "fc100-100-10")
    return str(file), "mnist"


def colours(room: Path) -> tuple[str, str]:
    """The same."""
    kept = np.load(data_file("lossless", "cifar10_200.npz"))
    names = [f"{number:03}.png" for number in range(len(kept["labels"]))]
    for name, image in zip(names, kept["images"], strict=True):
        Image.fromarray(image).save(room / name)
    rows = "".join(f"{n},{label}\n" for n, label in zip(names, kept["labels"], strict=True))
    (room / "labels.csv").write_text(f"image,label\n{rows}", encoding="utf-8")
    weights = data_file("weights", "peers", "resnet20_cifar10.safetensors")
    return f"resnet20:{weights}", f"folder:{room}"


def photographs(room: Path) -> tuple[str, str]:
    """The same."""
    weights = data_file("weights", "squeezenet_v1.0.safetensors")
    return f"squeezenet:{weights}", str(data_file("imagenet_samples_1000_short256_jpg.zip"))


GATES: dict[str, tuple[str, Callable[[Path], tuple[str, str]], str]] = {
    "fc-pass": ("FC100-100-10", digits, "0.02"), "fc-fail": ("FC100-100-10", digits, "0.08"),
    "resnet20-pass": ("ResNet-20", colours, "0.001"),
    "resnet20-fail": ("ResNet-20", colours, "0.003"),
    "squeezenet-pass": ("SqueezeNet", photographs, "0.00001"),
    "squeezenet-fail": ("SqueezeNet", photographs, "0.0003"),
}  # fmt: skip


def measured(name: str) -> dict[str, object]:
    """A row."""
    called, made, least = GATES[name]
    with tempfile.TemporaryDirectory() as folder:
        (room := Path(folder, "given")).mkdir()
        model, data = made(room)
        command = (
            sys.executable, "-m", "intriguing", "gate", model, data, "--at-least", least,
            "--engine", "processes", "--workers", str(WORKERS), "--out", f"{folder}/gate",
        )  # fmt: skip
        start, each = time.perf_counter(), dict[int, float]()
        one = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while one.poll() is None:  # what has ended is counted no more
            each |= spent()
            time.sleep(0.1)
        wall = time.perf_counter() - start
        each.pop(os.getpid(), None)
        evidence = json.loads(Path(folder, "gate/report/evidence.json").read_text(encoding="utf-8"))
    return dict(zip(COLUMNS, (
        name, called, least, VERDICTS[one.returncode], evidence["test"]["images"],
        round(wall, 1), round(sum(each.values()), 1),
        round(max(*each.values(), sum(each.values()) / WORKERS), 1),
        round(os.getloadavg()[0], 1),
    ), strict=True))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gates", nargs="+", default=list(GATES), choices=list(GATES))
    parser.add_argument("--out", type=Path, default=TABLE)
    asked = parser.parse_args()
    places = list(GATES)
    for name in asked.gates:
        row = measured(name)
        print(row, flush=True)
        keep(asked.out, row, ["gate"], lambda one: places.index(one["gate"]))


if __name__ == "__main__":
    main()
