"""onnx2torch without a torchvision that fits.

It imports torchvision for two operators of detectors, which no classifier has. One that was built
for another torch fails when it is imported, and would take every ONNX file with it.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


def import_onnx2torch() -> Any:
    """The library; where torchvision cannot be imported, without those two operators.

    Raises:
        ImportError, RuntimeError: If it is not installed, or cannot be imported all the same.
    """
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, AttributeError):
        with _stand_in():
            return importlib.import_module("onnx2torch")
    return importlib.import_module("onnx2torch")


@contextmanager
def _stand_in() -> Iterator[None]:
    """A torchvision that has what onnx2torch takes from it, and refuses to do it."""
    names = [name for name in sys.modules if name.partition(".")[0] == "torchvision"]
    before = {name: sys.modules.pop(name) for name in names}
    whole: Any = ModuleType("torchvision")
    whole.ops = ModuleType("torchvision.ops")
    for name in ("nms", "box_convert", "roi_align"):
        setattr(whole.ops, name, _refused)
    sys.modules.update({"torchvision": whole, "torchvision.ops": whole.ops})
    try:
        yield
    finally:
        del sys.modules["torchvision"], sys.modules["torchvision.ops"]
        sys.modules.update(before)


def _refused(*_: object, **__: object) -> None:
    raise NotImplementedError(
        "NonMaxSuppression and RoiAlign need a torchvision that fits this torch"
    )
