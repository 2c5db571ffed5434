"""AttackBench's own protocol with our attack and five others.

    python benchmarks/attack_bench.py [--networks fc conv resnet20] [--images 100]
        [--queries 100 400 2000] [--method closest]

`run_attack` of attackbenchlib counts the forward and the backward passes of each image and answers
an image no more after --queries of them, checks the box, notes batches that raised, and takes as
distance that of the shortest adversarial query. Its local optimality ranks the attacks by their
distance from the envelope of them all. Images are attacked untargeted, as the protocol has it.
Where to find networks and images: `networks.py`. A row an attack goes to
benchmarks/figures/attack_bench.csv in place of an earlier one.
"""

import argparse
import itertools
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.rows import WIDTH
from networks import SEED, SOURCES, Case, load_case
from tables import keep

# The peers import torchvision, visdom and wandb for what is not used here; a real one comes first.
sys.path.append(str(Path(__file__).parent / "stand_ins"))
import attackbench
from adv_lib.attacks import alma, carlini_wagner_l2, ddn, fmn, pdgd
from attackbench.metrics import compare_attacks_optimality

Attack: TypeAlias = Callable[..., Tensor]
OURS = "ours"
TABLE = Path(__file__).parent / "figures" / "attack_bench.csv"
RESERVE = 5
"""Passes kept for looks at the network before the search, which need nine queries of one image."""

# Each with as many steps as the queries pay for: a step is a forward and a backward pass.
PEERS: dict[str, Callable[[int], Attack]] = {
    "DDN": lambda steps: partial(ddn, steps=steps, levels=None),
    "PDGD": lambda steps: partial(pdgd, num_steps=steps),
    "ALMA": lambda steps: partial(alma, num_steps=steps),
    "FMN": lambda steps: partial(fmn, norm=2, steps=steps),
    "C&W": lambda steps: partial(
        carlini_wagner_l2, initial_const=1.0, binary_search_steps=5, max_iterations=steps // 5
    ),
}


@dataclass(frozen=True)
class Row:
    """What an attack did: one line of the table."""

    network: str
    images: int
    queries: int
    attack: str
    local_optimality: float
    success: float
    mean_l2: float
    asked: float
    forward: float
    backward: float
    most: int
    box_failures: int
    batch_failures: int


def rank(case: Case, batch: int, queries: int, method: str) -> list[Row]:
    """Run all attacks on a case; the best first."""

    def ours(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        # The budget is in passes of two queries. AttackBench counts a backward pass as one of the
        # images that went forward last, so a batch may not be more than one group of images.
        how = {"budget": queries // 2 - RESERVE} if method != "paper" else {}
        how["batch_size"] = WIDTH
        goal = "untargeted" if method != "paper" else "all"
        found = minimum_distortion(EachPointOnce(model), inputs, labels, goal, method, **how)
        success = found.success.view(-1, *[1] * (inputs.ndim - 1))
        return torch.where(success, found.adversarial, inputs)

    loader = DataLoader(TensorDataset(case.images, case.labels), batch_size=batch)
    results: dict[str, dict[str, Any]] = {}
    attacks = {OURS: ours, **{name: plain(make(queries // 2)) for name, make in PEERS.items()}}
    for name, attack in attacks.items():
        results[name] = attackbench.run_attack(
            case.model, loader, attack, "l2", torch.device("cpu"), queries, seed=SEED
        )
    ranked = compare_attacks_optimality(list(results.values()), "l2", list(results))["ranking"]
    network = case.name.partition("-untargeted")[0]
    return [row_of(network, name, queries, score, results[name]) for name, score in ranked]


class EachPointOnce(nn.Module):
    """A model that is asked about each different point of a batch once.

    Copies fill our batches up, so that kernels round alike whatever their number
    (`distortion/rows.py`). They are searched like their originals, and AttackBench would count each
    as a query of the same image.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        points, place = torch.unique(images.detach().flatten(1), dim=0, return_inverse=True)
        if len(points) == len(images):
            return self.model(images)
        first = torch.full((len(points),), len(images)).scatter_reduce_(
            0, place, torch.arange(len(images)), "amin"
        )
        asked = torch.ones(len(images), dtype=torch.bool)
        once = self.model(Firsts.apply(images, first, place, asked))
        return Repeated.apply(once, place, asked)


class Firsts(torch.autograd.Function):
    """The rows that others are copies of; its gradient is that of all copies that ask for one."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, first: Tensor, place: Tensor, asked: Tensor) -> Tensor:
        ctx.place, ctx.asked = place, asked
        return images[first]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        asked = ctx.asked.view(-1, *[1] * (gradient.ndim - 1))
        return torch.where(asked, gradient[ctx.place], 0), None, None, None


class Repeated(torch.autograd.Function):
    """Answers of these rows for all copies; those that ask for a gradient ask for the same one.

    What only fills a group up asks for none.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, place: Tensor, asked: Tensor) -> Tensor:
        ctx.place, ctx.asked, ctx.points = place, asked, len(logits)
        return logits[place]

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        asked = ctx.asked.copy_(slope.any(1))
        once = slope.new_zeros(ctx.points, slope.shape[1])
        once[ctx.place[asked]] = slope[asked]
        if not torch.equal(once[ctx.place[asked]], slope[asked]):
            raise AssertionError("copies of a point were asked for different gradients")
        return once, None, None


def plain(attack: Attack) -> Attack:
    """An attack without the keywords that AttackBench adds where the signature has room."""

    def run(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        return attack(model, inputs, labels)

    return run


def row_of(network: str, name: str, queries: int, score: float, result: dict[str, Any]) -> Row:
    """What AttackBench noted of an attack."""
    away = np.array(result["distances"]["l2"])
    forwards, backwards = (np.array(result[f"num_{kind}"]) for kind in ("forwards", "backwards"))
    met = np.isfinite(away)
    return Row(
        network, len(away), queries, name,
        local_optimality=round(float(score), 4),
        success=float(np.mean(result["adv_success"])),
        mean_l2=round(float(away[met].mean()), 4) if met.any() else float("inf"),
        asked=round(float((forwards + backwards).mean()), 1),
        forward=round(float(forwards.mean()), 1),
        backward=round(float(backwards.mean()), 1),
        most=int((forwards + backwards).max()),
        box_failures=int(sum(result["box_failures"])),
        batch_failures=int(sum(result["batch_failures"])),
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["fc", "conv"], choices=SOURCES)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument(
        "--queries", nargs="+", type=int, default=[attackbench.DEFAULT_QUERY_BUDGET]
    )
    parser.add_argument("--method", default="closest")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Out of query budget")
    good = True
    for network, queries in itertools.product(args.networks, args.queries):
        case = load_case(network, "untargeted", args.images)
        ranked = rank(case, args.batch, queries, args.method)
        for row in ranked:
            print(*(f"{key}={value}" for key, value in asdict(row).items()), flush=True)
        ours = next(row for row in ranked if row.attack == OURS)
        first = ranked[0] is ours and ours.local_optimality > ranked[1].local_optimality
        good &= first and ours.success == 1 and not ours.box_failures + ours.batch_failures
        for row in ranked:
            keep(TABLE, asdict(row), ["network", "queries", "attack"])
    print("ours first, without a failure" if good else "ours NOT first, or with failures")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
