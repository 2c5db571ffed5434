"""What every method finds at every budget: mean L2, share found, ratios to the best other.

    python benchmarks/budgets.py [--networks resnet20 fc ...] [--goals untargeted ...]
        [--methods closest ddn "adv-lib DDN" ...] [--budgets 10 20 40 ...] [--images 16]

Every method is run anew at every budget, with its schedule made for it. A pass is half a forward
and a backward one, of one image. What an answer is worth is judged alike for all: clamped to the
box and classified by a plain forward pass. Published networks and their images lie in
$INTRIGUING_DATA (`networks.py`); MNIST's networks are trained at the first call. Answers are kept
in results/benchmarks/budgets/, one file for a network, a goal and a method, so an interrupted run
goes on; ours are computed anew when the search has changed. A minute is enough for

    python benchmarks/budgets.py --networks fc --goals untargeted --budgets 10 40 100 --images 8

The table goes to benchmarks/figures/budgets.csv (--out), where its rows replace those of the same
network, goal and budget. `ratio_to_best` is the largest ratio of our mean to another method's, over
the images that both found; `ratio_to_envelope` that to the image by image shortest of all methods
that were run, at up to 1,000 passes or the budget, if that is more.
"""

import argparse
import csv
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from intriguing.distortion.methods import METHODS
from intriguing.distortion.minimum import minimum_distortion
from intriguing.files import write_whole
from intriguing.models.weights import model_sha256, read_tensors, write_tensors
from networks import CACHE, SEED, SOURCES, Case, load_case, source_digest
from peers import PEERS, run_peer

BUDGETS = (10, 20, 40, 100, 200, 400, 1000, 2000)
GOALS = ("untargeted", "random", "least-likely")
OURS = "closest"
TABLE = Path(__file__).parent / "figures" / "budgets.csv"
ENVELOPE = 1000
"""Passes up to which all answers count for the envelope that small budgets are held against."""
WITHIN = 1.001
HALF = 0.5
"""A method that finds fewer of the images than this is nobody's best other."""


@dataclass(frozen=True)
class Answer:
    """‖r‖₂ of each image (∞ for a failure), passes an image on average, and seconds."""

    l2: Tensor
    passes: float
    seconds: float


@dataclass(frozen=True)
class Row:
    """A line of the table; ratios are of `closest` alone, the share within 0.1 % too."""

    network: str
    goal: str
    budget: int
    method: str
    images: int
    found: float
    mean_l2: float
    passes: float
    seconds: float
    best_other: str
    ratio_to_best: float
    ratio_to_envelope: float
    within: float


def ours(case: Case, method: str, budget: int) -> Answer:
    """What `minimum_distortion` answers."""
    start = time.perf_counter()
    goal = "untargeted" if case.targets is None else case.targets
    found = minimum_distortion(case.model, case.images, case.labels, goal, method, budget=budget)
    seconds = time.perf_counter() - start
    return Answer(case.judge(found.adversarial), float(found.passes.mean()), seconds)


def peer(case: Case, method: str, budget: int) -> Answer:
    """What a peer answers."""
    start = time.perf_counter()
    adversarial, passes = run_peer(case, method, budget, SEED)
    return Answer(case.judge(adversarial), passes, time.perf_counter() - start)


def answers(case: Case, method: str, budgets: list[int]) -> Iterator[tuple[int, Answer]]:
    """Of one method at every budget; kept on disk for the next run."""
    by, version = (ours, source_digest()) if method in METHODS else (peer, "")
    slug = "".join(c for c in method if c.isascii() and c.isalnum()).lower()
    path = CACHE / "budgets" / f"{case.name}-{len(case.images)}-{slug}.safetensors"
    identity = f"{model_sha256(case.model)} {case.images.double().sum():.6f} {version}"
    kept: dict[str, Tensor] = {}
    if path.exists():
        tensors, notes = read_tensors(path)
        kept = tensors if notes["identity"] == identity else {}
    for budget in budgets:
        if str(budget) not in kept:
            answer = by(case, method, budget)
            spent = answer.l2.new_tensor([answer.passes, answer.seconds])
            kept[str(budget)] = torch.cat((spent, answer.l2))
            write_tensors(path, kept, {"identity": identity})
        passes, seconds, *_ = kept[str(budget)].tolist()
        yield budget, Answer(kept[str(budget)][2:], passes, seconds)


def table(case: Case, found: dict[str, dict[int, Answer]], goal: str) -> Iterator[Row]:
    """Rows of a network and a goal, in the order of budgets."""
    network = case.name.removesuffix(f"-{goal}")
    for budget in sorted({budget for by in found.values() for budget in by}):
        upto = max(budget, ENVELOPE)
        known = [a.l2 for by in found.values() for b, a in by.items() if b <= upto]
        envelope = torch.stack(known).amin(0)
        at = {method: by[budget] for method, by in found.items() if budget in by}
        for method, answer in at.items():
            best, ratio = "", torch.nan
            if method == OURS:
                others = {name: a for name, a in at.items() if name != OURS}
                best, ratio = best_other(answer, others)
            hit = answer.l2.isfinite()
            yield Row(
                network, goal, budget, method, len(answer.l2), float(hit.double().mean()),
                float(answer.l2[hit].mean()), answer.passes, answer.seconds, best, ratio,
                mean_ratio(answer.l2, envelope),
                float((answer.l2 <= WITHIN * envelope).double().mean()),
            )  # fmt: skip


def best_other(answer: Answer, others: dict[str, Answer]) -> tuple[str, float]:
    """The method that leaves us the largest ratio, over what both found."""
    ratios = {
        name: mean_ratio(answer.l2, other.l2)
        for name, other in others.items()
        if float(other.l2.isfinite().double().mean()) >= HALF
    }
    if not ratios:
        return "", torch.nan
    best = max(
        ratios, key=lambda name: -torch.inf if ratios[name] != ratios[name] else ratios[name]
    )
    return best, ratios[best]


def mean_ratio(ours: Tensor, other: Tensor) -> float:
    """Of means over the images that both found."""
    both = ours.isfinite() & other.isfinite()
    return float(ours[both].mean() / other[both].mean())


def say(rows: list[Row]) -> None:
    """One line for each method and budget."""
    for row in rows:
        more = ""
        if row.method == OURS:
            more = f"   / best other {row.ratio_to_best:.4f} ({row.best_other})"
        print(
            f"  {row.budget:>5}  {row.method:<18} found {row.found:6.1%}  mean {row.mean_l2:8.4f}"
            f"  / envelope {row.ratio_to_envelope:.4f}  within {row.within:6.1%}"
            f"  passes {row.passes:6.1f}  {row.seconds:6.1f} s{more}"
        )
    sys.stdout.flush()


def save(path: Path, rows: list[Row]) -> None:
    """Put rows into the table, in place of those of the same network, goal and budget."""
    new = {(row.network, row.goal, row.budget) for row in rows}
    kept = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            kept = [
                row for row in csv.DictReader(file)
                if (row["network"], row["goal"], int(row["budget"])) not in new
            ]  # fmt: skip
    lines = [[field.name for field in fields(Row)]]
    lines += [list(row.values()) for row in kept]
    for row in rows:
        lines.append([f"{v:.6g}" if isinstance(v, float) else str(v) for v in asdict(row).values()])
    write_whole(path, "".join(",".join(line) + "\n" for line in lines).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [*(m for m in METHODS if m != "paper"), *PEERS]
    parser.add_argument("--networks", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--goals", nargs="+", default=list(GOALS), choices=GOALS)
    parser.add_argument("--methods", nargs="+", default=[OURS, *PEERS], choices=known)
    parser.add_argument("--budgets", nargs="+", type=int, default=list(BUDGETS))
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=TABLE)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{platform.platform()}, {args.threads} threads, torch {torch.__version__}")
    for network in args.networks:
        for goal in args.goals:
            case = load_case(network, goal, args.images)
            print(f"\n{case.name}: {len(case.images)} images, seed {SEED}", flush=True)
            found = {
                method: dict(answers(case, method, args.budgets))
                for method in args.methods
                if method not in PEERS or PEERS[method].takes(case)
            }
            rows = list(table(case, found, goal))
            say(rows)
            save(args.out, rows)
    print(f"\n{args.out} written")


if __name__ == "__main__":
    main()
