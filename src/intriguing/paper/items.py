"""What can be reproduced: a table or figure of the paper a line, in the order in which it is made.

To add one, write its stage in a file of its own, with a function that makes it of `Materials`, and
name that function here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from intriguing.paper import figure5, figure7, figures1to4, filters, table5, tables
from intriguing.runs.stage import Stage

if TYPE_CHECKING:
    from intriguing.paper.materials import Materials

Make: TypeAlias = "Callable[[Materials], Sequence[Stage]]"

TABLES: Mapping[str, Make] = {
    "table1": tables.make_table1,
    "table2": tables.make_table2,
    "table3": tables.make_table3,
    "table4": tables.make_table4,
    "table5": table5.make,
}
FIGURES: Mapping[str, Make] = {
    "figure1": figures1to4.make_units,
    "figure2": figures1to4.make_units,
    "figure3": figures1to4.make_photographs,
    "figure4": figures1to4.make_photographs,
    "figure5": figure5.make,
    "figure7": figure7.make,
    "filters": filters.make,
}
ITEMS: Mapping[str, Make] = {**TABLES, **FIGURES}

OF_NETWORKS = ("table1", "table2", "table3", "table4")
"""Tables of several networks, which may have further ones besides the paper's."""
OF_MNIST = ("figure1", "figure2")
OF_PHOTOGRAPHS = ("figure3", "figure4", "figure5")
"""Figures of a network and photographs of the user's."""
ALONE = ("figure6", "hardening", "claims")
"""Items that are runs of their own, each with a folder and settings of its own."""
DEFAULT = tuple(item for item in ITEMS if item not in OF_PHOTOGRAPHS)
"""What is made when nothing is chosen."""
