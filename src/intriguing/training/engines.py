"""How processes share a training: one alone, copies (DDP), shards (FSDP2), or locations.

    alone      one process
    copies     every process holds all weights and sees its share of the batch; gradients are
               averaged (DistributedDataParallel)
    shards     every process holds its share of each weight, gathers a stage while it computes, and
               sees its share of the batch (fully_shard)
    locations  every process holds its band of rows of each untied layer and sees the whole batch;
               activations' borders move, weights never (`locations`)

`torchrun` starts the processes; each of them calls the same functions.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from intriguing.errors import InputError
from intriguing.models.classifier import device_of
from intriguing.models.families.quocnet import QuocNet, Stage
from intriguing.training.locations import LocatedQuocNet, LocatedStage, as_whole
from intriguing.training.order import share
from intriguing.training.steps import Work

Engine: TypeAlias = Literal["alone", "copies", "shards", "locations"]
Take: TypeAlias = Callable[[Tensor], Tensor]
"""From places in the training set to images on the model's device and in its dtype."""


@contextmanager
def processes(device: torch.device | str = "cpu") -> Iterator[tuple[int, int]]:
    """(rank, size) of the processes that torchrun started, joined while the block runs.

    Without torchrun it is (0, 1) and nothing is joined.
    """
    if "WORLD_SIZE" not in os.environ:
        yield 0, 1
        return
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()


class Reconstruction:
    """A QuocNet whose stages are trained one after another by an engine.

    Args:
        network: The whole network on this process's device; of `locations` and `shards` this
            process keeps its part, and `gathered` fills the whole again.
        engine: How processes share the work.
    """

    def __init__(self, network: QuocNet, engine: Engine = "alone") -> None:
        self.network, self.engine = network, engine
        joined = dist.is_initialized()
        if engine != "alone" and not joined:
            raise InputError(f"engine {engine} needs processes; start them with torchrun")
        if engine == "alone" and joined and dist.get_world_size() > 1:
            raise InputError(
                f"{dist.get_world_size()} processes would all do the same; give an engine: "
                "copies, shards or locations"
            )
        self.rank, self.size = (dist.get_rank(), dist.get_world_size()) if joined else (0, 1)
        self.mesh: DeviceMesh | None = None
        self.located: LocatedQuocNet | None = None
        if engine in ("shards", "locations"):
            kind = device_of(network).type
            self.mesh = init_device_mesh(kind, (self.size,))
        if engine == "locations":
            self.located = LocatedQuocNet(network, self.rank, self.size)
        if engine == "shards":
            for stage in network.stages:
                fully_shard(stage, mesh=self.mesh)
                register_fsdp_forward_method(stage, "objective")

    def work(self, number: int, take: Take, sparsity: float) -> Work:
        """This process's part of training stage `number`, from 0; other stages are left alone."""
        if self.located is not None:
            return self._located_work(self.located, number, take, sparsity)
        stage = self._stage(number)
        for i, other in enumerate(self.network.stages):
            other.requires_grad_(i == number)
        objective: Callable[[Tensor, float], Tensor] = stage.objective
        if self.engine == "copies":
            objective = DistributedDataParallel(_Objective(stage))

        def loss(places: Tensor) -> Tensor:
            mine = share(places, self.rank, self.size)
            with torch.no_grad():
                x = self.network.whitening(take(mine))
                for below in list(self.network.stages)[:number]:
                    x = below(x)
            return objective(x, sparsity) / len(places)

        return Work(loss, dict(stage.named_parameters()), lambda whole: whole, float(self.size))

    def gathered(self) -> QuocNet:
        """The whole network on every process, its weights as trained so far."""
        with torch.no_grad():
            if self.located is not None:
                for band, stage in zip(self.located.stages, self.network.stages, strict=True):
                    assert isinstance(band, LocatedStage)
                    assert isinstance(stage, Stage)
                    self._fill(stage.filter.weight, band.weight)
                    if stage.decoder is not None and band.decoder is not None:
                        self._fill(stage.decoder, band.decoder)
            if self.engine == "shards":
                whole = QuocNet(
                    self.network.config,
                    asymmetric=self._stage(0).decoder is not None,
                    dtype=self.network.whitening.mean.dtype,
                    device=self.network.whitening.mean.device,
                )
                state = {
                    name: value.full_tensor() if isinstance(value, DTensor) else value
                    for name, value in self.network.state_dict().items()
                }
                whole.load_state_dict(state)
                return whole
        return self.network

    def _located_work(
        self, located: LocatedQuocNet, number: int, take: Take, sparsity: float
    ) -> Work:
        stage = located.stages[number]
        assert isinstance(stage, LocatedStage)
        assert self.mesh is not None
        mesh, rows = self.mesh, stage.size.filtered[1]

        def loss(places: Tensor) -> Tensor:
            with torch.no_grad():
                x = located.entering(take(places), number)
            return stage.objective(x, sparsity) / len(places)

        names = {"weight": "filter.weight", "decoder": "decoder"}
        parameters = {names[name]: p for name, p in stage.named_parameters()}
        return Work(loss, parameters, lambda band: as_whole(band, mesh, rows))

    def _stage(self, number: int) -> Stage:
        return cast(Stage, self.network.stages[number])

    def _fill(self, whole: Tensor, band: Tensor) -> None:
        assert self.mesh is not None
        whole.copy_(as_whole(band.detach(), self.mesh, len(whole)).full_tensor())


class _Objective(nn.Module):
    """A stage's objective as DistributedDataParallel can call it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, x: Tensor, sparsity: float) -> Tensor:
        return self.stage.objective(x, sparsity)


def classification_work(
    model: nn.Module, take: Take, labels: Tensor, engine: Engine = "alone"
) -> Work:
    """This process's part of training a classifier, AlexNet for instance, by cross-entropy.

    Args:
        model: From images to logits, on this process's device.
        take: As above.
        labels: Of the whole training set, on that device.
        engine: "alone", "copies" or "shards".

    Raises:
        InputError: For "locations": its weights are shared between places.
    """
    if engine == "locations":
        raise InputError("locations are for untied weights; choose copies or shards")
    size = 1 if engine == "alone" else dist.get_world_size()
    rank = 0 if engine == "alone" else dist.get_rank()
    parameters = dict(model.named_parameters())
    if engine == "shards":
        kind = device_of(model).type
        fully_shard(model, mesh=init_device_mesh(kind, (size,)))
        parameters = dict(model.named_parameters())
    wrapped = DistributedDataParallel(model) if engine == "copies" else model

    def loss(places: Tensor) -> Tensor:
        mine = share(places, rank, size)
        logits = wrapped(take(mine))
        targets = labels[mine.to(labels.device)]
        return cross_entropy(logits, targets, reduction="sum") / len(places)

    return Work(loss, parameters, lambda whole: whole, float(size))
