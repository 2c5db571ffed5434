"""Our time and memory for a pass beside the bare forward and backward pass of the same network.

    python benchmarks/per_pass.py [--networks resnet20 squeezenet conv fc] [--batches 8 16]
        [--goals untargeted random] [--methods closest paper] [--budget 200] [--out FILE]

A pass is half a forward and a backward one, each of one image. The bare pass is the gradient of the
cross-entropy with respect to the pixels in the same batch, measured before and after ours in the
same run; processor time, since wall time of a machine that is shared says more about the others.
Per network, goal, batch and method one row for the whole and one for each stage of `closest`:

* ratio: time for each pass that the search counts, over the bare one;
* beside: the same over the passes that images really took, copies that fill a batch up included,
  forward and backward ones each at their own price: what our own algebra costs;
* vectors: most memory at once beyond the bare pass's own, in images an image.

Of `paper` there is one stage, the network: the calls of it with their loss and gradient, of which
`share` is what the whole takes. A row goes to benchmarks/figures/per_pass.csv (--out) in place of
an earlier one of the same search; the stages of the earlier one leave.
"""

import argparse
import csv
import io
import itertools
import platform
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import torch
from torch import Tensor, nn

from intriguing.distortion import batch, problem, start
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.result import Distortions
from intriguing.files import write_whole
from intriguing.models.observe import peak_bytes
from networks import SEED, SOURCES, load_case

TABLE = Path(__file__).parent / "figures" / "per_pass.csv"
ALLOWED, VECTORS = 1.15, 20
NETWORKS = ("resnet20", "squeezenet", "conv", "fc")
REPEATS, LEAST = 5, 0.3
"""Of the bare pass on either side of a search: so often, and for so many seconds."""
STAGES: dict[str, tuple[Any, str]] = {
    "first answer": (start, "approach"),
    "closing in": (start, "close_in"),
    "steps": (batch, "sequential"),
    "bundle": (batch, "polish"),
    "path": (batch, "lagrangian_path"),
    "network": (problem.TargetedLoss, "__call__"),
}
"""Where a stage is called from, and its name there."""
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """A stage's cost, or that of all together."""

    network: str
    goal: str
    batch: int
    method: str
    budget: int
    stage: str
    forward: float
    backward: float
    share: float
    ratio: float | None
    beside: float
    vectors: float | None


@dataclass
class Spent:
    """Seconds, and images that went forward and backward through the network."""

    seconds: float = 0.0
    forward: int = 0
    backward: int = 0

    def less(self, parts: Mapping[str, "Spent"]) -> "Spent":
        """What is left of it beside its parts."""
        left = astuple(self)
        for part in parts.values():
            left = tuple(a - b for a, b in zip(left, astuple(part), strict=True))
        return Spent(*left)


class Counted(nn.Module):
    """A network that counts the images that go through it, forward and backward."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.rows = network, Counter[str]()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        self.rows["forward"] += len(x)
        logits: Tensor = self.network(x)
        if logits.requires_grad:
            logits.register_hook(self._back)
        return logits

    def _back(self, slope: Tensor) -> None:
        self.rows["backward"] += len(slope)


class Clock:
    """Seconds of each stage by itself, without those that are called within it."""

    def __init__(self, network: Counted, device: torch.device) -> None:
        self.network, self.device = network, device
        self.stages: dict[str, Spent] = {}

    def now(self) -> float:
        """Seconds, when the device has done what it was given; of the processor on a CPU."""
        if self.device.type != "cuda":
            return time.process_time()
        torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def timed(self, stage: str, run: Callable[..., T]) -> Callable[..., T]:
        """The same, written down."""

        def inner(*args: Any, **kwargs: Any) -> T:
            spent = self.stages.setdefault(stage, Spent())
            rows, began = self.network.rows.copy(), self.now()
            try:
                return run(*args, **kwargs)
            finally:
                spent.seconds += self.now() - began
                spent.forward += self.network.rows["forward"] - rows["forward"]
                spent.backward += self.network.rows["backward"] - rows["backward"]

        return inner

    @contextmanager
    def watching(self) -> Iterator[None]:
        """All stages of `closest` are timed in here."""
        with ExitStack() as stack:
            for stage, (room, name) in STAGES.items():
                run = self.timed(stage, getattr(room, name))
                stack.enter_context(patch.object(room, name, run))
            yield


def once(model: nn.Module, images: Tensor, labels: Tensor, clock: Clock) -> tuple[float, float]:
    """Seconds of an image's forward and of its backward pass."""
    x = images.clone().requires_grad_()
    begun = clock.now()
    loss = nn.functional.cross_entropy(model(x), labels, reduction="sum")
    middle = clock.now()
    torch.autograd.grad(loss, x)
    return (middle - begun) / len(x), (clock.now() - middle) / len(x)


def bare(
    model: nn.Module, images: Tensor, labels: Tensor, clock: Clock
) -> list[tuple[float, float]]:
    """That of the bare pass, a few times; more often where it is short."""
    times, begun = [], clock.now()
    while len(times) < REPEATS or clock.now() - begun < LEAST:
        times.append(once(model, images, labels, clock))
    return times


def measure(
    network: str, goal: str, count: int, method: str, budget: int, device: torch.device
) -> Iterator[Row]:
    """Run a search once for its time and once for its memory."""
    case = load_case(network, goal, count)
    model, images, labels = case.model.to(device), case.images.to(device), case.labels.to(device)
    counted = Counted(model)
    clock = Clock(counted, device)
    targets = "untargeted" if case.targets is None else case.targets
    passes = None if method == "paper" else budget

    def search() -> Distortions:
        return minimum_distortion(counted, images, case.labels, targets, method, budget=passes)

    bare(model, images, labels, clock)
    minimum_distortion(model, images, case.labels, targets, method, budget=passes and 8)
    times = bare(model, images, labels, clock)
    with clock.watching():
        found = clock.timed("all", search)()
    times += bare(model, images, labels, clock)
    forward, backward = (statistics.median(column) for column in zip(*times, strict=True))
    alone = peak_bytes(lambda: once(model, images, labels, clock), device)
    vectors = (peak_bytes(search, device) - alone) / (images.numel() * images.element_size())
    whole = clock.stages.pop("all")
    for stage, spent in {"all": whole, **clock.stages, "other": whole.less(clock.stages)}.items():
        full = stage == "all"
        counted_passes = float(found.passes.sum()) * (forward + backward)
        own = spent.forward * forward + spent.backward * backward
        yield Row(
            network, goal, count, method, budget, stage,
            forward=round(spent.forward / count, 1),
            backward=round(spent.backward / count, 1),
            share=round(spent.seconds / whole.seconds, 4),
            ratio=round(spent.seconds / counted_passes, 3) if full else None,
            beside=round(spent.seconds / own, 3) if own else None,
            vectors=round(vectors, 1) if full else None,
        )  # fmt: skip


def write(table: Path, made: list[Row]) -> None:
    """Put the rows of a search into a table, in place of its earlier ones."""
    same = ("network", "goal", "batch", "method", "budget")
    about = [str(getattr(made[0], name)) for name in same]
    kept: list[dict[str, object]] = []
    if table.exists():
        with table.open(encoding="utf-8", newline="") as file:
            kept += [old for old in csv.DictReader(file) if [old[n] for n in same] != about]
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    kept += [asdict(row) for row in made]
    writer.writerows(sorted(kept, key=lambda row: [str(row[n]).zfill(6) for n in same]))
    write_whole(table, text.getvalue())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=SOURCES)
    parser.add_argument("--goals", nargs="+", default=["untargeted", "random"])
    parser.add_argument("--batches", nargs="+", type=int, default=[8, 16])
    parser.add_argument("--methods", nargs="+", default=["closest"])
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=TABLE)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.platform()
    print(f"{name}, {args.threads} threads, torch {torch.__version__}, seed {SEED}")
    rows: list[Row] = []
    for asked in itertools.product(args.networks, args.goals, args.batches, args.methods):
        made = list(measure(*asked, args.budget, device))
        for row in made:
            print(*(f"{key}={value}" for key, value in asdict(row).items()), flush=True)
        write(args.out, made)
        rows += made
    whole = [row for row in rows if row.ratio is not None and row.vectors is not None]
    worst = max(row.ratio or 0 for row in whole), max(row.vectors or 0 for row in whole)
    print(f"most: {worst[0]} times the bare pass (goal {ALLOWED}), {worst[1]} vectors ({VECTORS})")
    return 0 if worst[0] <= ALLOWED and worst[1] <= VECTORS else 1


if __name__ == "__main__":
    sys.exit(main())
