"""How our distortions compare with the best that four other tools find together.

    python benchmarks/envelope.py [--images 200] [--budget 2000] [--cases fc-targeted ...]

FC100-100-10 and a convolutional network on MNIST, targeted and untargeted. The envelope is, image
by image, the shortest ‖r‖₂ that DDN, PDGD, ALMA and Carlini & Wagner's attack (adv-lib) end with.
Their answers are kept in results/benchmarks/, so an interrupted run goes on where it was. Every
answer, ours too, is judged alike: clamped to the box and classified by a plain forward pass. A pass
is half a forward and a backward one. A row a case and a method goes to
benchmarks/figures/envelope.csv in place of an earlier one.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from intriguing.distortion.incumbent import BUDGETS
from intriguing.distortion.minimum import minimum_distortion
from intriguing.files import write_whole
from intriguing.models.weights import model_sha256, read_tensors, write_tensors
from intriguing.report.figure_style import MARKERS, MUTED, SERIES, axes, png, style
from networks import CACHE, SEED, Case, load_cases
from tables import keep

# adv-lib imports torchvision and visdom for things that are not used here; a real one comes first.
sys.path.append(str(Path(__file__).parent / "stand_ins"))
from adv_lib.attacks import alma, carlini_wagner_l2, ddn, pdgd

CASES = ["fc-targeted", "fc-untargeted", "conv-targeted", "conv-untargeted"]
FIGURE = Path(__file__).parent / "figures" / "envelope.png"
TABLE = FIGURE.with_suffix(".csv")
WITHIN = 1.001

# Each at the most steps that its authors recommend; what is not said is adv-lib's default.
PEERS: dict[str, Callable[..., Tensor]] = {
    "DDN-1000": partial(ddn, steps=1000, levels=None),
    "PDGD-500": partial(pdgd, num_steps=500),
    "ALMA-1000": partial(alma, num_steps=1000),
    "C&W 9×1000": partial(carlini_wagner_l2, binary_search_steps=9, max_iterations=1000),
}


@dataclass(frozen=True)
class Answer:
    """‖r‖₂ of each image, ∞ for a failure; passes an image on average and at most; seconds."""

    l2: Tensor
    passes: float
    most: float
    seconds: float
    curve: Tensor | None = None

    def row(self, envelope: Tensor) -> dict[str, object]:
        found = self.l2.isfinite()
        return {
            "found": f"{float(found.double().mean()):g}",
            "mean_l2": f"{self.l2[found].mean():.4f}",
            "over_envelope": f"{self.l2[found].mean() / envelope[found].mean():.4f}",
            "within": f"{float((self.l2 <= envelope * WITHIN).double().mean()):g}",
            "passes": f"{self.passes:.0f}",
            "most": f"{self.most:.0f}",
        }


def peer(name: str, case: Case) -> Answer:
    """A peer's answer on a case; kept on disk for the next run."""
    slug = "".join(c for c in name if c.isascii() and c.isalnum()).lower()
    path = CACHE / f"{case.name}-{len(case.images)}-{slug}.safetensors"
    identity = f"{model_sha256(case.model)} {case.images.double().sum():.6f}"
    if path.exists():
        kept, notes = read_tensors(path)
        if notes["identity"] == identity:
            passes, seconds = float(notes["passes"]), float(notes["seconds"])
            return Answer(case.judge(kept["adversarial"]), passes, passes, seconds)
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    counter = case.model.register_forward_hook(count)
    goal = case.labels if case.targets is None else case.targets
    torch.manual_seed(SEED)
    start = time.perf_counter()
    adversarial = PEERS[name](case.model, case.images, goal, targeted=case.targeted).detach()
    seconds = time.perf_counter() - start
    counter.remove()
    notes = {"identity": identity, "passes": str(steps), "seconds": str(seconds)}
    write_tensors(path, {"adversarial": adversarial}, notes)
    return Answer(case.judge(adversarial), steps, steps, seconds)


def ours(case: Case, method: str, budget: int) -> Answer:
    """What `minimum_distortion` answers on a case."""
    start = time.perf_counter()
    found = minimum_distortion(
        case.model,
        case.images,
        case.labels,
        "untargeted" if case.targets is None else case.targets,
        method,
        budget=budget,
    )
    seconds = time.perf_counter() - start
    mean, most = float(found.passes.mean()), float(found.passes.max())
    return Answer(case.judge(found.adversarial), mean, most, seconds, found.curve)


def beaten_at(curve: Tensor, other: Tensor) -> int | str:
    """The first budget at which our mean is below a peer's, over the images that the peer found."""
    found = other.isfinite()
    below = curve[found].double().mean(0) <= other[found].mean()
    return BUDGETS[int(below.int().argmax())] if below.any() else ""


def compare(case: Case, method: str, budget: int) -> tuple[dict[str, Answer], Answer, Tensor]:
    """Run everybody on a case and keep the rows."""
    print(f"\n{case.name}: {len(case.images)} images, target seed {SEED}", flush=True)
    peers = {}
    for name in PEERS:
        peers[name] = peer(name, case)
        print(f"  {name} ended with mean {peers[name].l2.mean():.4f}", flush=True)
    envelope = torch.stack([answer.l2 for answer in peers.values()]).amin(0)
    answer = ours(case, method, budget)
    found = {name: row.row(envelope) for name, row in peers.items()}
    best = min(found, key=lambda name: float(str(found[name]["over_envelope"])))
    for name, row in {**found, method: answer.row(envelope)}.items():
        mine = name == method
        shorter = float((answer.l2 * WITHIN < envelope).double().mean())
        more = {
            "shorter": f"{shorter:g}" if mine else "",
            "below_best_from": beaten_at(answer.curve, peers[best].l2) if mine else "",
        }
        about = {"case": case.name, "method": name, "images": len(case.images)}
        print(" ", {**about, **row, **more})
        keep(TABLE, {**about, **row, **more}, ["case", "method"])
    for name, row in peers.items():
        print(f"  mean below that of {name:<11} from {beaten_at(answer.curve, row.l2)} passes")
    print(f"  ours: worst ratio to the envelope {(answer.l2 / envelope).max():.4f}")
    return peers, answer, envelope


def draw(results: dict[str, tuple[dict[str, Answer], Answer, Tensor]]) -> None:
    """Mean L2 above the envelope against passes: ours as a curve, the peers as points."""
    with style():
        figure, panels = axes(2.8 * len(results), 3.4, len(results), sharey=True, squeeze=False)
        for panel, name in zip(panels[0], results, strict=True):
            peers, answer, envelope = results[name]
            above = answer.curve.double().mean(0) / envelope.mean() - 1
            spent = sum(budget < answer.most for budget in BUDGETS) + 1
            panel.plot(BUDGETS[:spent], above[:spent], color=SERIES[0], label="ours, by then")
            for i, (peer_name, row) in enumerate(peers.items(), 1):
                found = row.l2.isfinite()
                ratio = row.l2[found].mean() / envelope[found].mean() - 1
                look = {"color": SERIES[i], "marker": MARKERS[i], "linestyle": "none"}
                panel.plot(row.most, ratio, **look, label=peer_name)
                if not found.all():
                    panel.annotate(f"{found.double().mean():.1%} found", (row.most, ratio),
                                   (6, 6), textcoords="offset points", fontsize=6.5)  # fmt: skip
            panel.axhline(0, color=MUTED, linewidth=0.8)
            panel.set(title=name, xscale="log", xlabel="passes an image", ylim=(-0.02, 0.1))
            panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        panels[0][0].set_ylabel("mean L2 above the envelope")
        handles, names = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), columnspacing=1)
        write_whole(FIGURE, png(figure))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--method", default="closest")
    parser.add_argument("--budget", type=int, default=2000)
    parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{platform.platform()}, {args.threads} threads, torch {torch.__version__}")
    cases = load_cases(args.cases, args.images)
    results = {case.name: compare(case, args.method, args.budget) for case in cases}
    if args.cases == CASES and args.method == "closest":
        draw(results)
        print(f"\n{FIGURE} drawn")


if __name__ == "__main__":
    main()
