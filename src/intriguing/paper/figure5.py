"""Figure 5: photographs that all become ostriches, by changes that nobody sees."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from intriguing.data.dataset import ImageSet
from intriguing.distortion.closest import ClosestConfig
from intriguing.distortion.search import Search
from intriguing.errors import InputError
from intriguing.models.requirements import check_classifier
from intriguing.names import file_name
from intriguing.runs.predicting import first_correct
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.runs.targeted import COUNT, TARGET, make_target, target_rows, write_figure

if TYPE_CHECKING:
    from intriguing.paper.materials import Materials


@dataclass(frozen=True)
class Figure5(Stage):
    """The first images that a network classifies correctly, all changed into one class.

    Attributes:
        network: For photographs.
        images: With their classes.
        budget: Passes of each search.
    """

    name: ClassVar[str] = "figure5"
    question: ClassVar[str] = "Can every photograph become an ostrich?"
    network: Network
    images: ImageSet
    budget: int

    def compute(self, run: Run) -> Made:
        """The table's row, and the pictures."""
        name, model, images = self.network.name, self.network.model, self.images
        chosen = first_correct([model], images, COUNT, 0, without=TARGET)
        files = file_name(*self.identity)
        made = make_target(
            model, images.subset(chosen), run.folder, name=files,
            search=Search(budget=self.budget, config=ClosestConfig(budget=self.budget)),
            engine=run.engine, progress=run.progress,
        )  # fmt: skip
        title = f"Figure 5. Made {images.called(TARGET)} for {name}"
        write_figure(run.folder, title, made, name=files, network=name)
        found = made.attacked
        note = (
            f"Figure 5 is of the first {len(chosen)} images, in an order drawn by seed 0, that "
            f"{name} classifies correctly and that are no ostriches; none was left out. The "
            "paper's 64 images and network are others, so the distortions agree in size at most."
        )
        return Made(
            tuple(target_rows(name, made)), notes=(note,),
            passes=found.passes, seconds=found.wall_seconds,
        )  # fmt: skip


def make(given: "Materials") -> list[Stage]:
    """Of the given network and photographs.

    Raises:
        InputError: If these say nothing of classes, or of ostriches.
    """
    network, images = given.photographs.network, given.photographs.images
    if not given.photographs.labelled:
        raise InputError(
            f"{given.config.images} does not say what its pictures show, and Figure 5 is of those "
            "that are classified correctly; put each class in a subfolder, or add a labels.csv"
        )
    classes = check_classifier(network.model, images.images[:8], images.labels)
    if classes <= TARGET:
        raise InputError(
            f"{given.config.network} has {classes} classes, so none is the ostrich, class {TARGET};"
            " give a network for ImageNet, or `intriguing audit --target CLASS`"
        )
    return [Figure5(network, images, given.config.budget)]
