"""Kernels launched and waits of the host, for a pass of every method, on an emulated accelerator.

    python benchmarks/launches.py [--images 16] [--methods paper closest]

FC100-100-10, trained for a moment on the digits that come with the package. A pass is half a
forward and a backward one of the whole batch. The device is that of the tests
(`tests/machines/accelerator.py`): the CPU computes, and what a GPU would be asked for is counted. A
row a method and a goal goes to benchmarks/figures/launches.csv in place of an earlier one.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.tables import keep
from tests.machines.accelerator import DEVICE, accelerator

import intriguing as it

TABLE = Path(__file__).parent / "figures" / "launches.csv"
BUDGETS = {"closest": 300, "cw": 180, "deepfool": 50, "noise": 50}


class Counted(nn.Module):
    """A network that counts how often it was gone through, forward and backward."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.ways = network, 0

    def forward(self, x: Tensor) -> Tensor:
        self.ways += 1
        logits = self.network(x)
        if logits.requires_grad:
            logits.register_hook(self.back)
        return logits

    def back(self, _: Tensor) -> None:
        self.ways += 1


def trained(name: str = "fc100-100-10") -> nn.Module:
    """The network, with weights that do not depend on the machine's generator."""
    model, data = it.build_network(name, (1, 8, 8)).train(), it.load_data("digits").train
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        drawn = torch.randn(weight.shape, generator=generator)
        weight.data = drawn / (weight[0].numel() ** 0.5 if weight.ndim > 1 else 100)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(100):
        rows = torch.randint(len(data), (100,), generator=generator)
        loss = nn.functional.cross_entropy(model(data.images[rows]), data.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def counts(
    model: nn.Module,
    method: str,
    *,
    targeted: bool,
    images: int,
    budget: int | None,
    config: it.PaperConfig | None = None,
) -> tuple[float, float, float]:
    """Passes of the batch, and kernels and waits for one of them."""
    batch = it.load_data("digits").test.first(images)
    with accelerator() as counted:
        far = Counted(model.to(DEVICE)).eval()
        counted.reset()
        targets = (batch.labels + 1) % 10 if targeted else "untargeted"
        it.minimum_distortion(
            far, batch.images, batch.labels, targets, method, budget=budget, config=config
        )
        passes = far.ways / 2
        return passes, counted.launches / passes, counted.waits / passes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    methods = ["paper", "closest", "ddn", "pdgd", "fmn", "cw", "deepfool", "noise"]
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--methods", nargs="+", default=methods, choices=methods)
    args = parser.parse_args()
    for method in args.methods:
        budget = None if method == "paper" else BUDGETS.get(method, 100)
        for targeted in (True, False):
            if method == "paper" and not targeted:
                continue
            passes, kernels, waits = counts(
                trained(), method, targeted=targeted, images=args.images, budget=budget
            )
            row = {
                "method": method, "goal": "targeted" if targeted else "untargeted",
                "images": args.images, "passes": f"{passes:g}", "kernels": f"{kernels:.1f}",
                "waits": f"{waits:.4f}",
            }  # fmt: skip
            print(row, flush=True)
            keep(TABLE, row, ["method", "goal", "images"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
