"""Is an image's nearest example too near? The cheapest question that decides it is asked first."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.result import Distortions, Status
from intriguing.distortion.search import Search
from intriguing.gate.config import Demand
from intriguing.gate.early import Beyond, first_budget
from intriguing.results.gate import Ended, Near
from intriguing.runs.predicting import predict

_UNKNOWN, _NEAR, _NOT_NEAR = 0, 1, 2
_NAMES: tuple[Near, ...] = ("unknown", "near", "not near")
_FAILED = (Status.NOT_FINITE, Status.GIVEN_UP, Status.UNREADABLE)


@dataclass(frozen=True)
class Judged:
    """A batch of images; columns as in `GateRow`, and the nearest examples, NaN where none is."""

    predicted: Tensor
    became: Tensor
    limit: Tensor
    found: Tensor
    first: Tensor
    short: Tensor
    certified: Tensor
    baseline: Tensor
    near: list[Near]
    ended: list[Ended]
    status: list[str]
    forward: Tensor
    backward: Tensor
    adversarial: Tensor


@dataclass(frozen=True)
class Judge:
    """Decides images for one network.

    1. A misclassified image is at distance 0, without any search.
    2. Searches of few passes, each of more than the one before: what they find below the limit is
       too near, however much nearer more passes would come. Where what one finds is far `beyond`
       the limit, that is taken for decided.
    3. What is found is proved to be the nearest on affine networks; on others a certified radius of
       the limit or more proves that no example is nearer.
    4. The whole search decides the others. One that finds nothing at all, anywhere in the box, says
       nothing: there is hardly a network without examples, so the search has failed.

    Attributes:
        model: In evaluation mode.
        demand: What is too near.
        search: The whole search.
        short: Passes of the short one; half of these come first (`first_budget`).
        beyond: In limits, for either; infinite where they decide by what is near alone.
    """

    model: nn.Module
    demand: Demand
    search: Search
    short: int
    beyond: Beyond

    def __call__(
        self, images: Tensor, labels: Tensor, radii: Tensor | None, baseline: Tensor
    ) -> Judged:
        """Decide every image.

        Args:
            images, labels: In memory.
            radii: Certified, in L2; None where nothing is.
            baseline: ‖r‖₂ of the baseline's nearest examples, NaN without one or where unknown.
        """
        count, pixels = len(images), images[0].numel()
        predicted = predict(self.model, images)[0]
        certified = torch.full((count,), torch.nan) if radii is None else radii.float()
        limit = self.demand.limits(pixels, baseline)
        outcome = _Outcome(images, predicted, labels)
        if self.demand.certified:
            proved = certified.double() >= limit
            outcome.near = torch.where(proved, _NOT_NEAR, _NEAR)
            outcome.ended = ["certificate"] * count
            outcome.status = ["NOT_SEARCHED"] * count
            outcome.found[:] = torch.nan
        else:
            self._search(outcome, certified, limit, labels)
        return Judged(
            predicted, outcome.became, limit, outcome.found, outcome.first, outcome.short,
            certified, baseline,
            [_NAMES[code] for code in outcome.near.tolist()], outcome.ended, outcome.status,
            outcome.forward, outcome.backward, outcome.adversarial,
        )  # fmt: skip

    def _search(
        self, outcome: "_Outcome", certified: Tensor, limit: Tensor, labels: Tensor
    ) -> None:
        known = ~limit.isnan()
        nothing = known & (limit <= 0)  # nothing is nearer than a distance of 0
        outcome.end(nothing, _NOT_NEAR, "no need")
        shorter = (
            (first_budget(self.short), outcome.first), (self.short, outcome.short)
        )  # fmt: skip
        for (budget, kept), far in zip(shorter, self.beyond, strict=True):
            if not budget:
                continue
            rest = (known & outcome.open).nonzero()[:, 0]
            self._look(outcome, rest, labels, replace(self.search, budget=budget))
            kept[rest] = outcome.found[rest]
            found = outcome.found.double()
            outcome.end((found < limit) & outcome.open, _NEAR, "short search")
            optimal = torch.tensor([one == Status.OPTIMAL.name for one in outcome.status])
            outcome.end(optimal & outcome.open & known, _NOT_NEAR, "proof")
            outcome.end((certified.double() >= limit) & outcome.open, _NOT_NEAR, "certificate")
            beyond = known & found.isfinite() & (found > far * limit)
            outcome.end(beyond & outcome.open, _NOT_NEAR, "far")
        if self.search.budget != self.short:
            self._look(outcome, (known & outcome.open).nonzero()[:, 0], labels, self.search)
        found = outcome.found.double() < limit
        outcome.end(known & outcome.open & found, _NEAR, "search")
        somewhere = outcome.found.isfinite()
        outcome.end(known & outcome.open & somewhere, _NOT_NEAR, "search")

    def _look(self, outcome: "_Outcome", rows: Tensor, labels: Tensor, search: Search) -> None:
        if len(rows):
            found = minimum_distortion(
                self.model, outcome.images[rows], labels[rows], "untargeted", search
            )
            outcome.put(rows, found)


class _Outcome:
    """What is known of a batch so far; an image is open until something has decided it."""

    def __init__(self, images: Tensor, predicted: Tensor, labels: Tensor) -> None:
        count = len(images)
        self.images = images
        self.near = torch.full((count,), _UNKNOWN)
        self.open = torch.ones(count, dtype=torch.bool)
        self.ended: list[Ended] = ["failed"] * count
        self.status = ["NOT_SEARCHED"] * count
        self.found = torch.full((count,), torch.inf)
        self.first, self.short = torch.full((2, count), torch.nan)
        self.became = torch.where(predicted == labels.cpu(), -1, predicted)
        self.forward, self.backward = torch.zeros(2, count, dtype=torch.long)
        self.adversarial = torch.full(images.shape, torch.nan, dtype=torch.float32)

    def end(self, rows: Tensor, near: int, ended: Ended) -> None:
        """Rows that are decided, and by what."""
        self.near[rows], self.open[rows] = near, False
        for row in rows.nonzero()[:, 0].tolist():
            self.ended[row] = "misclassified" if self.status[row] == "ALREADY" else ended

    def put(self, rows: Tensor, found: Distortions) -> None:
        """What a search found for some rows, whose passes add up."""
        self.found[rows] = found.l2.float()
        self.became[rows] = torch.where(found.success, found.targets, -1)
        self.forward[rows] += found.forward_passes
        self.backward[rows] += found.backward_passes
        self.adversarial[rows] = found.adversarial.float().cpu()
        for row, code in zip(rows.tolist(), found.status.tolist(), strict=True):
            self.status[row] = Status(code).name
            if code in _FAILED:
                self.ended[row] = "not finite" if code == Status.NOT_FINITE else "failed"
                self.open[row] = False
