"""The stages of an audit; another question is a file here, and its name in `stage_names`."""

from importlib import import_module

from intriguing import audit
from intriguing.audit.stage import AuditStage
from intriguing.audit.stage_names import NAMES


def _stage(name: str) -> type[AuditStage]:
    """The one stage that the file of this name defines."""
    file = import_module(f"{audit.__name__}.{name}")
    (stage,) = (
        one
        for one in vars(file).values()
        if isinstance(one, type) and issubclass(one, AuditStage) and one.__module__ == file.__name__
    )
    assert stage.name == name, f"{file.__file__} has a stage {stage.name}; call both alike"
    return stage


STAGES: tuple[type[AuditStage], ...] = tuple(map(_stage, NAMES))
