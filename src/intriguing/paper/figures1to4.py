"""Figures 1 to 4: images that excite units, and random directions, most; and the claim tested.

Figures 1 and 2 are of a convolutional network trained on MNIST, on its test images; Figures 3 and 4
of any network for photographs and any folder of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.data.folder import load_pictures
from intriguing.data.limits import LIMITS, Limits
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback
from intriguing.models.load import load_model
from intriguing.paper.config import PHOTOGRAPHS, UNITS, ReproduceConfig
from intriguing.paper.network import Network, Sets
from intriguing.paper.networks import CONVOLUTIONAL
from intriguing.paper.table5 import short_name
from intriguing.results.parquet import write_rows
from intriguing.results.rows import ClaimRow, Measurement
from intriguing.results.schema import ModelRecord, Stage
from intriguing.runs.provenance import record_model
from intriguing.runs.run import Run
from intriguing.runs.stage import Network as Named
from intriguing.runs.study import Asked, Study, prepare
from intriguing.runs.units import stages_of

LAYERS = ("relu1", "relu2", "relu3")
"""Of the network for MNIST: after each convolution, and the hidden layer."""


@dataclass(frozen=True)
class Studied:
    """What a run record and the tables need besides the rows and tensors that were written."""

    rows: tuple[Measurement, ...]
    stages: tuple[Stage, ...]
    notes: tuple[str, ...]


def analyse(
    folder: Path,
    name: str,
    models: Sequence[nn.Module],
    images: ImageSet,
    asked: Asked,
    *,
    progress: ProgressCallback | None = None,
) -> Studied:
    """Rank, measure and test units of networks of one shape; rows and tensors go to `folder`."""
    run = Run(folder, progress=progress)
    networks = [Named(name, model) for model in models]
    done = [(one, run.keep(one)) for one in stages_of(networks, images, asked)]
    rows = [row for _, one in done for row in one.made.rows]
    write_rows(folder, ClaimRow, [row for row in rows if isinstance(row, ClaimRow)])
    stages = (Stage(one.title, kept.record.wall_seconds, *kept.made.passes) for one, kept in done)
    return Studied(
        tuple(row for row in rows if isinstance(row, Measurement)), tuple(stages),
        tuple(note for _, one in done for note in one.made.notes),
    )  # fmt: skip


@dataclass(frozen=True)
class Photographs:
    """A network for photographs, with photographs, and what is asked."""

    name: str
    model: nn.Module
    images: ImageSet
    asked: Asked
    record: ModelRecord
    notes: tuple[str, ...]


def photographs(
    config: ReproduceConfig,
    progress: ProgressCallback | None = None,
    limits: Limits = LIMITS,
) -> Photographs | None:
    """What Figures 3 and 4 are of; None where they are not asked for.

    Raises:
        InputError: If the network or the pictures cannot be had, or do not fit.
    """
    figures = [item for item in PHOTOGRAPHS if item in config.items]
    if not figures or config.network is None or config.images is None:
        return None
    model = load_model(config.network).to(config.device)
    shape = config.input or getattr(model, "shape", None)
    if shape is None:
        raise InputError(
            f"{config.network} does not say what shape its images have; give it: --input 3,224,224"
        )
    images, skipped = load_pictures(config.images, shape, progress=progress, limits=limits)
    study = Study(bases=_bases(figures, PHOTOGRAPHS), rotations=39, untrained=2, paths=0)
    last = prepare(study, model, images).names[-1:]
    asked = prepare(replace(study, layers=last), model, images)
    name = short_name(config.network)
    bad = tuple(
        f"{len(skipped)} files could not be read and were left out, for instance {file.name} "
        f"({file.reason})."
        for file in skipped[:1]
    )
    return Photographs(name, model, images, asked, record_model(name, model), bad)


def shown(photographs: Photographs | None) -> tuple[ImageSet, ...]:
    """The photographs, for the run record."""
    return () if photographs is None else (photographs.images,)


def records(photographs: Photographs | None) -> tuple[ModelRecord, ...]:
    """Their network, for the run record."""
    return () if photographs is None else (photographs.record,)


def figures1to4(
    config: ReproduceConfig,
    networks: Sequence[Network],
    sets: Sequence[Sets],
    given: Photographs | None,
    folder: Path,
    progress: ProgressCallback | None = None,
) -> Studied:
    """Rows, verdicts and the path Q^α of the networks that the asked figures are of."""
    if given is not None:
        studied = analyse(
            folder, given.name, [given.model], given.images, given.asked, progress=progress
        )
        return Studied(studied.rows, studied.stages, (*given.notes, *studied.notes))
    figures = [item for item in UNITS if item in config.items]
    if not figures:
        return Studied((), (), ())
    models = [network.model for network in networks if network.job.row == CONVOLUTIONAL]
    images = sets[0].test
    smoke = config.scale == "smoke"
    study = Study(
        LAYERS, _bases(figures, UNITS), rotations=9 if smoke else None,
        untrained=2 if smoke else 8, paths=2 if smoke else 10,
    )  # fmt: skip
    asked = prepare(study, models[0], images)
    return analyse(folder, CONVOLUTIONAL, models, images, asked, progress=progress)


def _bases(figures: Sequence[str], both: Sequence[str]) -> tuple[str, ...]:
    """The first of both figures is of the natural basis, the second of random directions."""
    return tuple(
        basis for basis, one in zip(("natural", "random"), both, strict=True) if one in figures
    )
