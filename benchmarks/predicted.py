"""What a dry run of an audit predicts, and what the audit then takes by the clock.

    python benchmarks/predicted.py MODEL [--data mnist-5k] [--named TEXT] [OPTION ...]

OPTIONs are those of `intriguing audit`. A row a name goes to benchmarks/figures/predicted.csv in
place of an earlier one, with the machine's load before.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tables import keep

TABLE = Path(__file__).parent / "figures" / "predicted.csv"
TOTAL = re.compile(r"^takes .*\(([\d,.]+) s\)", re.MULTILINE)
"""Of what `--dry-run` prints."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", default="mnist-5k")
    parser.add_argument("--named", help="the row's name; the options, where none is given")
    asked, options = parser.parse_known_args()
    load = round(os.getloadavg()[0], 1)
    audit = [sys.executable, "-m", "intriguing", "audit", asked.model, "--data", asked.data]
    with tempfile.TemporaryDirectory() as folder:
        command = [*audit, *options, "--out", folder]
        told = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True)
        predicted = TOTAL.search(told.stdout)
        if predicted is None:
            raise SystemExit(f"no total in what was printed:\n{told.stdout}")
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        taken = time.perf_counter() - began
    row = {
        "run": asked.named or " ".join(options),
        "predicted_seconds": predicted[1].replace(",", ""),
        "taken_seconds": f"{taken:.0f}",
        "load": load,
    }
    print(row)
    keep(TABLE, row, ["run"])


if __name__ == "__main__":
    main()
