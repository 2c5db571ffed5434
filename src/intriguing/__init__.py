"""How close is a classifier to being fooled, by what, and why (after Szegedy et al., 2013).

The public names are loaded when they are first used, so that `import intriguing` and the command
line's help do not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intriguing.audit.config import AuditConfig
    from intriguing.audit.run import Audit, run_audit
    from intriguing.data.dataset import ImageSet
    from intriguing.data.decoding import SkippedFile
    from intriguing.data.limits import Limits
    from intriguing.data.named import DataPair, load_data
    from intriguing.data.preprocessing import Preprocessing
    from intriguing.data.sources import LoadedImages, load_images
    from intriguing.distortion.closest import ClosestConfig
    from intriguing.distortion.lbfgsb import DescentConfig, Minimum, minimize_in_box
    from intriguing.distortion.noise import gaussian_noise
    from intriguing.distortion.penalty import PaperConfig
    from intriguing.distortion.result import Distortions, Status
    from intriguing.distortion.search import Search
    from intriguing.distortion.targets import choose_targets
    from intriguing.errors import InputError, UnsoundBound
    from intriguing.gate.config import Demand, GateConfig
    from intriguing.gate.plan import Baseline
    from intriguing.gate.run import Gate, run_gate
    from intriguing.graph.operation import Operation, ValueRange
    from intriguing.graph.table import register_bound
    from intriguing.hardening.config import PoolConfig
    from intriguing.hardening.places import Place
    from intriguing.hardening.pool import PoolSummary
    from intriguing.hardening.train import HardenedTraining, train_with_pools
    from intriguing.measures import Box, Progress, l2, wilson_interval
    from intriguing.models.clean_accuracy import CleanAccuracy, clean_accuracy
    from intriguing.models.family import Family, build_network, register_family
    from intriguing.models.load import load_model
    from intriguing.models.normalized import Normalized
    from intriguing.models.preflight import preflight
    from intriguing.models.pretraining import Pretraining, Sparsity
    from intriguing.models.schedule import Schedule
    from intriguing.models.warning import ModelWarning
    from intriguing.results.audit import Finding, StageRecord, Tile, Warned
    from intriguing.results.gate import FlawRow, GateRow, RulingRow
    from intriguing.scale.attack import Attacked, attack_in_shards
    from intriguing.scale.engine import Engine
    from intriguing.scale.finished import Shards
    from intriguing.spectral.certificates.certificate import Certificates, certify
    from intriguing.spectral.certificates.claimed_constant import ClaimedConstant, check_constant
    from intriguing.spectral.certificates.lipschitz import (
        LayerBound,
        LipschitzReport,
        layer_spectra,
        lipschitz_report,
    )
    from intriguing.spectral.certificates.proved import minimum_distortion
    from intriguing.spectral.certificates.sandwich import Sandwich, sandwich
    from intriguing.spectral.norms.bound import Bound
    from intriguing.spectral.norms.penalty import SpectralPenalty
    from intriguing.training.batches import Batch
    from intriguing.training.lbfgs import LBFGSConfig
    from intriguing.training.minibatch import Extra
    from intriguing.training.recipe import Recipe, train_network
    from intriguing.training.report import TrainingReport
    from intriguing.transfer.amplify import amplify
    from intriguing.transfer.matrix import ErrorCount, error_matrix
    from intriguing.units.activations import Layer, list_layers
    from intriguing.units.claim import Claim, LayerClaim, compare_bases
    from intriguing.units.directions import Basis
    from intriguing.units.histogram import Histogram
    from intriguing.units.inference import MeasuredLayer
    from intriguing.units.ranking import Ranking
    from intriguing.units.topk import TopImages, top_images

__version__ = "0.2.0"

_HOME = {
    "Attacked": "scale.attack",
    "Audit": "audit.run",
    "AuditConfig": "audit.config",
    "Baseline": "gate.plan",
    "Basis": "units.directions",
    "Batch": "training.batches",
    "Bound": "spectral.norms.bound",
    "Box": "measures",
    "Certificates": "spectral.certificates.certificate",
    "Claim": "units.claim",
    "ClaimedConstant": "spectral.certificates.claimed_constant",
    "CleanAccuracy": "models.clean_accuracy",
    "ClosestConfig": "distortion.closest",
    "DataPair": "data.named",
    "Demand": "gate.config",
    "DescentConfig": "distortion.lbfgsb",
    "Distortions": "distortion.result",
    "Engine": "scale.engine",
    "ErrorCount": "transfer.matrix",
    "Extra": "training.minibatch",
    "Family": "models.family",
    "Finding": "results.audit",
    "FlawRow": "results.gate",
    "Gate": "gate.run",
    "GateConfig": "gate.config",
    "GateRow": "results.gate",
    "HardenedTraining": "hardening.train",
    "Histogram": "units.histogram",
    "ImageSet": "data.dataset",
    "InputError": "errors",
    "LBFGSConfig": "training.lbfgs",
    "Layer": "units.activations",
    "LayerBound": "spectral.certificates.lipschitz",
    "LayerClaim": "units.claim",
    "Limits": "data.limits",
    "LipschitzReport": "spectral.certificates.lipschitz",
    "LoadedImages": "data.sources",
    "MeasuredLayer": "units.inference",
    "Minimum": "distortion.lbfgsb",
    "ModelWarning": "models.warning",
    "Normalized": "models.normalized",
    "Operation": "graph.operation",
    "PaperConfig": "distortion.penalty",
    "Place": "hardening.places",
    "PoolConfig": "hardening.config",
    "PoolSummary": "hardening.pool",
    "Preprocessing": "data.preprocessing",
    "Pretraining": "models.pretraining",
    "Progress": "measures",
    "Ranking": "units.ranking",
    "Recipe": "training.recipe",
    "Sandwich": "spectral.certificates.sandwich",
    "Schedule": "models.schedule",
    "Search": "distortion.search",
    "Shards": "scale.finished",
    "SkippedFile": "data.decoding",
    "Sparsity": "models.pretraining",
    "SpectralPenalty": "spectral.norms.penalty",
    "StageRecord": "results.audit",
    "RulingRow": "results.gate",
    "Warned": "results.audit",
    "Status": "distortion.result",
    "Tile": "results.audit",
    "TopImages": "units.topk",
    "TrainingReport": "training.report",
    "UnsoundBound": "errors",
    "ValueRange": "graph.operation",
    "amplify": "transfer.amplify",
    "attack_in_shards": "scale.attack",
    "build_network": "models.family",
    "certify": "spectral.certificates.certificate",
    "check_constant": "spectral.certificates.claimed_constant",
    "choose_targets": "distortion.targets",
    "clean_accuracy": "models.clean_accuracy",
    "compare_bases": "units.claim",
    "error_matrix": "transfer.matrix",
    "gaussian_noise": "distortion.noise",
    "l2": "measures",
    "layer_spectra": "spectral.certificates.lipschitz",
    "lipschitz_report": "spectral.certificates.lipschitz",
    "list_layers": "units.activations",
    "load_data": "data.named",
    "load_images": "data.sources",
    "load_model": "models.load",
    "minimize_in_box": "distortion.lbfgsb",
    "minimum_distortion": "spectral.certificates.proved",
    "preflight": "models.preflight",
    "register_bound": "graph.table",
    "register_family": "models.family",
    "run_audit": "audit.run",
    "run_gate": "gate.run",
    "sandwich": "spectral.certificates.sandwich",
    "top_images": "units.topk",
    "train_network": "training.recipe",
    "train_with_pools": "hardening.train",
    "wilson_interval": "measures",
}

__all__ = [
    "Attacked",
    "Audit",
    "AuditConfig",
    "Baseline",
    "Basis",
    "Batch",
    "Bound",
    "Box",
    "Certificates",
    "Claim",
    "ClaimedConstant",
    "CleanAccuracy",
    "ClosestConfig",
    "DataPair",
    "Demand",
    "DescentConfig",
    "Distortions",
    "Engine",
    "ErrorCount",
    "Extra",
    "Family",
    "Finding",
    "FlawRow",
    "Gate",
    "GateConfig",
    "GateRow",
    "HardenedTraining",
    "Histogram",
    "ImageSet",
    "InputError",
    "LBFGSConfig",
    "Layer",
    "LayerBound",
    "LayerClaim",
    "Limits",
    "LipschitzReport",
    "LoadedImages",
    "MeasuredLayer",
    "Minimum",
    "ModelWarning",
    "Normalized",
    "Operation",
    "PaperConfig",
    "Place",
    "PoolConfig",
    "PoolSummary",
    "Preprocessing",
    "Pretraining",
    "Progress",
    "Ranking",
    "Recipe",
    "RulingRow",
    "Sandwich",
    "Schedule",
    "Search",
    "Shards",
    "SkippedFile",
    "Sparsity",
    "SpectralPenalty",
    "StageRecord",
    "Status",
    "Tile",
    "TopImages",
    "TrainingReport",
    "UnsoundBound",
    "ValueRange",
    "Warned",
    "amplify",
    "attack_in_shards",
    "build_network",
    "certify",
    "check_constant",
    "choose_targets",
    "clean_accuracy",
    "compare_bases",
    "error_matrix",
    "gaussian_noise",
    "l2",
    "layer_spectra",
    "lipschitz_report",
    "list_layers",
    "load_data",
    "load_images",
    "load_model",
    "minimize_in_box",
    "minimum_distortion",
    "preflight",
    "register_bound",
    "register_family",
    "run_audit",
    "run_gate",
    "sandwich",
    "top_images",
    "train_network",
    "train_with_pools",
    "wilson_interval",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
