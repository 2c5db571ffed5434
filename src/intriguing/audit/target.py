"""Can every image become one chosen class, as a file that is classified afresh?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from intriguing.audit.attack import PICTURES
from intriguing.audit.probe import Cost, Probe
from intriguing.audit.stage import AuditStage, LeftOut
from intriguing.audit.subject import Subject, drawn
from intriguing.data.dataset import ImageSet
from intriguing.distortion.search import Search
from intriguing.errors import InputError
from intriguing.keys import APART
from intriguing.names import file_name
from intriguing.results.audit import Finding, Tile
from intriguing.results.measured import Measurement, Metric, first, where
from intriguing.results.published import paper_value
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network
from intriguing.runs.targeted import SHARD, make_target, target_rows, write_figure


@dataclass(frozen=True)
class Target(AuditStage):
    """Every chosen image as one class, in 8 bits.

    Attributes:
        target: The class; images of it are left out.
        search: How, for each image.
        shard_size: Images between two saves; apart, because no answer depends on it.
    """

    name: ClassVar[str] = "target"
    question: ClassVar[str] = "Can every image become one chosen class?"
    attacked: ClassVar[bool] = True
    network: Network
    images: ImageSet
    target: int
    search: Search
    shard_size: int = field(default=SHARD, metadata=APART)

    @classmethod
    def of(cls, subject: Subject, run: Run) -> Iterator["Target | LeftOut"]:
        """One a network."""
        for network in subject.networks:
            if subject.config.target is None:
                yield LeftOut(network.name, "No class was asked for (--target).", asked=False)
            else:
                yield cls._of(subject, network)

    @classmethod
    def costs(cls, probe: Probe) -> Iterator[Cost]:
        """The search of some images, with their files."""
        if probe.subject.config.target is None:
            return
        for network in probe.subject.networks:
            each = probe.each(network, lambda few, run: cls._of(few, few.networks[0]).compute(run))
            yield Cost(cls.name, network.name, 0.0, each, probe.attacked, True)

    @classmethod
    def _of(cls, subject: Subject, network: Network) -> "Target":
        config = subject.config
        assert config.target is not None
        return cls(
            network, subject.chosen, config.target, config.search(targeted=True),
            subject.shards.get(network.name, SHARD),
        )  # fmt: skip

    def compute(self, run: Run) -> Made:
        """How many became it, and how many still are as files; the pairs, and the files."""
        chosen = self.images.subset((self.images.labels != self.target).nonzero()[:, 0])
        name, called = self.network.name, self.images.called(self.target)
        if not len(chosen):
            raise InputError(
                f"all attacked images are of class {called} already; give another target"
            )
        made = make_target(
            self.network.model, chosen, run.folder, name=file_name(*self.identity),
            target=self.target, search=self.search, shard_size=self.shard_size,
            engine=run.engine, progress=run.progress,
        )  # fmt: skip
        write_figure(
            run.folder, f"Made {called} for {name}", made, name=file_name("figure5", name),
            network=name,
            rows=drawn(made.attacked.success.nonzero()[:, 0], PICTURES, self.search.seed),
        )  # fmt: skip
        found, rows = made.attacked, target_rows(name, made)
        return Made(
            tuple(rows), passes=found.passes, seconds=found.wall_seconds,
            finding=self._finding(rows, called),
        )  # fmt: skip

    def _finding(self, rows: Sequence[Measurement], called: str) -> Finding:
        """How many became the class, and at what price."""
        (became,), (again,) = (where(rows, metric=m) for m in (Metric.BECAME, Metric.REMAINED))
        said = (
            f"{self.network.name}: {became.count:,} of {became.total:,} images became “{called}”, "
            f"and {again.count:,} still are when the saved 8-bit PNG file is read back and "
            "classified afresh"
        )
        mean = first(rows, metric=Metric.MEAN_DISTORTION)
        if mean is None:
            return Finding(said, "found")
        said, beside, paper = f"{said}; mean distortion {mean.value:.4f}", "", paper_value(mean)
        if paper is not None:
            beside = f"paper: {paper:.6g}"
            said += f", where the paper's 64 images of Figure 5 took {paper:.6g}"
        tile = Tile(f"{mean.value:.4f}", f"mean distortion to “{called}”", beside)
        return Finding(said, "found", tile=tile)
