"""Our Lipschitz bound of feed-forward nets against LipSDP solved by an open semidefinite solver.

    python benchmarks/semidefinite.py [--seeds 10] [--solver CLARABEL] [--only small|large]

*Small* nets are trained on the digits for a few seconds a seed, with two and three hidden layers of
ReLU. For each: a lower bound (the largest Jacobian at images and at random points), our bound, that
of LipSDP-Neuron (Fazlyab et al. 2019, one multiplier a neuron) by cvxpy, and the product of norms,
with the time of both. The peer is given the first layer's triangular factor in place of the layer,
which leaves its optimum and makes its matrix smaller. *Large* nets are beyond the solver here:
ours, the product and the lower bound, for the whole map and for all pairs of classes. Times are
processor times of one thread. Rows go to semidefinite_small.csv and semidefinite_large.csv of
benchmarks/figures in place of earlier ones.
"""

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from intriguing.data.named import load_data
from intriguing.spectral.semidefinite.chain import (
    Convolution,
    Dense,
    Flatten,
    Layer,
    Pool,
    SemidefiniteConfig,
    Slope,
    chain_bound,
    chain_product,
)
from tables import keep

SMALL = {"two hidden": (64, 24, 24, 10), "three hidden": (64, 20, 20, 20, 10)}
GAP = 0.02
FIGURES = Path(__file__).parent / "figures"


def fully_connected(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for into, out in itertools.pairwise(sizes):
        layers += [nn.Linear(into, out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def large(name: str) -> tuple[str, nn.Sequential]:
    """The data and the untrained network."""
    if name == "conv 8-16, stride 2, digits":
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()]
        return "digits", nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))
    if name == "conv 16-32, stride 2":
        layers = [nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU()]
        head = [nn.Flatten(), nn.Linear(32 * 49, 100), nn.ReLU(), nn.Linear(100, 10)]
        return "mnist-5k", nn.Sequential(*layers, *head)
    if name == "conv 8-16, max pools":
        layers = [nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
        return "mnist-5k", nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 49, 10))
    sizes = [int(size) for size in name.split("-")]
    return "digits" if sizes[0] == 64 else "mnist-5k", fully_connected(*sizes)


LARGE = (
    "64-64-64-10",
    "64-64-64-64-10",
    "784-100-100-10",
    "conv 8-16, stride 2, digits",
    "conv 16-32, stride 2",
    "conv 8-16, max pools",
    "784-800-800-10",
)


def trained(data: str, model: nn.Sequential, seed: int, steps: int) -> tuple[nn.Sequential, Tensor]:
    """Adam with a little weight decay for a few seconds, and images to take Jacobians at."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            bound = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.0
            parameter.copy_((2 * torch.rand(parameter.shape, generator=draw) - 1) * bound)
    train = load_data(data).train
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
    for _ in range(steps):
        chosen = torch.randint(len(train), (64,), generator=draw)
        loss = functional.cross_entropy(model(train.images[chosen]), train.labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    noise = torch.rand(200, *train.images.shape[1:], generator=draw)
    return model.double().eval(), torch.cat([train.images[:300], noise]).double()


def reached(model: nn.Sequential, images: Tensor) -> float:
    """The largest norm of a Jacobian: a lower bound."""
    jacobian = torch.func.vmap(
        torch.func.jacrev(lambda image: model(image[None])[0]), chunk_size=50
    )
    flat = jacobian(images).flatten(2).detach()
    return float(torch.linalg.matrix_norm(flat, 2).max())


def layers_of(model: nn.Sequential, size: tuple[int, ...]) -> list[Layer]:
    chain: list[Layer] = []
    for layer in model:
        if isinstance(layer, nn.Linear):
            chain.append(Dense(layer.weight.detach()))
        elif isinstance(layer, nn.ReLU):
            chain.append(Slope(0.0, 1.0))
        elif isinstance(layer, nn.MaxPool2d):
            size = tuple(n // 2 for n in size)
            chain.append(Pool(1.0, size))
        elif isinstance(layer, nn.Conv2d):
            pads = tuple((pad, pad) for pad in layer.padding)
            weight, stride = layer.weight.detach(), layer.stride
            chain.append(Convolution(weight, stride, pads, layer.dilation, 1, size))
            size = chain[-1].output_size
        elif chain:
            chain.append(Flatten())
    return chain


def lipsdp(weights: Sequence[np.ndarray], solver: str) -> float:
    """LipSDP-Neuron for the whole map, slopes in [0, 1]."""
    import cvxpy

    first = np.linalg.qr(weights[0].T, mode="r").T
    hidden, last = [first, *weights[1:-1]], weights[-1]
    widths = [first.shape[1], *(len(weight) for weight in hidden)]
    ends = np.cumsum(widths)
    units, total = int(sum(widths[1:])), int(ends[-1])
    before, after = np.zeros((units, total)), np.eye(total)[widths[0] :]
    for layer, weight in enumerate(hidden):
        rows = slice(int(ends[layer]) - widths[0], int(ends[layer + 1]) - widths[0])
        before[rows, int(ends[layer]) - widths[layer] : int(ends[layer])] = weight
    multipliers, square = cvxpy.Variable(units, nonneg=True), cvxpy.Variable()
    spread = cvxpy.diag(multipliers)
    cross = after.T @ spread @ before
    output = np.zeros((len(last), total))
    output[:, -widths[-1] :] = last
    ball = np.diag(np.repeat([1.0, 0.0], [widths[0], units]))
    form = square * ball + 2 * after.T @ spread @ after - cross - cross.T - output.T @ output
    cvxpy.Problem(cvxpy.Minimize(square), [(form + form.T) / 2 >> 0]).solve(solver=solver)
    return float(square.value) ** 0.5


def compare_small(seeds: int, solver: str) -> bool:
    fine = True
    for name, sizes in SMALL.items():
        rows = []
        for seed in range(seeds):
            model, images = trained("digits", fully_connected(*sizes), seed, 1500)
            chain = layers_of(model, (8, 8))
            started = time.process_time()
            bound = chain_bound(chain)
            ours = time.process_time() - started
            matrices = [layer.weight.numpy() for layer in chain if isinstance(layer, Dense)]
            started = time.process_time()
            peer = lipsdp(matrices, solver)
            theirs = time.process_time() - started
            low = reached(model, images)
            rows.append((low, bound.upper, peer, bound.product, ours, theirs))
            gap = bound.upper / peer - 1
            fine &= low <= bound.upper <= bound.product and gap <= GAP
            print(
                f"  {name} {seed}: ≥ {low:.3f}  ours {bound.upper:.4f}  LipSDP {peer:.4f} "
                f"({gap:+.3%})  product {bound.product:.3f}  {ours:.2f} s, {theirs:.1f} s",
                flush=True,
            )
        low, upper, peer, product, ours, theirs = np.array(rows).T
        row = {
            "network": "-".join(map(str, sizes)), "seeds": seeds, "lower": f"{low.mean():.3f}",
            "ours": f"{upper.mean():.3f}", "lipsdp": f"{peer.mean():.3f}",
            "worst_gap": f"{float((upper / peer - 1).max()):.2g}",
            "product": f"{product.mean():.2f}", "seconds": f"{ours.mean():.2f}",
            "lipsdp_seconds": f"{theirs.mean():.1f}",
        }  # fmt: skip
        print(row, flush=True)
        keep(FIGURES / "semidefinite_small.csv", row, ["network"])
    return fine


def compare_large(names: Sequence[str], config: SemidefiniteConfig) -> bool:
    fine = True
    for name in names:
        data, untrained = large(name)
        model, images = trained(data, untrained, 0, 600)
        chain = layers_of(model, tuple(images.shape[2:]))
        unit = torch.eye(10, dtype=torch.float64)
        pairs = torch.stack([unit[i] - unit[j] for i, j in itertools.combinations(range(10), 2)])
        started = time.process_time()
        whole = chain_bound(chain, config=config)
        alone = time.process_time() - started
        started = time.process_time()
        each = chain_bound(chain, pairs, config=config)
        together = time.process_time() - started
        low, product = reached(model, images), chain_product(chain)
        simple = chain_bound(chain, pairs, config=SemidefiniteConfig(operations=0.0))
        gain = (each.pairs / simple.pairs).mean()
        fine &= low <= whole.upper <= product
        row = {
            "network": name, "lower": f"{low:.2f}", "ours": f"{whole.upper:.2f}",
            "product": f"{product:.2f}", "seconds": f"{alone:.1f}", "pairs": f"{gain:.3f}",
            "refined": each.refined, "pairs_seconds": f"{together:.2g}",
        }  # fmt: skip
        print(row, flush=True)
        keep(FIGURES / "semidefinite_large.csv", row, ["network"])
    return fine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--solver", default="CLARABEL")
    parser.add_argument("--only", choices=("small", "large"))
    parser.add_argument("--networks", nargs="*", default=LARGE)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    fine = True
    if settings.only != "large":
        fine &= compare_small(settings.seeds, settings.solver)
    if settings.only != "small":
        fine &= compare_large(settings.networks, SemidefiniteConfig())
    if not fine:
        raise SystemExit(f"a bound is out of order, or more than {GAP:.0%} above LipSDP")


if __name__ == "__main__":
    main()
