"""Minimum distortions of a whole image set, in shards: any size, any number of interruptions."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, TypeAlias, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from intriguing import __version__
from intriguing.addresses import as_folder
from intriguing.data.checks import check_images
from intriguing.data.dataset import ImageSet
from intriguing.distortion.incumbent import BUDGETS
from intriguing.distortion.methods import Config
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.result import Status
from intriguing.distortion.search import Search
from intriguing.distortion.targets import check_targets
from intriguing.keys import derive_key
from intriguing.measures import UNIT_BOX, Box, ProgressCallback, as_box
from intriguing.models.classifier import Classifier, own_dtypes
from intriguing.models.pass_time import pass_seconds
from intriguing.models.requirements import check_classifier
from intriguing.scale.engine import HERE, Engine
from intriguing.scale.finished import Column, Shards
from intriguing.scale.shards import run_in_shards

SHARD_SIZE = 500
"""Images in a shard at most: ten thousand are as many for each of several workers, an interruption
costs seconds, and larger batches gain a CPU nothing."""

Goals: TypeAlias = Int64[Tensor, " image"] | Literal["untargeted", "all"]
"""What the images are to be taken for: a class each, any wrong class, or every one by itself."""

COLUMNS = (
    "adversarial", "distortion", "l2", "success", "status", "targets", "c", "gap", "local_gap",
    "curve", "forward_passes", "backward_passes",
)  # fmt: skip
"""Tensors of a shard, as in `Distortions`."""
LARGE = "adversarial"
"""That which takes as much as the images."""


@dataclass(frozen=True)
class Attacked:
    """Minimum distortions of an image set that stay on disk; columns as in `Distortions`.

    Attributes:
        images: The originals.
        shards: Where the results are.
        method: How they were searched.
    """

    images: ImageSet
    shards: Shards
    method: str = "closest"

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def columns(self) -> Mapping[str, Tensor]:
        """Every column by its name, read when it is first asked for."""
        return _Columns(self.shards, self.images)

    @property
    def distortion(self) -> Float[Tensor, " image"]:
        """sqrt(mean r²) of each image; infinite where nothing was found."""
        return self.columns["distortion"]

    @property
    def success(self) -> Bool[Tensor, " image"]:
        """Whether an adversarial image was found."""
        return self.columns["success"]

    @property
    def status(self) -> Int64[Tensor, " image"]:
        """Codes of `Status`."""
        return self.columns["status"]

    @property
    def forward_passes(self) -> Int64[Tensor, " image"]:
        """What each image cost."""
        return self.columns["forward_passes"]

    @property
    def backward_passes(self) -> Int64[Tensor, " image"]:
        """What each image cost."""
        return self.columns["backward_passes"]

    @property
    def sizes(self) -> Float[Tensor, " found"]:
        """Distortions of the images for which an adversarial image was found."""
        return self.distortion[self.success]

    @property
    def mean(self) -> float:
        """The average of these."""
        return float(self.sizes.double().mean())

    @property
    def passes(self) -> tuple[int, int]:
        """Images forward and backward."""
        return int(self.forward_passes.sum()), int(self.backward_passes.sum())

    @property
    def cost(self) -> Float[Tensor, " image"]:
        """Passes of each image, a pass being half a forward and a backward one."""
        return (self.forward_passes + self.backward_passes).double() / 2

    @property
    def wall_seconds(self) -> float:
        """What the search took, whichever process did it."""
        return self.shards.wall_seconds

    def statuses(self) -> dict[str, int]:
        """How many images ended how."""
        counts = Counter(self.status.tolist())
        return {Status(code).name: counts[code] for code in sorted(counts)}

    def rows(self, size: int) -> Iterator[tuple[ImageSet, dict[str, Tensor]]]:
        """Consecutive pieces of at most so many images, without the examples."""
        small = [name for name in COLUMNS if name != LARGE]
        for start in range(0, len(self), size):
            items = slice(start, min(start + size, len(self)))
            images = self.images.subset(torch.arange(items.start, items.stop))
            yield images, {name: self.columns[name][items] for name in small}

    def parts(self) -> Iterator[tuple[ImageSet, dict[str, Tensor]]]:
        """The images and their results, one shard in memory at a time."""
        for items, columns in zip(self.shards.slices, self.shards, strict=True):
            yield self.images.subset(torch.arange(len(self))[items]), columns

    def found(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Originals x, adversarial images x′ and true labels, where found, shard by shard."""
        for images, columns in self.parts():
            kept = columns["success"].nonzero()[:, 0]
            yield images.images[kept], columns["adversarial"][kept], images.labels[kept]


def _seconds(
    asked: Classifier, images: ImageSet, search: Search, targets: Goals, classes: int
) -> float | None:
    """Seconds that the search for an image takes a worker, by a pass of a few; None if unknown."""
    if search.passes is None or not len(images):
        return None
    searches = classes - 1 if isinstance(targets, str) and targets == "all" else 1
    return pass_seconds(asked, next(images.pixels(_PROBED))) * search.passes * searches


_PROBED = 8
"""Images of a pass that is timed."""


class _Columns(dict[str, Tensor]):
    """The columns of shards; the examples of images that are not in memory stay on disk, too."""

    def __init__(self, shards: Shards, images: ImageSet) -> None:
        super().__init__()
        self._shards, self._images = shards, images

    def __missing__(self, name: str) -> Tensor:
        on_disk = name == LARGE and not self._images.in_memory
        column = self[name] = (
            cast(Tensor, Column(self._shards, name)) if on_disk else self._shards.column(name)
        )
        return column


def attack_in_shards(
    model: nn.Module,
    images: ImageSet,
    targets: Goals,
    folder: Path,
    *,
    shard_size: int = SHARD_SIZE,
    method: str | Search = "closest",
    budget: int | None = None,
    config: Config | None = None,
    box: Box | Sequence[float | Tensor] = UNIT_BOX,
    levels: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    engine: Engine = HERE,
    stage: str = "minimum distortion",
    progress: ProgressCallback | None = None,
) -> Attacked:
    """`minimum_distortion` of every image, written to `folder` shard by shard.

    The same call after an interruption computes only the shards that are missing, and so ends
    with the same results.  Shards of another model, other images, targets or settings are never
    used.

    Args:
        model: Any classifier in evaluation mode; its device and dtype are used.
        images: The set.
        targets: A wrong class an image, drawn for the whole set (see `choose_targets`);
            "untargeted" for any wrong class; or "all" for every wrong class by itself.
        folder: For the shards of this model on this set.
        shard_size: Images in a shard.
        method, budget, config, box, levels, seed, batch_size: As in `minimum_distortion`.
        engine: Who computes.
        stage: How progress calls this.
        progress: Called with the number of finished images.

    Raises:
        InputError: As `minimum_distortion`, before any work.
    """
    box, folder = as_box(box), as_folder(folder)
    search = Search.of(
        method, budget=budget, levels=levels, seed=seed, batch_size=batch_size, config=config
    )
    search.check_goal(untargeted=isinstance(targets, str) and targets == "untargeted")
    if images.in_memory:
        check_images(images.images, box)
    asked = Classifier.of(model)
    classes = check_classifier(asked, images.images[:8], images.labels, finite=False)
    if isinstance(targets, Tensor):
        targets = check_targets(targets, images.labels.cpu(), classes)
    dtype = next(iter(own_dtypes(model)), asked.dtype)
    given = derive_key(
        model, dtype, asked.device.type, images.sha256, targets, search.complete, box, __version__
    )

    def compute(items: slice, report: Callable[[int], None]) -> dict[str, Tensor]:
        pixels, labels = images.images[items], images.labels[items]
        goals = targets if isinstance(targets, str) else targets[items]
        good = torch.arange(len(labels))
        if not images.in_memory:
            good = (~pixels.flatten(1).isnan().all(1)).nonzero()[:, 0]
        if not len(good):
            return without(items, Status.UNREADABLE)
        result = minimum_distortion(
            model,
            pixels[good],
            labels[good],
            goals if isinstance(goals, str) else goals[good],
            search,
            box=box,
            progress=lambda step: report(step.done * (items.stop - items.start) // step.total),
        )
        # A file takes no two tensors of one memory, as columns of nothing but NaN may be.
        made = {name: getattr(result, name).clone() for name in COLUMNS}
        if len(good) == len(labels):
            return made
        columns = without(items, Status.UNREADABLE)
        return {n: c.to(made[n].dtype).index_copy(0, good, made[n]) for n, c in columns.items()}

    def without(items: slice, why: Status = Status.GIVEN_UP) -> dict[str, Tensor]:
        count = items.stop - items.start
        lost = torch.empty(count, *images.images.shape[1:], dtype=asked.dtype)
        zeros = torch.zeros(count, dtype=torch.int64)
        nothing, far = lost.new_full((count,), torch.nan), lost.new_full((count,), torch.inf)
        wanted = targets[items] if isinstance(targets, Tensor) else zeros - 1
        return {
            "adversarial": torch.full_like(lost, torch.nan), "distortion": far, "l2": far.clone(),
            "success": zeros.bool(), "status": zeros + int(why), "targets": wanted,
            "c": nothing, "gap": nothing.clone(), "local_gap": nothing.clone(),
            "curve": torch.full((count, len(BUDGETS)), torch.inf),
            "forward_passes": zeros.clone(), "backward_passes": zeros.clone(),
        }  # fmt: skip

    shards = run_in_shards(
        compute, len(images), shard_size, folder, given, engine=engine,
        gpu=asked.device.type == "cuda", given_up=without, stage=stage, progress=progress,
        each=partial(_seconds, asked, images, search, targets, classes),
    )  # fmt: skip
    return Attacked(images, shards, search.method)
