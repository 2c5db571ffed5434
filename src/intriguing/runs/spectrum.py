"""How far each layer of a network, and the whole, can carry a small change."""

from dataclasses import dataclass
from typing import ClassVar

from intriguing.data.dataset import ImageSet
from intriguing.measures import Box
from intriguing.names import file_name
from intriguing.runs.bounding import Shape, analyse, check_traceable, write_spectra
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage


@dataclass(frozen=True)
class Spectrum(Stage):
    """Bounds and singular values of every layer.

    Attributes:
        network: Whose layers.
        shape: Of one image.
        images: Near which lower bounds are taken; random points when None.
        domain: The interval that pixels lie in, for operations bounded on a bounded domain only.
        semidefinite: Whether a bound better than products is searched.
        seed: Draws the random points.
    """

    name: ClassVar[str] = "spectrum"
    network: Network
    shape: Shape
    images: ImageSet | None
    domain: Box | None
    semidefinite: bool
    seed: int

    def compute(self, run: Run) -> Made:
        """A row a layer, of the network, and of the product; singular values as tensors."""
        name, model = self.network.name, self.network.model
        check_traceable(name, model, self.shape)
        analysed = analyse(
            name, model, self.shape, images=self.images, domain=self.domain,
            semidefinite=self.semidefinite, seed=self.seed, progress=run.progress,
        )  # fmt: skip
        write_spectra(run.folder, name, analysed.spectra, file_name("spectrum", name))
        return Made(tuple(analysed.rows), notes=analysed.notes)
