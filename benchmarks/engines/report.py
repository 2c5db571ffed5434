"""CPU time and memory of an audit's report, drawn from very many rows.

    python benchmarks/engines/report.py [--images 1000000]

A row an image of the attack and another of the certificates.  A row of figures goes to
`benchmarks/figures/report.csv`.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measuring import apart, digits, keep, network, peak

import intriguing as it
from intriguing.report.contents import read_contents
from intriguing.report.html import draw_report
from intriguing.results.parquet import write_columns
from intriguing.results.rows import CertificateRow, ImageRow


def pieces(count: int, draw: np.random.Generator, certified: bool) -> Iterator[dict[str, object]]:
    """Columns of rows."""
    for start in range(0, count, 50_000):
        some = min(50_000, count - start)
        l2 = draw.gamma(9, 0.1, some)
        yield {
            "network": "the network", "seed": 0, "status": "FOUND",
            "image_id": [f"picture/{start + row:08}" for row in range(some)],
            "label": 0, **(
                {"predicted": 0, "margin": l2, "against": 1, "found": l2, "pixels": 784,
                 "certified": l2 * draw.uniform(0, 1, some)}
                if certified else
                {"method": "closest", "target": 1, "success": np.ones(some, bool),
                 "distortion": l2 / 28, "l2": l2, "c": 1.0, "gap": np.nan,
                 "local_gap": 0.0, "forward_passes": 60, "backward_passes": 60}
            ),
        }  # fmt: skip


def drawn(out: str) -> None:
    """The report."""
    folder = Path(out)
    before, start = peak(), time.process_time()
    page = draw_report(folder)
    seconds = time.process_time() - start
    keep("report", {
        "images": sum(one.images for one in read_contents(folder).certified.values()),
        "seconds": round(seconds, 1), "more_gb": round(peak() - before, 2),
        "imports_gb": round(before, 2), "page_mb": round(page.stat().st_size / 1e6, 1),
    })  # fmt: skip


def main() -> None:
    """Of a small audit in whose rows are as many images."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, draw = Path(place) / "audit", np.random.default_rng(0)
        config = it.AuditConfig(images=4, skip=("units",))
        it.run_audit(network(), digits(5000), folder, config, report=False)
        write_columns(folder, ImageRow, pieces(given.images, draw, False))
        write_columns(folder, CertificateRow, pieces(given.images, draw, True))
        apart(drawn, str(folder))


if __name__ == "__main__":
    main()
