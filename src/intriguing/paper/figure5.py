"""Figure 5 of a reproduction: the network and photographs given, the table's row, the pictures."""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.data.folder import list_pictures
from intriguing.data.limits import LIMITS, Limits
from intriguing.data.preprocessing import of_shape
from intriguing.distortion.closest import ClosestConfig
from intriguing.distortion.search import Search
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback
from intriguing.models.classifier import check_classifier, preprocessing_of
from intriguing.models.load import load_model
from intriguing.names import file_name
from intriguing.paper.config import OSTRICHES, ReproduceConfig
from intriguing.paper.table5 import short_name
from intriguing.results.rows import Measurement
from intriguing.results.schema import ModelRecord, Stage
from intriguing.runs.predicting import first_correct
from intriguing.runs.provenance import record_model
from intriguing.runs.targeted import COUNT, TARGET, ostriches, target_rows, write_figure


@dataclass(frozen=True)
class Photographs:
    """A network for photographs, and photographs with their classes."""

    name: str
    model: nn.Module
    images: ImageSet
    record: ModelRecord
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Reproduced:
    """What the run record and the tables need of Figure 5."""

    rows: tuple[Measurement, ...] = ()
    stages: tuple[Stage, ...] = ()
    notes: tuple[str, ...] = ()


def photographs(
    config: ReproduceConfig,
    progress: ProgressCallback | None = None,
    limits: Limits = LIMITS,
) -> Photographs | None:
    """The network and photographs of Figure 5; None where it is not asked for.

    Raises:
        InputError: If they cannot be had, do not fit, or the photographs have no classes.
    """
    if not set(OSTRICHES) & set(config.items) or config.network is None or config.images is None:
        return None
    model = load_model(config.network).to(config.device)
    how = preprocessing_of(model) if config.input is None else of_shape(config.input)
    if how is None:
        raise InputError(
            f"{config.network} does not say what shape its images have; give it: --input 3,224,224"
        )
    pictures = list_pictures(config.images, limits)
    if not pictures.labelled:
        raise InputError(
            f"{config.images} does not say what its pictures show, and Figure 5 is of those that "
            "are classified correctly; put each class in a subfolder, or add a labels.csv"
        )
    images, skipped = pictures.read(how, progress, limits)
    classes = check_classifier(model, images.images[:8], images.labels)
    if classes <= TARGET:
        raise InputError(
            f"{config.network} has {classes} classes, so none is the ostrich, class {TARGET}; "
            "give a network for ImageNet, or `intriguing audit --target CLASS`"
        )
    bad = tuple(
        f"{len(skipped)} files could not be read and were left out, for instance {file.name} "
        f"({file.reason})."
        for file in skipped[:1]
    )
    name = short_name(config.network)
    return Photographs(name, model, images, record_model(name, model), bad)


def shown(given: Photographs | None) -> tuple[ImageSet, ...]:
    """The photographs, for the run record."""
    return () if given is None else (given.images,)


def records(given: Photographs | None) -> tuple[ModelRecord, ...]:
    """Their network, for the run record."""
    return () if given is None else (given.record,)


def figure5(
    config: ReproduceConfig,
    given: Photographs | None,
    folder: Path,
    progress: ProgressCallback | None = None,
) -> Reproduced:
    """The table's row and the pictures of Figure 5."""
    if given is None:
        return Reproduced()
    start, name = perf_counter(), file_name("figure5", given.name)
    chosen = first_correct([given.model], given.images, COUNT, 0, without=TARGET)
    made = ostriches(
        given.model, given.images.subset(chosen), folder, name=name,
        search=Search(budget=config.passes, config=ClosestConfig(budget=config.passes)),
        progress=progress,
    )  # fmt: skip
    called = given.images.called(TARGET)
    write_figure(
        folder, f"Figure 5. Made {called} for {given.name}", made, name=name, network=given.name
    )
    spent = max(perf_counter() - start, made.attacked.shards.wall_seconds)
    ways = made.attacked.forward_passes, made.attacked.backward_passes
    stage = Stage(f"Figure 5 of {given.name}", spent, *(int(way.sum()) for way in ways))
    note = (
        f"Figure 5 is of the first {len(chosen)} images, in an order drawn by seed 0, that "
        f"{given.name} classifies correctly and that are no ostriches; none was left out. The "
        "paper's 64 images and network are others, so the distortions agree in size at most."
    )
    return Reproduced(tuple(target_rows(given.name, made)), (stage,), (*given.notes, note))
