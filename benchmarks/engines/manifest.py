"""How soon it is known what very many images are, and which of their shards are done.

    python benchmarks/engines/manifest.py [--images 10000000] [--shard 5000]

CPU time and memory above the imports, once with all shards to write, and once more with all of them
there.  Nobody looks at the pictures.  Rows go to `benchmarks/figures/manifest.csv`.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from measuring import apart, keep, peak

from intriguing.data.sources import load_images
from intriguing.scale.shards import run_in_shards


def write_ids(path: Path, count: int) -> None:
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


def nothing(items: slice, report: Callable[[int], None]) -> dict[str, torch.Tensor]:
    """In the place of an analysis."""
    return {"none": torch.zeros(items.stop - items.start, dtype=torch.uint8)}


def opened(step: str, path: str, folder: str, shard: int) -> None:
    """Open the set, and do what is missing."""
    before, start = peak(), time.process_time()
    images = load_images(path, (1, 8, 8), stream=True).images
    key = images.digest
    known = time.process_time() - start
    shards = run_in_shards(nothing, len(images), shard, Path(folder), key)
    keep("manifest", {
        "step": step, "images": len(images), "shards": len(shards.slices),
        "open_seconds": round(known, 1), "all_seconds": round(time.process_time() - start, 1),
        "more_gb": round(peak() - before, 2),
    })  # fmt: skip


def main() -> None:
    """Both steps, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--shard", type=int, default=5000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "pictures.parquet"
        write_ids(path, given.images)
        for step in ("first", "again"):
            apart(opened, step, str(path), str(Path(place) / "shards"), given.shard)


if __name__ == "__main__":
    main()
