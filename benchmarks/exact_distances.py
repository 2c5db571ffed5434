"""How far each attack is from the truth: minimum distortions proved to a percent, a row an image.

    intriguing train mlp50-50-10 mnist
    python benchmarks/exact_distances.py mlp50-50-10=mlp50-50-10.safetensors [NAME=MODEL ...]
        [--images 200] [--seconds 60] [--goals untargeted random] [--chunk 50] [--keep 0]
    python benchmarks/exact_distances.py mlp50-50-10=mlp50-50-10.safetensors --again closest

Every image is searched by each method with its usual budget; what is shortest is where the proof
starts, and what the proof meets may be shorter still. Rows go to benchmarks/exact/rows/ (--out),
image by image, so an interrupted run goes on: what is there for the same weights is not computed
again; of other weights under the same name it replaces them. MODEL is what `intriguing attack`
takes. Images are the first of MNIST's test set that the network reads rightly, of `random` targets
those that seed 0 draws. Of the first --keep rows of each network and goal the weights, images and
shortest examples are kept as well, from which rows are checked again. With --again, methods that
have changed search the images of all rows anew; what is proved of them stays. With --open, rows
that are not proved to a percent are made anew, each in its place once it is. It ends with exit code
1 if a row contradicts itself or another. `docs/site/macros.py` writes the page of the rows.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from intriguing import ImageSet, load_data, load_model, minimum_distortion
from intriguing.distortion.problem import Goal
from intriguing.distortion.result import Distortions, Status
from intriguing.distortion.targets import choose_targets
from intriguing.measures import UNIT_BOX
from intriguing.models.weights import model_sha256, read_model, save_model
from intriguing.results.parquet import read_rows, write_rows
from intriguing.spectral.certificates.exact import GAP, Exact, prove

METHODS = ("closest", "paper", "ddn", "fmn", "alma", "pdgd", "cw", "superdeepfool")
ROUNDING = 1e-5
OUT = Path(__file__).parent / "exact"


@dataclass(frozen=True)
class Distance:
    """The minimum distortion of one image of MNIST's test set, and what methods find; all in L2.

    Attributes:
        weights: Digest of the network's.
        image_id: Of the image.
        target: The class that an example is to be taken for; −1 for any wrong one.
        lower: No example is nearer, proved.
        upper: The length of one.
        optimal: Whether these are within 1 %.
        nodes, seconds: What the proof took, on one core.
        closest, …: What each method finds with its usual budget; infinite where nothing.
    """

    FILE: ClassVar[str] = "distances"

    network: str
    weights: str
    image_id: str
    label: int
    target: int
    lower: float
    upper: float
    optimal: bool
    nodes: int
    seconds: float
    closest: float
    paper: float
    ddn: float
    fmn: float
    alma: float
    pdgd: float
    cw: float
    superdeepfool: float


def main() -> None:
    asked = _asked()
    torch.set_num_threads(1)
    test = load_data("mnist").test
    rows = read_rows(asked.out, Distance)
    for named in asked.networks:
        name, _, spec = named.partition("=")
        model = load_model(spec)
        digest = model_sha256(model)
        rows = [row for row in rows if row.network != name or row.weights == digest]
        if asked.again:
            rows = [
                _again(model, row, test, asked.again) if row.network == name else row
                for row in rows
            ]
            write_rows(asked.out, Distance, rows)
            continue
        with torch.no_grad():
            said = model(test.images[: 2 * asked.images]).argmax(1)
        right = (said == test.labels[: 2 * asked.images]).nonzero()[:, 0][: asked.images]
        drawn = choose_targets(test.labels, 10, torch.Generator().manual_seed(0))
        for goal in asked.goals:
            untargeted = goal == "untargeted"
            mine = [r for r in rows if r.network == name and (r.target < 0) == untargeted]
            there = {row.image_id for row in mine if row.optimal or not asked.open}
            waiting = [i for i in right.tolist() if test.ids[i] not in there]
            for first in range(0, len(waiting), asked.chunk):
                some = torch.tensor(waiting[first : first + asked.chunk])
                targets = None if untargeted else drawn[some]
                each = _distances(model, test.images[some], test.labels[some], targets, asked)
                for i, (one, example) in zip(some.tolist(), each, strict=True):
                    made = Distance(name, digest, test.ids[i], int(test.labels[i]), *one)
                    rows = [row for row in rows if _about(row) != _about(made)] + [made]
                    if len(mine) < asked.keep or _kept(asked.out, made):
                        _keep(asked.out, spec, made, test.images[i], example)
                    mine.append(made)
                    write_rows(asked.out, Distance, rows)
                print(f"{name} {goal}: {first + len(some)} of {len(waiting)}", flush=True)
    print(f"{len(rows)} rows, {sum(row.optimal for row in rows)} proved to {GAP:.0%}")
    if wrong := contradictions(rows):
        raise SystemExit("\n".join(wrong))


def _about(row: Distance) -> tuple[str, str, int]:
    return row.weights, row.image_id, row.target


def contradictions(rows: list[Distance]) -> list[str]:
    """What no two true rows can say; lengths of float32 count up to a hundred-thousandth."""
    said = []
    nearest = {(r.weights, r.image_id): r.lower for r in rows if r.target < 0}
    for row in rows:
        about = f"{row.network} {row.image_id} {row.target}"
        found = {method: getattr(row, method) for method in METHODS}
        said += [f"{about}: {m} below what is proved" for m in METHODS if found[m] < row.lower]
        shortest = row.upper * (1 - ROUNDING)
        said += [f"{about}: {m} below the shortest" for m in METHODS if found[m] < shortest]
        if row.lower > row.upper * (1 + ROUNDING):
            said.append(f"{about}: an example below what is proved")
        if row.optimal and row.lower < (1 - GAP) * row.upper * (1 - ROUNDING):
            said.append(f"{about}: not within a percent")
        if nearest.get((row.weights, row.image_id), 0.0) > row.upper * (1 + ROUNDING):
            said.append(f"{about}: nearer than an example of any class can be")
    return said


def _distances(
    model: torch.nn.Module, images: Tensor, labels: Tensor, targets: Tensor | None,
    asked: argparse.Namespace,
) -> Iterator[tuple[tuple, Tensor]]:  # fmt: skip
    """Everything of a row from its target on, and the shortest example."""
    aim = "untargeted" if targets is None else targets
    # The paper's search aims at one class: untargeted it is the nearest of all of them.
    aims = {m: "all" if targets is None and m == "paper" else aim for m in METHODS}
    each = {m: minimum_distortion(model, images, labels, aims[m], m) for m in METHODS}
    best = _shortest(list(each.values()))
    goal = Goal(labels, targeted=False) if targets is None else Goal(targets)
    network = Exact.of(model, images, UNIT_BOX)
    for i in range(len(images)):
        one = slice(i, i + 1)
        made = prove(
            network, images[one], goal[one], _rows(best, one), UNIT_BOX, seconds=asked.seconds
        )
        yield (
            -1 if targets is None else int(targets[i]), float(made.lower[0]),
            float(made.distortions.l2[0]), int(made.distortions.status[0]) == Status.OPTIMAL,
            int(made.nodes[0]), round(float(made.seconds[0]), 2),
            *(float(each[m].l2[i]) for m in METHODS),
        ), made.distortions.adversarial[0]  # fmt: skip


def _again(
    model: torch.nn.Module, row: Distance, test: ImageSet, methods: Sequence[str]
) -> Distance:
    """The row with what these methods find now."""
    one = test.subset(torch.tensor([test.ids.index(row.image_id)]))
    untargeted = row.target < 0
    aims = {m: "all" if untargeted and m == "paper" else "untargeted" for m in methods}
    found = {
        method: float(
            minimum_distortion(
                model, one.images, one.labels,
                aims[method] if untargeted else torch.tensor([row.target]), method,
            ).l2[0]
        )
        for method in methods
    }  # fmt: skip
    upper = min(row.upper, *found.values())
    return replace(row, **found, upper=upper, optimal=row.lower >= (1 - GAP) * upper)


def _rows(found: Distortions, rows: slice) -> Distortions:
    names = ("adversarial", "distortion", "l2", "success", "status", "targets", "gap")
    return replace(found, **{name: getattr(found, name)[rows] for name in names})


def _kept(out: Path, row: Distance) -> bool:
    """Whether an example of it is kept, which has to be the shortest."""
    file = out / f"{row.network}-examples.safetensors"
    return file.exists() and f"{row.image_id} {row.target} example" in load_file(file)


def _keep(out: Path, spec: str, row: Distance, image: Tensor, example: Tensor) -> None:
    """The network once, and of this row what it is recomputed from."""
    out.mkdir(parents=True, exist_ok=True)
    weights = out / f"{row.network}.safetensors"
    if not weights.exists():
        family, named, _ = spec.rpartition(":")
        save_model(weights, load_model(spec), family if named else read_model(Path(spec))[1])
    file = out / f"{row.network}-examples.safetensors"
    kept = load_file(file) if file.exists() else {}
    about = f"{row.image_id} {row.target}"
    kept |= {f"{about} image": (image * 255).round().byte(), f"{about} example": example}
    save_file(kept, file)
    file.chmod(0o644)


def _shortest(several: list[Distortions]) -> Distortions:
    """Of each image the shortest that any method found."""
    which = torch.stack([one.l2 for one in several]).argmin(0)
    names = ("adversarial", "distortion", "l2", "success", "status", "targets")
    chosen = {n: torch.stack([getattr(d, n)[i] for i, d in enumerate(_picked(several, which))])
              for n in names}  # fmt: skip
    rest = {f.name: getattr(several[0], f.name) for f in fields(Distortions)
            if f.name not in names}  # fmt: skip
    return Distortions(**chosen, **{**rest, "per_class": None})


def _picked(several: list[Distortions], which: Tensor) -> list[Distortions]:
    return [several[i] for i in which.tolist()]


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", help="NAME=MODEL; none to read what is there")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--goals", nargs="+", default=["untargeted", "random"])
    parser.add_argument("--chunk", type=int, default=50)
    parser.add_argument("--keep", type=int, default=0)
    parser.add_argument("--open", action="store_true")
    parser.add_argument("--again", nargs="*", choices=METHODS, default=[])
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
