"""Tries to refute every certificate and every upper bound of random and tricky networks.

    python benchmarks/soundness_fuzz.py [--graphs 1000] [--tricky 200] [--operations 500]
        [--chains 100] [--first 0] [--minutes 60]

Random networks are those of `tests/oracles/random_graphs.py`; tricky ones, with hooks, replaced
methods, values written in place, masks, control flow, memory and attention, are those of
`tests/oracles/tricky/`, every kind with seed after seed; operations are functions of
torch drawn from all there are, inside a small network (`tests/oracles/every_operation.py`; what has
a bound counts as certified); chains are small dense and pooled networks whose distances are asked
for exactly, at 1.01 of what the longest search finds, where nothing may be proved, and whose radii
by multipliers are held against it (`tests/oracles/proved_chains.py`). What a refutation is,
`tests/oracles/refutation.py` says. Prints what became of them, and ends with exit code 1 if any
certificate or bound is refuted, contradicts another, or an error is not the package's own. A row a
kind goes to benchmarks/figures/soundness_fuzz.csv in place of an earlier one.
"""

import argparse
import functools
import itertools
import math
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.oracles.every_operation import networks
from tests.oracles.every_operation import verdict as verdict_of
from tests.oracles.proved_chains import proved
from tests.oracles.random_graphs import RandomGraph
from tests.oracles.refutation import Verdict, judge
from tests.oracles.tricky import SHAPE, TRICKY

from intriguing import Box
from tables import keep

TABLE = Path(__file__).parent / "figures" / "soundness_fuzz.csv"
OUTCOMES = ("certified", "unbounded", "refused", "refuted", "inconsistent", "raw error")


def main() -> int:
    """Run it; 1 if anything proved is not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=1000)
    parser.add_argument("--tricky", type=int, default=200)
    parser.add_argument("--operations", type=int, default=500)
    parser.add_argument("--chains", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="seed of the first network")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after these")
    options = parser.parse_args()
    start = time.perf_counter()
    table: dict[str, Counter[str]] = defaultdict(Counter)
    tight: dict[str, list[float]] = defaultdict(list)
    asked = (options.graphs, options.tricky, options.operations, options.chains)
    for kind, name, verdict in _verdicts(*asked, options.first):
        table[kind][verdict.outcome] += 1
        if not math.isnan(verdict.tightness):
            tight[kind].append(verdict.tightness)
        if verdict.wrong:
            sys.stdout.write(f"{name}: {verdict.outcome}: {verdict.detail}\n")
            sys.stdout.flush()
        if time.perf_counter() - start > 60 * options.minutes:
            break
    for kind, counts in table.items():
        middle = statistics.median(tight[kind]) if tight[kind] else float("nan")
        row = {
            "kind": kind, "networks": counts.total(), **{one: counts[one] for one in OUTCOMES},
            "certified_over_found": f"{middle:.2f}",
        }  # fmt: skip
        print(row)
        keep(TABLE, row, ["kind"])
    wrong = sum(counts[outcome] for counts in table.values() for outcome in OUTCOMES[3:])
    sys.stdout.write(f"{wrong} wrong; {time.perf_counter() - start:.0f} s\n")
    return int(wrong > 0)


def _verdicts(
    graphs: int, tricky: int, operations: int, chains: int, first: int
) -> Iterator[tuple[str, str, Verdict]]:
    for seed in range(first, first + chains):
        yield "chain", f"proved_chains({seed})", proved(seed)
    for number, (name, make) in enumerate(itertools.islice(networks(first), operations)):
        became = verdict_of(make, Box(0.0, 1.0) if number % 2 else None)
        outcome, _, detail = became.partition(": ")
        outcome = "certified" if outcome == "bounded" else outcome
        yield "operation", name, Verdict(outcome, detail)
    for seed in range(first, first + max(graphs, tricky)):
        if seed - first < tricky:
            name = list(TRICKY)[(seed - first) % len(TRICKY)]
            make = functools.partial(TRICKY[name], seed)
            yield "tricky", f"{name}({seed})", judge(make, SHAPE, None, seed)
        if seed - first < graphs:
            network = RandomGraph(seed)
            make = functools.partial(RandomGraph, seed)
            verdict = judge(make, network.input_shape, network.domain, seed)
            yield "random", f"RandomGraph({seed})", verdict


if __name__ == "__main__":
    sys.exit(main())
