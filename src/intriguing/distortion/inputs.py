"""Numbers a caller can hand over wrongly, refused before any work starts."""

from torch import Tensor

from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, Box


def check_numbers(levels: int | None, batch_size: int | None, box: Box = UNIT_BOX) -> None:
    """Refuse numbers that leave nothing to do."""
    if levels is not None and levels < 2:
        raise InputError(f"levels={levels} leaves no values; give 256 for 8-bit images")
    if levels is not None and isinstance(box.lower, Tensor):
        raise InputError("levels needs one box for all pixels; give box=(lower, upper) as numbers")
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size={batch_size}; give 1 or more, or None to let it be chosen")
