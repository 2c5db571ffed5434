"""A training's whole state on disk, so that it can go on after an interruption."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

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
    _write(path, identity, report, tensors, {"scalars": json.dumps(scalars)})


def load_training(path: Path, identity: str, optimizer: torch.optim.LBFGS) -> TrainingReport | None:
    """Put a saved training back into `optimizer` and its parameters; None when there is no file."""
    if not path.exists():
        return None
    tensors, metadata = _read(path, identity)
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
    return _report(metadata)


def save_epoch(
    path: Path,
    identity: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    memory: Mapping[str, Tensor],
    report: TrainingReport,
) -> None:
    """Write weights, buffers, the optimiser's state, more tensors (`memory`), and the report."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"memory.{name}": tensor.detach() for name, tensor in memory.items()}
    for i, parameter in enumerate(optimizer.param_groups[0]["params"]):
        for name, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{i}.{name}"] = value
    _write(path, identity, report, tensors, {})


@torch.no_grad()
def load_epoch(
    path: Path,
    identity: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    memory: Mapping[str, Tensor],
) -> TrainingReport | None:
    """Put what `save_epoch` wrote back, `memory` in place; None when there is no file."""
    if not path.exists():
        return None
    tensors, metadata = _read(path, identity)
    model.load_state_dict(_under("model.", tensors))
    for name, tensor in memory.items():
        tensor.copy_(tensors[f"memory.{name}"])
    for i, parameter in enumerate(optimizer.param_groups[0]["params"]):
        optimizer.state[parameter] = {
            # Adam counts its steps on the CPU, wherever the weights are.
            name: value if name == "step" else value.to(parameter.device)
            for name, value in _under(f"optimizer.{i}.", tensors).items()
        }
    return _report(metadata)


def _write(
    path: Path,
    identity: str,
    report: TrainingReport,
    tensors: Mapping[str, Tensor],
    more: Mapping[str, str],
) -> None:
    notes = {"identity": identity, "report": json.dumps(asdict(report)), **more}
    write_tensors(path, tensors, notes)


def _read(path: Path, identity: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and notes of this very training; InputError when they are another's."""
    tensors, metadata = read_tensors(path)
    if metadata.get("identity") != identity:
        raise InputError(
            f"{path} belongs to another training ({metadata.get('identity', 'no training')}; "
            f"this one is {identity}); delete it or choose another checkpoint"
        )
    return tensors, metadata


def _under(start: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {key.removeprefix(start): v for key, v in tensors.items() if key.startswith(start)}


def _report(metadata: Mapping[str, str]) -> TrainingReport:
    report = json.loads(metadata["report"])
    return TrainingReport(**{**report, "history": tuple(report["history"])})
