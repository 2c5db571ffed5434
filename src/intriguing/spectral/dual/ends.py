"""Nearer ends of what enters a layer, by multipliers of the layers before.

A linear relaxation lets all units before be at their worst at once, which no point of a ball does.
What is wide by that is wide for all later bounds. The same dual as for leads, of ±ζ of each unit
that may bend, takes most of the rest away.
"""

import math
import time
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.dual.around import Around
from intriguing.spectral.dual.ascent import climb
from intriguing.spectral.dual.lagrangian import Lead
from intriguing.spectral.dual.proof import proved_lead

STEPS = 40
"""Of each ascent: half as many leave a tenth more between the ends, twice as many take a tenth."""
WORTH = 0.98
"""What is left of some, on average: if more, the next ones are not searched. Where units see small
patches each, as after convolutions, a linear relaxation has nearly all."""
TOGETHER = 64
"""Rows that are bounded at once."""
_WORK = 4e9
"""Cubes of units, up to which rows are searched at once: some seconds between looks at the time."""
_NARROW = 1e-9
"""Ends so near, relative to the widest, are left as they are."""


@dataclass(frozen=True)
class Nearer:
    """How `around` is given nearer ends.

    Attributes:
        steps: Of each ascent.
        until: After so many seconds of this process no further rows are searched.
    """

    steps: int = STEPS
    until: float = math.inf

    def __call__(
        self, coarse: Around, fine: Around, rows: Float[Tensor, "rows units"],
        least: Float[Tensor, " rows"],
    ) -> Float[Tensor, " rows"]:  # fmt: skip
        """Lower bounds of rows·w of the last layer that is known, at least those given, below 0."""
        widest = max(own.units for own in coarse.curves)
        together = max(1, min(TOGETHER, int(_WORK / widest**3)))
        found, worth = [], True
        for one in torch.split(torch.arange(len(rows), device=rows.device), together):
            worth = worth and time.process_time() < self.until
            found.append(self._part(coarse, fine, rows[one], least[one]) if worth else least[one])
            # Where all of them are 0, nothing is said of the next ones.
            worth = worth and not float((found[-1] / least[one]).nanmean()) >= WORTH
        return torch.cat(found)

    def _part(self, coarse: Around, fine: Around, rows: Tensor, least: Tensor) -> Tensor:
        some = -least > _NARROW * -least.amin()
        if not bool(some.any()):
            return least
        # As a lead that is ahead by as much as it is known to lose at most.
        rows, wide = rows[some], -least[some]
        lead = Lead(coarse, rows, wide)
        given = lead.multipliers(climb(lead, lead.start(), self.steps, until=self.until))
        proved = proved_lead(Lead(fine, rows, wide), given)[1]
        nearer = (proved - wide) - 4e-16 * (proved.abs() + wide)
        found = least.clone()
        found[some] = torch.maximum(least[some], nearer)
        return found
