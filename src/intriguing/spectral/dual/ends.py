"""Nearer ends of what enters a layer, by multipliers of the layers before.

A linear relaxation lets all units before be at their worst at once, which no point of a ball does.
What is wide by that is wide for all later bounds. The same dual as for leads, of ±ζ of each unit
that may bend, takes most of the rest away.
"""

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
TOGETHER = 64
"""Rows that are bounded at once."""
_NARROW = 1e-9
"""Ends so near, relative to the widest, are left as they are."""


@dataclass(frozen=True)
class Nearer:
    """How `around` is given nearer ends.

    Attributes:
        steps: Of each ascent.
    """

    steps: int = STEPS

    def __call__(
        self, coarse: Around, fine: Around, rows: Float[Tensor, "rows units"],
        least: Float[Tensor, " rows"],
    ) -> Float[Tensor, " rows"]:  # fmt: skip
        """Lower bounds of rows·w of the last layer that is known, at least those given, below 0."""
        parts = torch.split(torch.arange(len(rows), device=rows.device), TOGETHER)
        return torch.cat([self._part(coarse, fine, rows[one], least[one]) for one in parts])

    def _part(self, coarse: Around, fine: Around, rows: Tensor, least: Tensor) -> Tensor:
        wide = -least
        if not bool((wide > _NARROW * wide.amax()).all()):
            return least
        # As a lead that is ahead by as much as it is known to lose at most.
        lead = Lead(coarse, rows, wide)
        given = lead.multipliers(climb(lead, lead.start(), self.steps))
        proved = proved_lead(Lead(fine, rows, wide), given)[1]
        return torch.maximum(least, (proved - wide) - 4e-16 * (proved.abs() + wide))
