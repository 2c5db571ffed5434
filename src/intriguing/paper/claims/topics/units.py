"""Are units special; does dropout spread them; what is one without its group?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from intriguing.models.initial import weight_layers
from intriguing.paper.claims.asking import error
from intriguing.paper.claims.claim import Claim, less_than, more_than, within
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.results.measured import Condition, Metric
from intriguing.results.verdicts import Source
from intriguing.units.activations import activations
from intriguing.units.claim import DELTAS
from intriguing.units.directions import haar
from intriguing.units.measured import measure_bases

_K = 9
"""Images of a row, as for Figures 1 to 4."""
_BASES = 20
"""Random rotations of a layer."""
_GROUPS = 10
"""Random groups of each size."""
_HIDDEN = {"mlp": ("2", "4"), "conv": ("relu3",)}
"""Outputs of hidden layers, as their families name them."""

_PURITY = "mean purity of the nine test images that excite a unit most, less that of random "
_PURITY += "directions"
_SCEPTIC = (
    "Purity of labels is what digits offer of meaning. Random directions are columns of uniformly "
    f"random rotations, {_BASES} a network."
)


def _random(name: str, which: str, layer: str) -> Claim:
    return Claim(
        f"units-{name}", Source.PAPER, "abstract, §3",
        "There is no distinction between individual high level units and random linear "
        "combinations of high level units.",
        f"In {which} the images that excite a unit are as pure as those of a random direction, up "
        f"to {DELTAS['purity']:g}.",
        f"{_PURITY}, {layer}", "share", within(DELTAS["purity"]),
        "a layer whose units are trained to be selective", _SCEPTIC,
    )  # fmt: skip


@dataclass(frozen=True)
class Units(Topic):
    """§3 over seeds, with and without dropout, and what removal does."""

    name: ClassVar[str] = "units"
    question: ClassVar[str] = "Is a unit more than any direction?"
    claims: ClassVar[tuple[Claim, ...]] = (
        _random("first", "the first hidden layer", "first of two ReLU layers"),
        _random("last", "the last hidden layer", "last of two ReLU layers"),
        _random("convolutional", "a convolutional network's hidden layer", "hidden layer"),
        Claim(
            "dropout-units", Source.READERS, "a reader's note",
            "Dropout makes single units less selective.",
            "With dropout units lead random directions by less purity than without.",
            f"{_PURITY}, without dropout less with, last hidden layer", "share", more_than(0.0),
            "another share of dropout", "Half of all hidden inputs are dropped.",
        ),
        Claim(
            "unit-alone", Source.READERS, "a reader's note",
            "A unit is nothing without its group.",
            "Removing one unit adds less than a tenth of a point of error on average.",
            "mean change of the test error over all units of the last hidden layer, in points",
            "% more", less_than(0.1), "a narrow network",
            "A unit is removed by setting it to 0; the mean may hide a few that matter.",
        ),
        Claim(
            "unit-direction", Source.READERS, "a reader's note",
            "Units are no special directions for what the network computes.",
            "Removing a unit costs as much error as removing a random direction, up to a tenth of "
            "a point.",
            "that mean less the mean over as many random directions, in points", "% more",
            within(0.1), "a basis in which activations are sparser",
            "Over a whole orthonormal basis both remove the same energy.",
        ),
        Claim(
            "group-direction", Source.READERS, "a reader's note",
            "A group of units matters as a group.",
            "Removing half of the units costs as much error as removing half of the directions "
            "of a random rotation, up to two points.",
            "test error without random halves of the units less that without half of random "
            "rotations, in points", "% more", within(2.0), "smaller or larger groups",
            f"{_GROUPS} of each.", across="units or directions removed, %",
        ),
    )  # fmt: skip

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        return {
            "plain": Wanted("mlp100-100-10"),
            "dropout": Wanted("mlp100-100-10", dropout=0.5),
            "convolutional": Wanted("conv8-16-50-10"),
        }

    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        plain = self._leads(models["plain"], "plain", _HIDDEN["mlp"], found)
        dropped = self._leads(models["dropout"], "dropout", _HIDDEN["mlp"], found)
        whole = self._leads(models["convolutional"], "convolutional", _HIDDEN["conv"], found)
        found.effect("units-first", plain["2"])
        found.effect("units-last", plain["4"])
        found.effect("units-convolutional", whole["relu3"])
        found.effect("dropout-units", plain["4"] - dropped["4"])
        self._removal(models["plain"], found)

    def _leads(
        self, model: nn.Module, role: str, layers: tuple[str, ...], found: Record
    ) -> dict[str, float]:
        """Natural less random, a layer."""
        k = min(_K, len(self.test))
        tables = measure_bases(model, layers, self.test, "purity", k, _BASES, self.generator(role))
        for layer, table in tables.items():
            for basis, value in (
                ("natural", table.natural_mean), ("random", float(table.random_means.mean())),
            ):  # fmt: skip
                found.add(Metric.COHERENCE, "share", value, network=role, layer=layer,
                          setting=basis)  # fmt: skip
        found.add(Metric.ERROR, "%", error(model, self.test), network=role,
                  condition=Condition.CLEAN)  # fmt: skip
        return {layer: table.difference() for layer, table in tables.items()}

    @torch.no_grad()
    def _removal(self, model: nn.Module, found: Record) -> None:
        """Of single units and directions, and of groups of them."""
        (last,) = weight_layers(model)[-1:]
        parts = activations(model, _HIDDEN["mlp"][1:], self.test.images)
        hidden = torch.cat([part[_HIDDEN["mlp"][1]] for part in parts])
        units = hidden.shape[1]

        def errs(kept: Tensor) -> float:
            misread = last(kept).argmax(1) != self.test.labels
            return 100 * float(misread.double().mean())

        def without(directions: Tensor) -> Tensor:
            return hidden - hidden @ directions @ directions.T

        before, natural = errs(hidden), torch.eye(units)
        turned = haar(units, self.generator("directions")).matrix.float()
        ones = [
            sum(errs(without(basis[:, [i]])) - before for i in range(units)) / units
            for basis in (natural, turned)
        ]
        found.effect("unit-alone", ones[0])
        found.effect("unit-direction", ones[0] - ones[1])
        for share in (25, 50, 75, 90):
            means = {}
            for called in ("units", "directions"):
                drawn = self.generator(f"groups {share} {called}")
                errors = []
                for _ in range(_GROUPS):
                    turn = called == "directions"
                    basis = haar(units, drawn).matrix.float() if turn else natural
                    chosen = torch.randperm(units, generator=drawn)[: units * share // 100]
                    errors.append(errs(without(basis[:, chosen])))
                means[called] = sum(errors) / len(errors)
                found.point("group-direction", Metric.ERROR, "%", means[called],
                            size=float(share), method=called)  # fmt: skip
            if share == 50:
                found.effect("group-direction", means["units"] - means["directions"])
