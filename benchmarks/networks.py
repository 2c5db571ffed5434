"""The two MNIST networks of the comparisons with other tools, and the images they are attacked on.

Trained once and kept in results/benchmarks/, which git ignores. The fully connected one is the
FC100-100-10 of the reproduction, whose weights are taken from results/reproduce-paper/ if they are
there.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from intriguing.data.named import DataPair, load_data
from intriguing.distortion.targets import choose_targets
from intriguing.models.load import load_model
from intriguing.models.weights import model_sha256, read_tensors, save_model
from intriguing.paper.networks import MNIST_NETWORKS
from intriguing.training.recipe import train_network

RESULTS = Path(__file__).parent.parent / "results"
CACHE = RESULTS / "benchmarks"
SEED = 0


@dataclass(frozen=True)
class Case:
    """A network, the first test images it gets right, and a class to reach (None: any wrong)."""

    name: str
    model: nn.Module
    images: Tensor
    labels: Tensor
    targets: Tensor | None

    @property
    def targeted(self) -> bool:
        return self.targets is not None

    def judge(self, adversarial: Tensor) -> Tensor:
        """‖r‖₂ of each image by a plain forward pass after clamping to the box; ∞ if it fails."""
        clamped = adversarial.clamp(0, 1)
        with torch.no_grad():
            given = self.model(clamped).argmax(1)
        hit = given == self.targets if self.targets is not None else given != self.labels
        away = (clamped - self.images).double().flatten(1).norm(dim=1)
        return torch.where(hit & away.isfinite(), away, torch.inf)


def load_cases(names: list[str], images: int) -> list[Case]:
    """Cases by name: fc or conv, then targeted or untargeted, such as "conv-untargeted"."""
    data = load_data("mnist")
    networks: dict[str, nn.Module] = {}
    cases = []
    for name in names:
        network, kind = name.split("-")
        if network not in networks:
            networks[network] = {"fc": fully_connected, "conv": convolutional}[network](data)
            describe(network, networks[network], data)
        model = networks[network]
        right = predicted(model, data) == data.test.labels
        first = right.nonzero()[:images, 0]
        labels = data.test.labels[first]
        targets = choose_targets(labels, 10, torch.Generator().manual_seed(SEED))
        chosen = targets if kind == "targeted" else None
        cases.append(Case(name, model, data.test.images[first].clone(), labels, chosen))
    return cases


def fully_connected(data: DataPair) -> nn.Module:
    """FC100-100-10 as in Table 1, sigmoid units, trained to convergence by L-BFGS."""
    recipe = next(recipe for recipe in MNIST_NETWORKS if recipe.name == "FC100-100-10")
    kept = [CACHE, RESULTS / "reproduce-paper" / "models"]
    for path in (folder / f"{recipe.slug}.safetensors" for folder in kept):
        if path.exists():
            return load_model(path).requires_grad_(False)
    model, _ = train_network(recipe, data.train, SEED)
    save_model(CACHE / f"{recipe.slug}.safetensors", model, recipe.architecture)
    return model.requires_grad_(False)


def convolutional(data: DataPair) -> nn.Module:
    """Two convolutions with ReLU and max-pooling, then 100 hidden units; four epochs of Adam."""
    torch.manual_seed(SEED)
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(512, 100), nn.ReLU(), nn.Linear(100, 10)),
    )
    path = CACHE / "conv.safetensors"
    if path.exists():
        model.load_state_dict(read_tensors(path)[0])
        return model.eval().requires_grad_(False)
    epochs, width = 4, 128
    steps = epochs * -(-len(data.train) // width)
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(epochs):
        for rows in torch.randperm(len(data.train), generator=generator).split(width):
            logits = model(data.train.images[rows])
            loss = nn.functional.cross_entropy(logits, data.train.labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    save_model(path, model, "convolutional network of the benchmarks")
    return model.eval().requires_grad_(False)


def predicted(model: nn.Module, data: DataPair) -> Tensor:
    """Classes given to the test images."""
    with torch.no_grad():
        return torch.cat([model(batch).argmax(1) for batch in data.test.images.split(1000)])


def describe(name: str, model: nn.Module, data: DataPair) -> None:
    """Print what is attacked."""
    wrong = (predicted(model, data) != data.test.labels).double().mean()
    print(f"{name}: test error {wrong:.2%}, weights {model_sha256(model)[:12]}, seed {SEED}")
