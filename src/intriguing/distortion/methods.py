"""Every way to search for adversarial images, by name.

A new one is a file in `attacks`, with one function under `@attack`, and its name in `method_names`.
"""

from importlib import import_module
from typing import TypeAlias

from intriguing.distortion import attacks
from intriguing.distortion.attack import REGISTERED, Attack
from intriguing.distortion.closest import ClosestConfig
from intriguing.distortion.method_names import METHODS as METHODS
from intriguing.distortion.penalty import PaperConfig

Config: TypeAlias = PaperConfig | ClosestConfig

CONFIGS = {"closest": ClosestConfig, "paper": PaperConfig}
"""Methods that have more settings than a budget."""


def _attack(name: str) -> tuple[Attack, int]:
    """The function of this name, in the file of this name."""
    import_module(f"{attacks.__name__}.{name}")
    return REGISTERED[name]


ATTACKS: dict[str, tuple[Attack, int]] = {
    name: _attack(name) for name in METHODS if name not in CONFIGS
}
"""The others, each with a budget of its own."""
