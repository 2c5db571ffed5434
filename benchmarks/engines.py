"""The same attack here, by processes and by Ray: the same bytes, at what overhead, whatever dies.

    python benchmarks/engines.py same [--images 10000] [--workers 2] [--budget 30]
    python benchmarks/engines.py audited [--images 10000] [--workers 2] [--budget 30]
    python benchmarks/engines.py deaths [--images 4000] [--deaths 20] [--shard 100]
    python benchmarks/engines.py stream [--images 1000000]
    python benchmarks/engines.py all [--images 100000]
    python benchmarks/engines.py manifest [--images 10000000] [--shard 5000]
    python benchmarks/engines.py report [--images 1000000]

`same`: times of each engine, with starts of workers and without that of Ray's cluster, and whether
all tensors are equal to the byte. What other work leaves of the cores decides wall time: so CPU
time is measured, too, and what the wall time is on free cores: that of the longest of an engine's
processes, or of all divided by the cores. A row an engine goes to `benchmarks/figures/engines.csv`.
`audited`: whether the rows and tensors of a whole audit are, all images attacked; a row an engine
goes to `benchmarks/figures/audited.csv`. `deaths`: on a Ray cluster of a head and two more nodes on
this machine, workers are killed by SIGKILL, nodes lost and added, and the driver is killed and
started again, at random moments; then the shards are compared with an undisturbed run's. `stream`:
time, and the peak of memory of the driver above its imports and of a worker, for synthetic pictures
that stay in their Parquet file. `all`: the same of an audit of two networks that attacks all of
them; a row goes to `benchmarks/figures/all_images.csv`. `manifest`: CPU time and memory above the
imports until it is known what a set of so many images is and which of its shards, all of which are
there, need not be computed; a row goes to `benchmarks/figures/manifest.csv`. `report`: the same of
an audit's report, drawn from so many rows of images and of certificates; a row goes to
`benchmarks/figures/report.csv`.
"""

import argparse
import csv
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import nn

import intriguing as it
from intriguing.data.sources import load_images
from intriguing.report.contents import read_contents
from intriguing.report.html import draw_report
from intriguing.results.parquet import write_columns
from intriguing.results.rows import CertificateRow, ImageRow
from intriguing.runs import attacking
from intriguing.runs.examples import Examples, Pictures, Summary
from intriguing.runs.request import Request, Work
from intriguing.runs.run import run_all
from intriguing.runs.stage import Network
from intriguing.scale.shards import run_in_shards

FIGURES = Path(__file__).parent / "figures"


@cache
def digits(count: int) -> it.ImageSet:
    """MNIST's digits that packages carry, then the same a pixel farther right, and so on."""
    pair = it.load_data("mnist-5k")
    images = torch.cat([pair.train.images, pair.test.images])
    labels = torch.cat([pair.train.labels, pair.test.labels])
    times = -(-count // len(images))
    moved = torch.cat([images.roll(step, -1) for step in range(times)])[:count]
    ids = tuple(f"digit/{place:06}" for place in range(count))
    return it.ImageSet("digits", moved, labels.repeat(times)[:count], ids, pair.test.class_names)


@cache
def network() -> nn.Module:
    """FC100-100-10 after an epoch or so; its weights are those of its seed."""
    images = digits(5000)
    torch.manual_seed(0)
    model = it.build_network("fc100-100-10")
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(10):
        for batch in torch.randperm(len(images)).split(100):
            loss = nn.functional.cross_entropy(model(images.images[batch]), images.labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.eval()


def attack(
    folder: Path, engine: it.Engine, count: int, budget: int, shard_size: int = 500
) -> float:
    """Wall seconds of the attack of so many digits, to any wrong class."""
    model, images = network(), digits(count)
    start = time.perf_counter()
    it.attack_in_shards(
        model, images, "untargeted", folder, shard_size=shard_size, budget=budget, engine=engine
    )
    return time.perf_counter() - start


def digest(folder: Path) -> str:
    """Of all tensors of the shards, without the times that stand beside them."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        content = path.read_bytes()
        found.update(path.name.encode() + content[8 + int.from_bytes(content[:8], "little") :])
    return f"{found.hexdigest()[:16]} of {len(list(folder.glob('*.safetensors')))} shards"


def same(arguments: argparse.Namespace) -> None:
    """Times and digests of all engines."""
    free: dict[str, float] = {}
    network(), digits(arguments.images)  # read and trained before time is taken
    for engine in _engines(arguments.workers):
        name, workers = engine.engine, engine.workers
        with tempfile.TemporaryDirectory() as folder:
            before = _spent()
            wall = attack(Path(folder), engine, arguments.images, arguments.budget)
            spent = {one: time - before.get(one, 0.0) for one, time in _spent().items()}
            free[name] = max(*spent.values(), sum(spent.values()) / (workers or 1))
            row = {
                "engine": name, "workers": workers or 1, "images": arguments.images,
                "budget": arguments.budget, "wall_seconds": round(wall, 1),
                "cpu_seconds": round(sum(spent.values()), 1),
                "on_free_cores": round(free[name], 1), "digest": digest(Path(folder)),
                "load": round(os.getloadavg()[0], 1),
            }  # fmt: skip
            print(row, flush=True)
            _append(FIGURES / "engines.csv", row)
    print(f"on free cores: here / processes {free['here'] / free['processes']:.2f}, ", end="")
    print(f"ray / processes {free['ray'] / free['processes']:.3f}")


def audited(arguments: argparse.Namespace) -> None:
    """Digests of what each engine leaves of an audit of two networks."""
    networks = {"net": network(), "other": it.build_network("fc10").eval()}
    images = digits(arguments.images)
    config = it.AuditConfig(images=None, budget=arguments.budget, rotations=19, untrained=0)
    for engine in _engines(arguments.workers):
        with tempfile.TemporaryDirectory() as folder:
            before, start = _spent(), time.perf_counter()
            done = it.run_audit(
                networks, images, folder, config, engine=engine, labelled=False, report=False
            )
            spent = sum(_spent().values()) - sum(before.values())
            row = {
                "engine": engine.engine, "workers": engine.workers or 1, "images": len(images),
                "budget": arguments.budget,
                "done": sum(one.status == "done" for one in done.records),
                "failed": sum(one.status == "failed" for one in done.records),
                "rows": _contents(Path(folder) / "rows"),
                "tensors": _contents(Path(folder) / "tensors"),
                "wall_seconds": round(time.perf_counter() - start, 1),
                "cpu_seconds": round(spent, 1), "load": round(os.getloadavg()[0], 1),
            }  # fmt: skip
            print(row, flush=True)
            _append(FIGURES / "audited.csv", row)


def _contents(folder: Path) -> str:
    """Digest of all files."""
    found, paths = hashlib.sha256(), sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths:
        found.update(path.name.encode() + path.read_bytes())
    return f"{found.hexdigest()[:16]} of {len(paths)} files"


def _engines(workers: int) -> Iterator[it.Engine]:
    """Each with so many workers; Ray's cluster is started before it is needed."""
    yield it.Engine("here")
    yield it.Engine("processes", workers=workers)
    import ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    yield it.Engine("ray", workers=workers)


def _spent() -> dict[int, float]:
    """CPU seconds of this process and of all that it started, and they, by their numbers."""
    ticks, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            said = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(path.name)] = int(said[1])
        ticks[int(path.name)] = (int(said[11]) + int(said[12])) / os.sysconf("SC_CLK_TCK")
    own = {os.getpid()}
    while more := {one for one, parent in parents.items() if parent in own} - own:
        own |= more
    return {one: ticks[one] for one in own}


def _append(path: Path, row: dict[str, object]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def deaths(arguments: argparse.Namespace) -> None:
    """Kill at random until the attack is done, and compare."""
    from ray.cluster_utils import Cluster

    draw = random.Random(arguments.seed)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    root = Path(tempfile.mkdtemp())
    driver = _driver(root / "disturbed", cluster.address, arguments)
    done: dict[str, int] = {}
    before = 0
    while driver.poll() is None:
        time.sleep(draw.uniform(0.0, 4.0))
        shards = len(list((root / "disturbed").glob("*.safetensors")))
        if sum(done.values()) == arguments.deaths or shards == before:
            continue
        before = shards
        what = draw.choices(("worker", "node", "driver"), (16, 2, 2))[0]
        if what == "worker":
            if not (victims := _actors()):
                continue
            os.kill(draw.choice(victims), signal.SIGKILL)
        elif what == "node":
            cluster.remove_node(nodes.pop(draw.randrange(2)), allow_graceful=False)
            nodes.append(cluster.add_node(num_cpus=1))
        else:
            driver.kill()
            driver.wait()
            driver = _driver(root / "disturbed", cluster.address, arguments)
        done[what] = done.get(what, 0) + 1
        print(f"{time.strftime('%X')}  {what} killed, {shards} shards there", flush=True)
    attack(root / "here", it.Engine(), arguments.images, arguments.budget, arguments.shard)
    for name in ("disturbed", "here"):
        print(f"{name:<10}{digest(root / name)}")
    print(f"ended with {driver.returncode} after {done}")
    cluster.shutdown()
    shutil.rmtree(root)


def _driver(folder: Path, address: str, arguments: argparse.Namespace) -> "subprocess.Popen[bytes]":
    words = [folder, address, arguments.images, arguments.budget, arguments.shard]
    return subprocess.Popen([sys.executable, __file__, "drive", *map(str, words)])


def _actors() -> list[int]:
    """The processes of workers, on nodes that this process started."""
    found, parents = [], {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            said = (path / "status").read_text()
            parents[int(path.name)] = int(said.split("PPid:")[1].split()[0])
            if (path / "cmdline").read_bytes().startswith(b"ray::_Actor"):
                found.append(int(path.name))
        except OSError:  # it has ended
            continue
    return [one for one in found if parents.get(parents.get(one, 0)) == os.getpid()]


def stream(arguments: argparse.Namespace) -> None:
    """A run of the attack verb's stages over pictures that stay in their file."""
    with tempfile.TemporaryDirectory() as place:
        path, folder = Path(place) / "pictures.parquet", Path(place) / "out"
        _write_pictures(path, arguments.images)
        before = _peak()
        images = load_images(str(path), (1, 8, 8), stream=True).images
        torch.manual_seed(0)
        given = Network("linear", nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval())
        plan = attacking.plan(given.model, images, "random", 0)
        found = Examples(given, plan, it.Search("ddn", 3), shard_size=5000)
        asked = Request("attack", {}, networks=(given,), images=(images,), tables=("attack",))
        work = Work(asked, [found, Summary(given, found), Pictures(given, found)])
        engine = it.Engine("processes", workers=arguments.workers)
        with _largest_child() as largest:
            attacked = _timed(lambda: run_all(work, folder, engine=engine))
        drawn, again = _timed(lambda: draw_report(folder)), 0.0
        again = _timed(lambda: run_all(work, folder, engine=engine))
        print(
            f"{arguments.images:,} images: {attacked:.0f} s, report {drawn:.1f} s, the same command"
            f" again {again:.1f} s; memory of the driver {before:.2f} GB after imports, at most "
            f"{_peak() - before:.2f} GB more; of a worker at most {largest[0]:.2f} GB"
        )


def all_images(arguments: argparse.Namespace) -> None:
    """An audit of all pictures of a file, in which they stay; a process, of which the peak is."""
    with tempfile.TemporaryDirectory() as place:
        path, folder = Path(place) / "pictures.parquet", Path(place) / "out"
        _write_pictures(path, arguments.images)
        words = str(path), str(folder), str(arguments.workers)
        subprocess.run([sys.executable, __file__, "audit", *words], check=True)


def _audit(path: str, folder: str, workers: str) -> None:
    before, start = _peak(), _spent()
    images = load_images(path, (1, 8, 8), stream=True).images
    torch.manual_seed(0)
    models = {n: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval() for n in ("one", "other")}
    weight = models["one"][1].weight.detach()  # the other reads nearly all images alike
    models["other"][1].weight = nn.Parameter(weight + 0.01 * torch.randn_like(weight))
    models["other"][1].bias = models["one"][1].bias
    config = it.AuditConfig(
        images=None, method="ddn", budget=3, semidefinite=False, rotations=3, untrained=0
    )
    with _largest_child() as largest:
        done = it.run_audit(
            models, images, folder, config, labelled=False,
            engine=it.Engine("processes", workers=int(workers)),
        )  # fmt: skip
    row = {
        "images": len(images), "attacked": read_contents(Path(folder)).attacked.images // 2,
        "failed": sum(one.status == "failed" for one in done.records),
        "cpu_seconds": round(sum(_spent().values()) - sum(start.values()), 1),
        "driver_gb": round(_peak() - before, 2), "worker_gb": round(largest[0], 2),
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    print(row, flush=True)
    _append(FIGURES / "all_images.csv", row)


def manifest(arguments: argparse.Namespace) -> None:
    """Open a set of pictures that nobody looks at, and go on with a run in which all is done."""
    with tempfile.TemporaryDirectory() as place:
        path, folder = Path(place) / "pictures.parquet", Path(place) / "shards"
        _write_ids(path, arguments.images)
        for step in ("first", "again"):  # each a process, of which the peak is its own
            subprocess.run(
                [
                    sys.executable,
                    __file__,
                    "open",
                    step,
                    str(path),
                    str(folder),
                    str(arguments.shard),
                ],
                check=True,
            )


def _open(step: str, path: str, folder: str, shard: str) -> None:
    before, start = _peak(), time.process_time()
    images = load_images(path, (1, 8, 8), stream=True).images
    key = images.digest
    opened = time.process_time() - start
    shards = run_in_shards(_nothing, len(images), int(shard), Path(folder), key)
    row = {
        "step": step, "images": len(images), "shards": len(shards.slices),
        "open_seconds": round(opened, 1), "all_seconds": round(time.process_time() - start, 1),
        "more_gb": round(_peak() - before, 2), "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    print(row, flush=True)
    _append(FIGURES / "manifest.csv", row)


def report(arguments: argparse.Namespace) -> None:
    """Draw the report of a small audit in whose rows are as many images."""
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "audit"
        config = it.AuditConfig(images=4, skip=("units",))
        it.run_audit(network(), digits(5000), folder, config, report=False)

        def pieces(certified: bool) -> Iterator[dict[str, object]]:
            for start in range(0, arguments.images, 50_000):
                count = min(50_000, arguments.images - start)
                l2 = draw.gamma(9, 0.1, count)
                yield {
                    "network": "the network", "seed": 0, "status": "FOUND",
                    "image_id": [f"picture/{start + row:08}" for row in range(count)],
                    "label": 0, **(
                        {"predicted": 0, "margin": l2, "against": 1, "found": l2, "pixels": 784,
                         "certified": l2 * draw.uniform(0, 1, count)}
                        if certified else
                        {"method": "closest", "target": 1, "success": np.ones(count, bool),
                         "distortion": l2 / 28, "l2": l2, "c": 1.0, "gap": np.nan,
                         "local_gap": 0.0, "forward_passes": 60, "backward_passes": 60}
                    ),
                }  # fmt: skip

        write_columns(folder, ImageRow, pieces(False))
        write_columns(folder, CertificateRow, pieces(True))
        subprocess.run([sys.executable, __file__, "draw", str(folder)], check=True)


def _draw(folder: str) -> None:
    before, start = _peak(), time.process_time()
    page = draw_report(Path(folder))
    row = {
        "images": sum(one.images for one in read_contents(Path(folder)).certified.values()),
        "seconds": round(time.process_time() - start, 1), "more_gb": round(_peak() - before, 2),
        "imports_gb": round(before, 2), "page_mb": round(page.stat().st_size / 1e6, 1),
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    print(row, flush=True)
    _append(FIGURES / "report.csv", row)


def _nothing(items: slice, report: Callable[[int], None]) -> dict[str, torch.Tensor]:
    return {"none": torch.zeros(items.stop - items.start, dtype=torch.uint8)}


def _write_ids(path: Path, count: int) -> None:
    """The same picture again and again, under as many ids."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("id", pa.string()), ("image", image), ("label", pa.int64())])
    one = pa.scalar({"bytes": b"P5 8 8 255\n" + bytes(64), "path": None}, image)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, 100_000):
            places = np.arange(start, min(start + 100_000, count))
            digits = pc.utf8_lpad(pa.array(places).cast(pa.string()), 8, "0")
            columns = [
                pc.binary_join_element_wise("picture", digits, "/"),
                pa.concat_arrays([pa.array([one], image)] * len(places)), pa.array(places % 10),
            ]  # fmt: skip
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), 50_000)


def _write_pictures(path: Path, count: int) -> None:
    draw = np.random.default_rng(0)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    with pq.ParquetWriter(path, pa.schema([("image", image), ("label", pa.int64())])) as writer:
        for start in range(0, count, 10_000):
            pixels = draw.integers(0, 256, (min(10_000, count - start), 64), dtype=np.uint8)
            rows = [{"bytes": b"P5 8 8 255\n" + one.tobytes(), "path": None} for one in pixels]
            labels = draw.integers(0, 10, len(rows))
            table = pa.table({"image": rows, "label": labels}, schema=writer.schema)
            writer.write_table(table, row_group_size=5000)


def _timed(what: Callable[[], object]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def _peak() -> float:
    """The peak of memory of this process in GB, without that of the one that started it."""
    said = Path("/proc/self/status").read_text()
    return int(said.split("VmHWM:")[1].split()[0]) / 1e6


@contextmanager
def _largest_child() -> Iterator[list[float]]:
    """The peak of memory of the largest child so far, in GB."""
    largest, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            for path in Path("/proc").glob("[0-9]*"):
                try:
                    said = (path / "status").read_text()
                except OSError:
                    continue
                if f"PPid:\t{os.getpid()}\n" in said and "VmHWM:" in said:
                    peak = int(said.split("VmHWM:")[1].split()[0]) / 1e6
                    largest[0] = max(largest[0], peak)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield largest
    finally:
        ended.set()
        thread.join()


def main() -> None:
    """Measure what was asked for."""
    if sys.argv[1:2] == ["drive"]:
        folder, address, *numbers = sys.argv[2:]
        attack(Path(folder), it.Engine("ray", ray_address=address), *map(int, numbers))
        return
    if sys.argv[1:2] == ["open"]:
        _open(*sys.argv[2:])
        return
    if sys.argv[1:2] == ["audit"]:
        _audit(*sys.argv[2:])
        return
    if sys.argv[1:2] == ["draw"]:
        _draw(*sys.argv[2:])
        return
    usual = {
        "same": (same, 10_000), "audited": (audited, 10_000), "deaths": (deaths, 4000),
        "stream": (stream, 1_000_000), "all": (all_images, 100_000),
        "manifest": (manifest, 10_000_000), "report": (report, 1_000_000),
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=tuple(usual))
    parser.add_argument("--images", type=int)
    parser.add_argument("--budget", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--deaths", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard", type=int, help="images of a shard, of deaths and manifest")
    arguments = parser.parse_args()
    measure, count = usual[arguments.what]
    arguments.images = arguments.images or count
    arguments.shard = arguments.shard or (5000 if arguments.what == "manifest" else 100)
    torch.set_num_threads(1)
    measure(arguments)


if __name__ == "__main__":
    main()
