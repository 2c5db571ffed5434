"""A training's whole state on disk, so that it can go on after an interruption."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from intriguing.errors import InputError
from intriguing.models.weights import read_tensors, write_tensors
from intriguing.training.report import TrainingReport

_LISTS = ("old_dirs", "old_stps", "ro")
_TENSORS = ("d", "H_diag", "prev_flat_grad")
_SCALARS = ("t", "prev_loss", "n_iter", "func_evals")


def save_training(
    path: Path, identity: str, optimizer: torch.optim.LBFGS, report: TrainingReport
) -> None:
    """Write parameters, L-BFGS state and report, so that the training can go on from here."""
    parameters = optimizer.param_groups[0]["params"]
    state = optimizer.state[parameters[0]]
    tensors = {f"parameter.{i}": p.detach() for i, p in enumerate(parameters)}
    for name in _LISTS:
        tensors |= {f"{name}.{i}": entry for i, entry in enumerate(state.get(name) or ())}
    tensors |= {name: torch.as_tensor(state[name]) for name in _TENSORS if name in state}
    scalars = {name: float(state[name]) for name in _SCALARS if name in state}
    write_tensors(
        path,
        tensors,
        {
            "identity": identity,
            "report": json.dumps(asdict(report)),
            "scalars": json.dumps(scalars),
        },
    )


def load_training(path: Path, identity: str, optimizer: torch.optim.LBFGS) -> TrainingReport | None:
    """Put a saved training back into `optimizer` and its parameters; None when there is no file."""
    if not path.exists():
        return None
    tensors, metadata = read_tensors(path)
    if metadata.get("identity") != identity:
        raise InputError(
            f"{path} belongs to another training ({metadata.get('identity', 'no training')}; "
            f"this one is {identity}); delete it or choose another checkpoint"
        )
    parameters = optimizer.param_groups[0]["params"]
    device = parameters[0].device
    with torch.no_grad():
        for i, parameter in enumerate(parameters):
            parameter.copy_(tensors[f"parameter.{i}"])
    state: dict[str, Any] = json.loads(metadata["scalars"])
    state |= {name: int(state[name]) for name in ("n_iter", "func_evals")}
    state |= {name: tensors[name].to(device) for name in _TENSORS if name in tensors}
    for name in _LISTS:
        count = sum(key.startswith(f"{name}.") for key in tensors)
        state[name] = [tensors[f"{name}.{i}"].to(device) for i in range(count)]
    optimizer.state[parameters[0]] = state
    report = json.loads(metadata["report"])
    return TrainingReport(**{**report, "history": tuple(report["history"])})
