"""Run foolbox 3's own attack tests against ours.

    git clone --branch v3.3.4 https://github.com/bethgelab/foolbox FOLDER
    python benchmarks/foolbox_tests.py FOLDER/tests [--method closest] [--budget 12]
        [more words for pytest]

Our search, behind foolbox's `MinimizationAttack`, takes the place of three attacks that foolbox's
tests construct, and of their tests those are run that are given one: untargeted, targeted, with and
without a largest distance, repeated, at other bounds of the pixels, with criteria to be refused.
Nothing is downloaded: the MNIST network of foolbox's zoo is replaced by ours, and torchvision's
ShuffleNet by SqueezeNet (`stand_ins/torchvision/models.py`; where to find its weights:
`networks.py`), of whose photographs a pass takes a tenth of a second: --budget is of an image.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import eagerpy
import foolbox
import pytest
import torch
from foolbox.attacks.base import MinimizationAttack, get_criterion, raise_if_kwargs
from foolbox.models.base import Model
from torch import Tensor, nn

from intriguing.data.named import load_data
from intriguing.distortion.minimum import minimum_distortion
from intriguing.errors import InputError
from networks import convolutional

sys.path.append(str(Path(__file__).parent / "stand_ins"))
REPLACED = ("DDNAttack", "InversionAttack", "L2ContrastReductionAttack")
FILES = ("test_attacks.py", "test_attacks_base.py", "test_attacks_raise.py")
ZOO = """
import sys
sys.path.insert(0, {here!r})
from foolbox_tests import mnist_network as create
"""


class AsModule(nn.Module):
    """A foolbox model as a torch module."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


class Ours(MinimizationAttack):
    """`minimum_distortion` as a foolbox attack."""

    distance = foolbox.distances.l2
    method = "closest"
    budget: int | None = None

    def __init__(self, **_: object) -> None:
        """The settings of the attack that it replaces mean nothing here."""

    def run(
        self,
        model: Model,
        inputs: Any,
        criterion: Any,
        *,
        early_stop: float | None = None,
        **kwargs: Any,
    ) -> Any:
        raise_if_kwargs(kwargs)
        x, restore = eagerpy.astensor_(inputs)
        foolbox.attacks.base.verify_input_bounds(x, model)
        criterion = get_criterion(criterion)
        if isinstance(criterion, foolbox.criteria.Misclassification):
            labels = criterion.labels.raw
            targets = "all" if self.method == "paper" else "untargeted"
        elif isinstance(criterion, foolbox.criteria.TargetedMisclassification):
            targets = criterion.target_classes.raw
            labels = (targets + 1) % model(x).shape[-1]
        else:
            raise InputError(f"criterion {criterion} is not one that names classes")
        found = minimum_distortion(
            AsModule(model), x.raw, labels, targets, self.method,
            box=tuple(model.bounds), budget=self.budget,
        )  # fmt: skip
        success = found.success.view(-1, *[1] * (x.ndim - 1))
        return restore(eagerpy.astensor(torch.where(success, found.adversarial, x.raw)))


def mnist_network() -> foolbox.PyTorchModel:
    """Our convolutional network, in place of the one in foolbox's zoo."""
    return foolbox.PyTorchModel(convolutional(load_data("mnist")), bounds=(0, 1))


class OnlyOurs:
    """Of the tests that pytest collects, those that are given our attack."""

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list) -> None:
        kept = [item for item in items if self.concerned(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept

    @staticmethod
    def concerned(item: pytest.Item) -> bool:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        if not given.get("fmodel_and_data_ext_for_attacks", "").startswith("pytorch"):
            return False
        about_ours = any("Ours" in repr(value) for value in given.values())
        return about_ours or item.originalname == "test_model_bounds"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", type=Path)
    parser.add_argument("--method", default="closest")
    parser.add_argument("--budget", type=int)
    args, words = parser.parse_known_args()
    sys.modules["foolbox_tests"] = sys.modules[__name__]
    Ours.method, Ours.budget = args.method, args.budget
    for name in REPLACED:
        setattr(foolbox.attacks, name, Ours)
    tests = [str(args.tests.resolve() / name) for name in FILES]
    with tempfile.TemporaryDirectory() as folder:
        zoo = Path(folder) / "examples" / "zoo" / "mnist"
        zoo.mkdir(parents=True)
        (zoo / "foolbox_model.py").write_text(ZOO.format(here=str(Path(__file__).parent)))
        settings = ["--backend", "pytorch", "-p", "no:cacheprovider", "-q", "-ra"]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            return int(pytest.main([*settings, *words, *tests], [OnlyOurs()]))


if __name__ == "__main__":
    sys.exit(main())
