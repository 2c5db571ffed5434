"""Do examples fool other networks, one difference at a time, beyond what these misread anyway?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from intriguing.paper.claims.asking import error, noisy, read_by_all, toward_random, wrong
from intriguing.paper.claims.claim import Claim, less_than, more_than
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.results.measured import Condition, Metric
from intriguing.results.verdicts import Source

BASE = Wanted("fc100-100-10")
_OTHERS: Mapping[str, Wanted] = {
    "seed": Wanted("fc100-100-10", number=1),
    "width": Wanted("fc300-300-10"),
    "depth": Wanted("fc100-100-100-10"),
    "activation": Wanted("tanh100-100-10"),
    "decay": Wanted("fc100-100-10", decay=1e-4),
}
"""By what alone they differ from the base, but for their random draws."""
_OF_SETS: Mapping[str, Wanted] = {
    "P1": Wanted("fc100-100-10", part="P1"),
    "P1 other": Wanted("fc123-456-10", part="P1"),
    "P2": Wanted("fc100-100-10", part="P2"),
}
_CONVOLUTIONAL = Wanted("conv8-16-50-10")
_MARGIN = 2.0
"""Points of error: less is no transfer that anybody would notice in 100 images."""

_NET = (
    "error on examples made for a 100-100-10 network, less the judged network's error on noise "
    "that is as long, in points"
)
_CHANGE = "longer examples: amplified to a distortion of 0.1 they transfer several times as often"
_SCEPTIC = (
    "Examples are the nearest of a random wrong class, as the paper's; images are those that both "
    "networks read, so that the judged network's clean error is 0 on them."
)


def _transfers(name: str, differs: str) -> Claim:
    return Claim(
        f"transfer-{name}", Source.PAPER, "§4.2, second property",
        "A relatively large fraction of examples is misclassified by networks trained from scratch "
        "with different hyper-parameters (number of layers, regularization or initial weights).",
        f"Examples fool a network that differs in {differs} alone.", _NET, "% more",
        more_than(_MARGIN), _CHANGE, _SCEPTIC,
    )  # fmt: skip


@dataclass(frozen=True)
class Transfer(Topic):
    """Tables 2 and 4, one factor at a time, with what is no transfer taken off."""

    name: ClassVar[str] = "transfer"
    question: ClassVar[str] = "Do examples fool networks that they were not made for?"
    claims: ClassVar[tuple[Claim, ...]] = (
        _transfers("seed", "its initial weights and the order of its images"),
        _transfers("width", "its width (300 units a layer)"),
        _transfers("depth", "its depth (three hidden layers)"),
        _transfers("activation", "its activation (tanh)"),
        _transfers("decay", "its weight decay (ten times as much)"),
        Claim(
            "transfer-sets", Source.PAPER, "§4.2, third property",
            "A relatively large fraction of examples is misclassified by networks trained on a "
            "disjoint training set.",
            "Examples made for a network trained on one half fool one trained on the other.",
            _NET, "% more", more_than(_MARGIN), _CHANGE, _SCEPTIC,
        ),
        Claim(
            "sets-below-models", Source.PAPER, "§4.2, Table 4",
            "Cross-training-set generalization is weaker than cross-model generalization.",
            "Fewer examples fool the same architecture trained on the other half than another "
            "architecture trained on the same half.",
            "net transfer to the other architecture less that to the other half, in points",
            "% more", more_than(0.0), "networks whose shapes differ more than their data do",
            _SCEPTIC,
        ),
        Claim(
            "universal-some", Source.PAPER, "§4.2",
            "Adversarial examples are somewhat universal, not just the result of overfitting to a "
            "particular model.",
            "More than one in ten, made twice as long, fools most of five other networks.",
            "share of examples of twice the length that fool at least three of five other networks",
            "%", more_than(10.0), "examples of the very length that fools their own network",
            "Each of the five differs in one hyper-parameter; twice the least length is still "
            "shorter than the paper's 0.1 for most images.", across="networks fooled at least",
        ),
        Claim(
            "universal-all", Source.PAPER, "§4.2",
            "Adversarial examples are somewhat universal.",
            "Most, at the least length, fool every other network.",
            "share of the nearest examples that fool all of five other networks", "%",
            more_than(50.0), "a larger length, or fewer networks",
            "The strict reading of “universal”; the loose one is universal-some.",
        ),
        Claim(
            "noise-harmless", Source.PAPER, "§4.2, rows of noise in Tables 2 and 4",
            "The same amount of random distortion does nothing.",
            "Noise as long as each image's nearest example changes the answer on less than 2 %.",
            "share of images, read without noise, that such noise makes misread", "%",
            less_than(_MARGIN), "noise some ten times as long",
            "The very images that the examples are of, each with noise of its example's length.",
        ),
        Claim(
            "amplified", Source.PAPER, "§4.2, Table 4",
            "Amplified examples stay adversarial for other networks, and more so.",
            "Twice as long they fool another network more often, by ten points at least.",
            "net transfer at twice the length less that at the least length, in points", "% more",
            more_than(10.0), "a length at which everything is misread anyway",
            "Noise that is as long is taken off at both lengths.",
            across="length over the least that fools the network itself",
        ),
        Claim(
            "transfer-architecture", Source.SUCCESSORS, "later work on transfer",
            "Transfer is unaffected by initialization and hurt by architecture mismatch.",
            "Fewer examples fool a convolutional network than one with other initial weights.",
            "net transfer to another seed less that to a convolutional network, at twice the "
            "length, in points", "% more", more_than(0.0), "networks of more similar shapes",
            _SCEPTIC,
        ),
        Claim(
            "transfer-equal", Source.SUCCESSORS, "later work on transfer",
            "Transfer is unaffected by initialization.",
            "Nearly all examples fool a network that differs by its seed alone.",
            "share of examples at twice the length that fool the network of another seed", "%",
            more_than(90.0), "longer examples", "The base and the other learn from the same "
            "images; only initial weights and order differ.",
        ),
    )  # fmt: skip

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        return {"base": BASE, **_OTHERS, **_OF_SETS, "convolutional": _CONVOLUTIONAL}

    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        for role, model in models.items():
            found.add(Metric.ERROR, "%", error(model, self.test), network=role,
                      condition=Condition.CLEAN, images="test")  # fmt: skip
        net = self._net("base", (*_OTHERS, "convolutional"), models, found)
        for role in _OTHERS:
            found.effect(f"transfer-{role}", net[role, 1.0])
        found.effect("amplified", net["seed", 2.0] - net["seed", 1.0])
        found.effect("transfer-architecture", net["seed", 2.0] - net["convolutional", 2.0])
        halves = self._net("P1", ("P1 other", "P2"), models, found)
        found.effect("transfer-sets", halves["P2", 1.0])
        found.effect("sets-below-models", halves["P1 other", 1.0] - halves["P2", 1.0])

    def _net(
        self, maker: str, judged: tuple[str, ...], models: Mapping[str, nn.Module], found: Record
    ) -> dict[tuple[str, float], float]:
        """Error on the examples of one network less that on noise, by network and length."""
        some = read_by_all(
            [models[role] for role in (maker, *judged)], self.test, self.scale.attacked
        )
        made = toward_random(models[maker], some, self.scale, self.generator(f"targets {maker}"))
        images, labels = some.images[made.success], some.labels[made.success]
        r, length = made.adversarial[made.success] - images, made.l2[made.success]
        net: dict[tuple[str, float], float] = {}
        for times in (1.0, 1.5, 2.0, 3.0):
            noise = noisy(images, times * length, self.generator(f"noise {maker} {times}"))
            fooled: dict[str, Tensor] = {}
            for role in (maker, *judged):
                # A rounding beyond the boundary, where the nearest example lies.
                fooled[role] = wrong(models[role], images + times * r, labels)
                luck = wrong(models[role], noise, labels)
                for condition, which in (
                    (Condition.ADVERSARIAL, fooled[role]), (Condition.NOISE, luck),
                ):  # fmt: skip
                    found.share(Metric.ERROR, int(which.sum()), len(which), network=role,
                                made_for=maker, condition=condition, size=times)  # fmt: skip
                net[role, times] = 100 * float(fooled[role].float().mean() - luck.float().mean())
                if role == maker and times == 1.0 and maker == "base":
                    found.share_effect("noise-harmless", int(luck.sum()), len(luck))
            if maker == "base":
                for role in judged:
                    found.point("amplified", Metric.ERROR_DIFFERENCE, "% more", net[role, times],
                                size=times, network=role)  # fmt: skip
                self._universal(times, torch.stack([fooled[role] for role in _OTHERS]), found)
                if times == 2.0:
                    other = fooled["seed"]
                    found.share_effect("transfer-equal", int(other.sum()), len(other))
        return net

    def _universal(self, times: float, fooled: Tensor, found: Record) -> None:
        """How many of the other networks an example fools."""
        many, total = fooled.sum(0), fooled.shape[1]
        if times == 1.0:
            found.share_effect("universal-all", int((many == len(fooled)).sum()), total)
        if times == 2.0:
            found.share_effect("universal-some", int((many >= 3).sum()), total)
        if times in (1.0, 2.0):
            for least in range(1, len(fooled) + 1):
                found.point("universal-some", Metric.FOOLED, "%",
                            100 * float((many >= least).float().mean()), size=float(least),
                            condition=Condition.ADVERSARIAL if times == 1.0 else Condition.AMPLIFIED
                            )  # fmt: skip
