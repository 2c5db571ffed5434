"""All topics, in the order of the report; a new one is a file in `topics/` and a name here."""

from intriguing.errors import InputError
from intriguing.paper.claims.claim import Claim
from intriguing.paper.claims.topic import Topic
from intriguing.paper.claims.topics.closeness import Closeness
from intriguing.paper.claims.topics.directions import Directions
from intriguing.paper.claims.topics.families import Families
from intriguing.paper.claims.topics.formulas import Formulas
from intriguing.paper.claims.topics.generative import Generative
from intriguing.paper.claims.topics.nonsense import Nonsense
from intriguing.paper.claims.topics.pockets import Pockets
from intriguing.paper.claims.topics.seeds import Seeds
from intriguing.paper.claims.topics.spectral import Spectral
from intriguing.paper.claims.topics.sweeps import Sweeps
from intriguing.paper.claims.topics.transfer import Transfer
from intriguing.paper.claims.topics.units import Units
from intriguing.paper.claims.topics.weights import Weights

TOPICS: tuple[type[Topic], ...] = (
    Units, Closeness, Transfer, Pockets, Families, Spectral, Formulas, Sweeps, Weights, Seeds,
    Nonsense, Generative, Directions,
)  # fmt: skip


def claims() -> dict[str, tuple[Claim, type[Topic]]]:
    """Every claim by its name, with its topic."""
    return {claim.name: (claim, topic) for topic in TOPICS for claim in topic.claims}


def chosen(names: tuple[str, ...]) -> dict[str, tuple[Claim, type[Topic]]]:
    """Some of them, a name also being that of a topic; all where none is given.

    Raises:
        InputError: If there is none of a name.
    """
    known = claims()
    if not names:
        return known
    topics = {topic.name for topic in TOPICS}
    if unknown := [name for name in names if name not in known and name not in topics]:
        raise InputError(
            f"there is no claim {unknown[0]!r}; one of {', '.join(known)}, or all of "
            f"{', '.join(sorted(topics))}"
        )
    return {name: one for name, one in known.items() if name in names or one[1].name in names}
