"""Other tools' attacks as one call: a case and a number of passes in, adversarial images out.

Their schedules are made for the budget, and nothing else is changed. Attacks that end when they
have found something, or take as many passes as an image needs, are given one image at a time and
are stopped when it has had its passes; then their shortest adversarial query counts, as AttackBench
has it. Networks of very many classes show DeepFool and SuperDeepFool the ten likeliest ones, which
are all that the authors' code looks at.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from networks import Case

# adv-lib imports torchvision and visdom for things that are not used here; a real one comes first.
sys.path.append(str(Path(__file__).parent / "stand_ins"))
from adv_lib.attacks import alma, apgd, carlini_wagner_l2, ddn, df, fmn, pdgd, sdf

RIVALS = 10
"""Classes that DeepFool and SuperDeepFool are shown, the label among them."""


@dataclass(frozen=True)
class Peer:
    """An attack of a number of passes.

    Attributes:
        make: The attack for a budget.
        alone: Whether it is given one image at a time and stopped when its passes are spent.
        targeted: Whether it can aim at a class.
    """

    make: Callable[[int], Callable[..., Tensor]]
    alone: bool = False
    targeted: bool = True

    def takes(self, case: Case) -> bool:
        """Whether it can have this goal."""
        return self.targeted or case.targets is None


def searched_apgd(budget: int) -> Callable[..., Tensor]:
    """APGD within a radius that is halved up to 20 times, as `minimal_apgd` of adv-lib does it.

    That one takes any other class for the target's; here the target counts. Its first radius is the
    distance to the farthest corner of the box, which needs no guess.
    """
    steps = max(1, min(100, budget // 20 - 2))
    searches = max(1, int(budget / (steps + 1.5)))  # a start and a look at the answer

    def attack(model: nn.Module, images: Tensor, goal: Tensor, targeted: bool) -> Tensor:
        high = torch.maximum(images, 1 - images).flatten(1).norm(dim=1)
        low, answer = torch.zeros_like(high), images.clone()
        for _ in range(searches):
            radius = (low + high) / 2
            points = apgd(model, images, goal, radius, 2, targeted=targeted, n_iter=steps)
            hit = (model(points).argmax(1) == goal) == targeted
            answer[hit] = points[hit]
            high, low = torch.where(hit, radius, high), torch.where(hit, low, radius)
        return answer

    return attack


PEERS: dict[str, Peer] = {
    "adv-lib DDN": Peer(lambda budget: partial(ddn, steps=budget, levels=None)),
    "adv-lib FMN": Peer(lambda budget: partial(fmn, norm=2, steps=budget)),
    "adv-lib PDGD": Peer(lambda budget: partial(pdgd, num_steps=budget)),
    "adv-lib ALMA": Peer(lambda budget: partial(alma, num_steps=budget)),
    "adv-lib C&W": Peer(
        lambda budget: partial(
            carlini_wagner_l2,
            binary_search_steps=max(1, min(9, budget // 10)),
            max_iterations=max(10, budget // max(1, min(9, budget // 10))),
        )
    ),
    "adv-lib APGD": Peer(searched_apgd),
    "adv-lib DF": Peer(lambda _: df, alone=True, targeted=False),
    "adv-lib SDF": Peer(lambda _: sdf, alone=True, targeted=False),
}
"""By name; each at its authors' settings but for the number of steps."""


class Spent(Exception):
    """An image has had its passes."""


class Counted(nn.Module):
    """A network that counts an image's passes; alone, it keeps the shortest adversarial query."""

    def __init__(self, case: Case, rows: slice, budget: float) -> None:
        super().__init__()
        self.case, self.rows, self.allowed = case, rows, 2 * budget
        self.shown = torch.arange(0)
        self.spent = 0
        self.best, self.length = case.images[rows].clone(), torch.inf
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        if self.spent >= self.allowed:
            raise Spent
        self.spent += 1
        logits: Tensor = self.case.model(images)
        if len(self.best) == 1:
            self.keep(images.detach(), logits.detach())
        if logits.requires_grad:
            logits.register_hook(self.count_backward)
        return logits[:, self.shown] if len(self.shown) else logits

    def count_backward(self, _: Tensor) -> None:
        if self.spent >= self.allowed:
            raise Spent
        self.spent += 1

    def keep(self, images: Tensor, logits: Tensor) -> None:
        """The shortest query of one image that is adversarial in the box."""
        clamped = images.clamp(0, 1)
        away = (clamped - self.case.images[self.rows]).flatten(1).norm(dim=1)
        hit = self.case.reached(logits, self.rows) & (images == clamped).flatten(1).all(1)
        away = torch.where(hit, away, torch.inf)
        if away.min() < self.length:
            self.length, self.best = float(away.min()), clamped[away.argmin()][None].clone()


def run_peer(case: Case, name: str, budget: int, seed: int) -> tuple[Tensor, float]:
    """A peer's answer and the passes that it took an image."""
    torch.manual_seed(seed)
    one = PEERS[name]
    attack = one.make(budget)
    goal = case.labels if case.targets is None else case.targets
    if not one.alone:
        model = Counted(case, slice(0, len(case.images)), torch.inf)
        return attack(model, case.images, goal, targeted=case.targeted).detach(), model.spent / 2
    answers, spent = [], 0
    for i in range(len(case.images)):
        model = Counted(case, slice(i, i + 1), budget)
        label = few_classes(model, case, i)
        with suppress(Spent):
            attack(model, case.images[i : i + 1], label, targeted=False)
        answers.append(model.best)
        spent += model.spent
    return torch.cat(answers), spent / 2 / len(answers)


def few_classes(model: Counted, case: Case, i: int) -> Tensor:
    """The label of an image among the classes that are shown, of which it is the likeliest."""
    with torch.no_grad():
        logits = case.model(case.images[i : i + 1])
    if logits.shape[1] <= RIVALS:
        return case.labels[i : i + 1]
    model.shown = logits[0].topk(RIVALS).indices
    return (model.shown == case.labels[i]).nonzero()[0]
