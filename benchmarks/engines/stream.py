"""Time and memory of an attack, or of an audit, of pictures that stay in their file.

    python benchmarks/engines/stream.py attack [--images 1000000] [--workers 2]
    python benchmarks/engines/stream.py audit [--images 100000] [--workers 2]

The pictures are synthetic, 8×8 in one Parquet file; networks are linear; `ddn` takes 3 passes.
Memory is the peak of the driver above its imports, and of the largest worker.  A row goes to
`benchmarks/figures/stream.csv` or `all_images.csv`.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from measuring import apart, keep, largest_child, peak, spent, timed
from torch import nn

import intriguing as it
from intriguing.data.sources import load_images
from intriguing.report.contents import read_contents
from intriguing.report.html import draw_report
from intriguing.runs import attacking
from intriguing.runs.examples import Examples, Pictures, Summary
from intriguing.runs.request import Request, Work
from intriguing.runs.run import run_all
from intriguing.runs.stage import Network


def write_pictures(path: Path, count: int) -> None:
    """Of noise."""
    draw = np.random.default_rng(0)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    with pq.ParquetWriter(path, pa.schema([("image", image), ("label", pa.int64())])) as writer:
        for start in range(0, count, 10_000):
            pixels = draw.integers(0, 256, (min(10_000, count - start), 64), dtype=np.uint8)
            rows = [{"bytes": b"P5 8 8 255\n" + one.tobytes(), "path": None} for one in pixels]
            labels = draw.integers(0, 10, len(rows))
            table = pa.table({"image": rows, "label": labels}, schema=writer.schema)
            writer.write_table(table, row_group_size=5000)


def attack(path: str, out: str, workers: int) -> None:
    """What the verb does, then its report, then the same command again."""
    torch.set_num_threads(1)
    folder = Path(out)
    before, start, began = peak(), sum(spent().values()), time.perf_counter()
    images = load_images(path, (1, 8, 8), stream=True).images
    torch.manual_seed(0)
    given = Network("linear", nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval())
    plan = attacking.plan(given.model, images, "random", 0)
    found = Examples(given, plan, it.Search("ddn", 3), shard_size=5000)
    asked = Request("attack", {}, networks=(given,), images=(images,), tables=("attack",))
    work = Work(asked, [found, Summary(given, found), Pictures(given, found)])
    engine = it.Engine("processes", workers=workers)
    with largest_child() as largest:
        run_all(work, folder, engine=engine)
    wall, used = time.perf_counter() - began, sum(spent().values()) - start
    drawn, again = timed(lambda: draw_report(folder)), 0.0
    again = timed(lambda: run_all(work, folder, engine=engine))
    keep("stream", {
        "images": len(images), "cpu_seconds": round(used, 1), "wall_seconds": round(wall, 1),
        "driver_gb": round(peak() - before, 2), "imports_gb": round(before, 2),
        "worker_gb": round(largest[0], 2), "report_seconds": round(drawn, 1),
        "again_seconds": round(again, 1),
    })  # fmt: skip


def audit(path: str, out: str, workers: int) -> None:
    """Of two networks that read nearly all images alike; all of them are attacked."""
    torch.set_num_threads(1)
    folder = Path(out)
    before, start = peak(), sum(spent().values())
    images = load_images(path, (1, 8, 8), stream=True).images
    torch.manual_seed(0)
    models = {n: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval() for n in ("one", "other")}
    weight = models["one"][1].weight.detach()
    models["other"][1].weight = nn.Parameter(weight + 0.01 * torch.randn_like(weight))
    models["other"][1].bias = models["one"][1].bias
    config = it.AuditConfig(
        images=None, method="ddn", budget=3, semidefinite=False, rotations=3, untrained=0
    )
    with largest_child() as largest:
        done = it.run_audit(
            models, images, folder, config, labelled=False,
            engine=it.Engine("processes", workers=workers),
        )  # fmt: skip
    keep("all_images", {
        "images": len(images), "attacked": read_contents(folder).attacked.images // 2,
        "failed": sum(one.status == "failed" for one in done.records),
        "cpu_seconds": round(sum(spent().values()) - start, 1),
        "driver_gb": round(peak() - before, 2), "worker_gb": round(largest[0], 2),
    })  # fmt: skip


def main() -> None:
    """One measurement, in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kinds = {"attack": (attack, 1_000_000), "audit": (audit, 100_000)}
    parser.add_argument("what", choices=tuple(kinds))
    parser.add_argument("--images", type=int)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    what, usual = kinds[given.what]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "pictures.parquet"
        write_pictures(path, given.images or usual)
        apart(what, str(path), str(Path(place) / "out"), given.workers)


if __name__ == "__main__":
    main()
