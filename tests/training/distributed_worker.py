"""What each process of `test_distributed` does: python -m torch.distributed.run … THIS TASK OUT.

engines  20 steps of two stages by every engine, losses and final weights
kill     locations, process 1 dies in step 13; a checkpoint every 5 steps
alexnet  a narrow AlexNet by copies and shards
"""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor

from intriguing.models.families.quocnet import QuocNet, QuocNetConfig, StageConfig
from intriguing.training.engines import Reconstruction, classification_work, processes
from intriguing.training.steps import Steps, train_steps

CONFIG = QuocNetConfig(
    "test", (2, 19, 17),
    (StageConfig(5, 3, pool=3), StageConfig(4, 2, stride=2, pool=2, contrast=3)), whitening=3,
)  # fmt: skip
STEPS = Steps(20, batch=6, rate=0.01, warmup=4, every=5)
IMAGES = 15


def pictures(dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(IMAGES, *CONFIG.shape, generator=generator).to(dtype)


def network(dtype: torch.dtype) -> QuocNet:
    made = QuocNet(CONFIG, asymmetric=True, dtype=dtype)
    made.reset_parameters(torch.Generator().manual_seed(2))
    return made


def train(engine: str, dtype: torch.dtype, checkpoint: Path | None = None) -> tuple[list, QuocNet]:
    """Both stages one after another; the losses and the whole network."""
    images, losses = pictures(dtype), []
    job = Reconstruction(network(dtype), engine)  # type: ignore[arg-type]
    for number in (0, 1):
        work = job.work(number, lambda places: images[places], sparsity=0.3)
        path = None if checkpoint is None else checkpoint / f"stage{number}"
        report = train_steps(work, IMAGES, STEPS, seed=3, checkpoint=path)
        losses += report.history
    return losses, job.gathered()


def gradient(out: Path, rank: int) -> None:
    """The gradient of one batch by locations, put together."""
    images = pictures(torch.float64)
    job = Reconstruction(network(torch.float64), "locations")
    work = job.work(0, lambda places: images[places], sparsity=0.3)
    (work.loss(torch.arange(IMAGES)) * IMAGES).backward()
    whole = {
        name: work.whole(parameter.grad).full_tensor().contiguous()  # type: ignore[attr-defined]
        for name, parameter in work.parameters.items()
        if parameter.grad is not None
    }
    if rank == 0:
        save_file(whole, out / "gradient.safetensors")


def alexnet(engine: str) -> list[float]:
    from intriguing.models.families.alexnet import AlexNet

    torch.manual_seed(0)
    model = AlexNet(classes=3, width=6).eval()  # no dropout: the noise differs by process
    images = torch.rand(4, 3, 227, 227, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, 1])
    work = classification_work(model, lambda places: images[places], labels, engine)  # type: ignore[arg-type]
    steps = Steps(3, batch=4, rate=0.01, optimizer="sgd", warmup=1)
    return list(train_steps(work, 4, steps, seed=0).history)


def main(task: str, out: Path) -> None:
    torch.set_num_threads(1)
    with processes() as (rank, _):
        if task == "engines":
            gradient(out, rank)
            for dtype, name in ((torch.float64, "double"), (torch.float32, "float")):
                for engine in ("copies", "shards", "locations"):
                    checkpoint = out / f"{engine}.checkpoint" if name == "double" else None
                    losses, whole = train(engine, dtype, checkpoint)
                    if rank == 0:
                        (out / f"{engine}-{name}.json").write_text(json.dumps(losses))
                        state = {k: v.contiguous() for k, v in whole.state_dict().items()}
                        save_file(state, out / f"{engine}-{name}.safetensors")
            for engine in ("copies", "shards"):
                losses = alexnet(engine)
                if rank == 0:
                    (out / f"alexnet-{engine}.json").write_text(json.dumps(losses))
        if task == "kill":
            images = pictures(torch.float64)
            job = Reconstruction(network(torch.float64), "locations")

            def take(places: Tensor) -> Tensor:
                take.calls += 1
                if take.calls == 13 and rank == 1:
                    os._exit(9)
                return images[places]

            take.calls = 0
            work = job.work(0, take, sparsity=0.3)
            train_steps(work, IMAGES, STEPS, seed=3, checkpoint=out / "killed")
        dist.barrier()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
