"""Certified radii beside CROWN's, alpha-CROWN's and SDP-CROWN's, image by image.

    python benchmarks/certified_peers.py --lirpa FOLDER --sdp-crown FOLDER [--images 0 20]
        [--networks sdp_mnist_mlp ...] [--methods ours "ours, 20 s" CROWN ...] [--radii 5]

A FOLDER has the package auto_LiRPA: of github.com/Verified-Intelligence/auto_LiRPA (Xu et al.
2020), and as released with SDP-CROWN (Chiu et al. 2025; a copy is the first commit of
github.com/henba1/SDP-CROWN_auto-verify). They import what `peers.txt` names.
Networks, lossless images and radii are those of SDP-CROWN's benchmark, of $INTRIGUING_DATA; images
are those that a network reads rightly. A peer is asked as in SDP-CROWN's script by how much the
label leads over every other class, an image at a time, bounds between optimised as well; SDP-CROWN
with its 300 steps and rates, alpha-CROWN with auto_LiRPA's own 20. It is asked at the benchmark's
radius, then where a line between the ends of what is left says: `certified` is the longest radius
proved, `refused` the shortest that was not, or where an example is: `minimum_distortion`'s,
untargeted, of 400 passes. Peers compute in float32 and allow for no rounding. Processor time of one
thread; ours has no proof at a given radius. A row an image goes to figures/certified_peers.csv in
place of an earlier one. A certificate of ours above an example ends the run; a peer's is printed.
"""

import argparse
import contextlib
import importlib
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from scipy.interpolate import barycentric_interpolate
from torch import Tensor, nn

from certified import subject
from intriguing import certify, minimum_distortion
from networks import data_file
from tables import keep

TABLE = Path(__file__).parent / "figures" / "certified_peers.csv"
NETWORKS = {
    "sdp_mnist_mlp": ("mlp100-100-10", 1.0),
    "sdp_mnist_convsmall": ("cnn_a", 0.3),
    "sdp_cifar_cnn_a": ("cnn_a", 24 / 255),
}
"""The architecture of each and the radius of its benchmark."""
NUMBERS = ("benchmark", "certified", "refused", "found", "proof_seconds", "seconds")
OURS = {"ours": None, "ours, 20 s": 20.0}
BETWEEN = {"fix_interm_bounds": False, "enable_opt_interm_bounds": True, "lr_alpha": 0.5}
SDP = {"iteration": 300, "early_stop_patience": 20, "enable_SDP_crown": True, "lr_lambda": 0.05}
PEERS: dict[str, tuple[dict[str, object], int]] = {
    "CROWN": ({}, 8),
    "alpha-CROWN": ({**BETWEEN, "iteration": 20}, 6),
    "SDP-CROWN": ({**BETWEEN, **SDP}, 5),
}
"""What is optimised and how, and at how many radii each is asked."""


@dataclass(frozen=True)
class Case:
    """Images that a network reads rightly, by which lead, their places, how near an example is."""

    network: str
    model: nn.Module
    images: Tensor
    labels: Tensor
    leads: list[float]
    places: list[int]
    found: list[float]

    def row(
        self, method: str, which: int, certified: float, refused: float, proof: float, whole: float
    ) -> dict[str, object]:
        """Of one image: its radius, and seconds of a proof at the benchmark's and of them all."""
        row = {"network": self.network, "method": method, "image": self.places[which]}
        numbers = (NETWORKS[self.network][1], certified, refused, self.found[which], proof, whole)
        return row | {name: f"{n:.5g}" for name, n in zip(NUMBERS, numbers, strict=True)}


def load(network: str, images: slice) -> Case:
    """Some of the images that a network of the benchmark reads rightly."""
    file = data_file("weights", "peers", f"{network}.safetensors")
    model, pixels, labels = subject(f"{NETWORKS[network][0]}:{file}")
    with torch.no_grad():
        right = (model(pixels).argmax(1) == labels).nonzero()[images, 0]
        first, second = model(pixels[right]).topk(2).values.T
    x, y, leads = pixels[right], labels[right], (first - second).tolist()
    found = minimum_distortion(model, x, y, "untargeted", budget=400).l2.double().tolist()
    return Case(network, model, x, y, leads, right.tolist(), found)


def ours(case: Case, method: str) -> Iterator[dict[str, object]]:
    """All images at once, each with the mean time, for a radius is looked for, not given."""
    began = time.process_time()
    certificates = certify(case.model, case.images, case.labels, seconds=OURS[method])
    took = (time.process_time() - began) / len(case.images)
    for which, radius in enumerate(certificates.radius.double().tolist()):
        if radius > case.found[which]:
            raise SystemExit(f"{case.network}: certified {radius}, found {case.found[which]}")
        yield case.row(method, which, radius, math.nan, took, took)


def peers(case: Case, method: str, given: argparse.Namespace) -> Iterator[dict[str, object]]:
    """An image at a time, by the auto_LiRPA of its folder, in place of one of another."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "auto_LiRPA"]:
        del sys.modules[name]
    sys.path.insert(0, str(given.sdp_crown if method == "SDP-CROWN" else given.lirpa))
    lirpa = importlib.import_module("auto_LiRPA")
    for which, found in enumerate(case.found):
        took: list[float] = []
        lead = leader(case, method, which, lirpa, took)
        asked = NETWORKS[case.network][1], given.radii or PEERS[method][1]
        low, high = longest(lead, *asked, case.leads[which], found)
        if low > found:
            print(f"{case.network}, {case.places[which]}: {method} {low}, found {found}")
        yield case.row(method, which, low, high, took[0], sum(took))


def leader(
    case: Case, method: str, which: int, lirpa: ModuleType, took: list[float]
) -> Callable[[float], float]:
    """By how much the label of an image leads at least within a radius, and what that took."""
    model, image, unit = behind_normalisation(case.model, case.images[which : which + 1])
    classes, label = torch.eye(model(image).shape[1]), case.labels[which]
    leads = classes[label] - classes[torch.arange(len(classes)) != label]

    def lead(radius: float) -> float:
        began = time.process_time()
        ball = lirpa.PerturbationLpNorm(norm=2.0, eps=radius * unit)
        bounded = lirpa.BoundedTensor(image, ball)
        with contextlib.redirect_stdout(None):  # they say when they stop
            network = lirpa.BoundedModule(model, bounded, device="cpu", verbose=0)
            network.set_bound_opts({"optimize_bound_args": PEERS[method][0]})
            how = "CROWN" if method == "CROWN" else "CROWN-Optimized"
            lower, _ = network.compute_bounds((bounded,), None, leads[None], how, bound_upper=False)
        took.append(time.process_time() - began)
        return float(lower.detach().min())

    return lead


def behind_normalisation(model: nn.Module, image: Tensor) -> tuple[nn.Module, Tensor, float]:
    """The network without it, the image as it reads it, and what a unit of length is there."""
    first, *rest = model.children()
    if not hasattr(first, "std"):
        return nn.Sequential(first, *rest).eval(), image, 1.0
    (deviation,) = first.std.unique().tolist()  # several would make the ball an ellipsoid
    return nn.Sequential(*rest).eval(), first(image), 1 / deviation


def longest(
    lead: Callable[[float], float], first: float, radii: int, whole: float, far: float
) -> tuple[float, float]:
    """The longest radius with a positive lead, and the shortest without, of so many.

    The next one is a hundredth beyond where a parabola through the last three leads meets 0.
    """
    low, high, radius, leads, tried = 0.0, far, first, [whole], [0.0]
    for _ in range(radii):
        leads, tried = [*leads, lead(radius)], [*tried, radius]
        if leads[-1] > 0:
            low, beyond = max(low, radius), 1.01
        else:
            high, beyond = min(high, radius), 0.99
        radius = beyond * float(barycentric_interpolate(leads[-3:], tried[-3:], 0.0))
        if not low < radius < high:
            radius = (low + high) / 2
    return low, high


def order(row: dict[str, str]) -> tuple[int, int, int]:
    """By network, method and image."""
    methods = [*OURS, *PEERS]
    return list(NETWORKS).index(row["network"]), methods.index(row["method"]), int(row["image"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--methods", nargs="+", default=[*OURS, *PEERS])
    parser.add_argument("--images", type=int, nargs=2, default=(0, 20))
    parser.add_argument("--radii", type=int, help="at so many each peer is asked")
    parser.add_argument("--lirpa", type=Path)
    parser.add_argument("--sdp-crown", type=Path)
    parser.add_argument("--out", type=Path, default=TABLE)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.platform()}, torch {torch.__version__}, one thread")
    for network in given.networks:
        case = load(network, slice(*given.images))
        for method in given.methods:
            rows = ours(case, method) if method in OURS else peers(case, method, given)
            for row in rows:
                keep(given.out, row, ["network", "method", "image"], order)
                print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
