"""Where the actors of a Ray cluster write how far they are: a process by itself, without torch.

It is a file by itself because importing torch takes longer than all that such a process ever does.
"""


class Board:
    """By the number of each worker the share of its job that is done."""

    def __init__(self) -> None:
        self.shares: dict[int, float] = {}

    def write(self, number: int, share: float) -> None:
        """A worker says how far it is."""
        self.shares[number] = share

    def read(self) -> dict[int, float]:
        """What all of them said last."""
        return self.shares
