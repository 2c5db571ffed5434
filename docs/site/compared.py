"""Tables that pages ask of benchmarks, where a row of the file is not a row of the table."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq
from committed import METHODS, ROOT, figures
from tabled import lines, markdown


def settings(name: str) -> list[dict[str, Any]]:
    """What was tried, in bold what was chosen."""
    rows = figures(name)
    for row in rows:
        if isinstance(row["chosen"], str):
            row["setting"] = f"**{row['setting']}**"
    return rows


def conventions() -> list[dict[str, str]]:
    """Errors in training and test by each reading of the paper's weight decay, and the paper's."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for row in figures("conventions"):
        found[row["network"]][row["convention"]] = f"{row['train']:.1f}, {row['test']:.1f}"
    printed = {line["name"]: line for line in lines("mnist", "Table 1")}
    for network, said in found.items():
        errors = (printed[network][column].paper for column in ("Training error", "Test error"))
        said |= {"network": network, "paper": ", ".join(f"{one:g}" for one in errors)}
    return list(found.values())


CALLED = {
    "fc": "FC100-100-10", "conv": "convolutional", "saturated": "the same behind steep sigmoids",
    "mnist-deep": "784-100 (five times)-10", "resnet2b": "resnet2b (robust)",
    "mnist-adversarial": "robust MNIST network (saturated)",
    "resnet20": "ResNet-20", "resnet56": "ResNet-56", "squeezenet": "SqueezeNet",
}  # fmt: skip
"""Networks of the benchmarks, as pages call them."""


def over_the_best(*budgets: int) -> list[dict[str, str]]:
    """Mean L2 of `closest` over the best other's at equal passes; bold where that is shorter."""
    found: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for row in figures("budgets", method="closest"):
        ratio = row["ratio_to_best"]
        told = f"**{ratio:.4f}**" if ratio > 1 else f"{ratio:.4f}"
        found[row["network"], row["goal"]][int(row["budget"])] = told
    places = list(CALLED)
    return [
        {
            "network": CALLED[network],
            "goal": goal,
            **{f"to {budget}": told.get(budget, "–") for budget in budgets},
        }
        for (network, goal), told in sorted(found.items(), key=lambda one: places.index(one[0][0]))
    ]


def over_the_envelope() -> list[dict[str, Any]]:
    """`closest` of each case beside the envelope, and the best single peer."""
    made = []
    for ours in figures("envelope", method="closest"):
        rows = figures("envelope", case=ours["case"])
        peers = [row for row in rows if row["method"] != "closest"]
        best = min(peers, key=lambda row: row["over_envelope"])
        finds = "" if best["found"] == 1 else f" (finds {100 * best['found']:g} %)"
        network, _, goal = ours["case"].partition("-")
        said = {"case": f"{CALLED[network]}, {goal}", "best": f"{best['over_envelope']:.4f}{finds}"}
        made.append({**ours, **said})
    return made


def distances() -> list[dict[str, Any]]:
    """The rows of proved distances."""
    file = ROOT / "benchmarks" / "exact" / "rows" / "distances.parquet"
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def met_by_proofs() -> int:
    """Of how many distances what the proof met is shorter than what any method found."""
    return sum(row["upper"] < min(row[m] for m in METHODS) * (1 - 1e-5) for row in distances())


def proved() -> str:
    """Of distances: how many are proved, and how far each method ends above the shortest known.

    Only distances that are proved to 1 % count: of others the shortest may not be the truth.
    """
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(distances(), key=lambda row: row["network"]):
        groups[row["network"]].append(row)
    ordered = list(groups.values())
    known = [[row for row in some if row["optimal"]] for some in ordered]
    every = [row for some in known for row in some]
    all_ = [row for some in ordered for row in some]
    seconds = [f"{statistics.median(row['seconds'] for row in some):.1f}" for some in ordered]
    return markdown(
        ["", *groups, "all"],
        [
            *(
                [f"proved, {goal}", *(_proved(some, aimed) for some in [*ordered, all_])]
                for goal, aimed in (("any class", False), ("a given one", True))
            ),
            ["left open, median", *(_open(some) for some in ordered), ""],
            ["seconds, median", *seconds, ""],
            *(
                [f"`{method}`", *(_excess(some, method) for some in known),
                 _excess(every, method, worst=True)]
                for method in (METHODS[0], "paper", *METHODS[1:])
            ),
        ],
    )  # fmt: skip


def _proved(rows: Sequence[Mapping[str, Any]], aimed: bool) -> str:
    some = [row for row in rows if (row["target"] >= 0) == aimed]
    return f"{sum(row['optimal'] for row in some)} of {len(some)}"


def _open(rows: Sequence[Mapping[str, Any]]) -> str:
    """Share of the shortest known that is not proved."""
    return f"{100 * statistics.median(1 - row['lower'] / row['upper'] for row in rows):.1f} %"


def _excess(rows: Sequence[Mapping[str, Any]], method: str, *, worst: bool = False) -> str:
    if not rows:
        return "–"
    excess = [100 * (row[method] / row["upper"] - 1) for row in rows]
    far = sum(one > 1 for one in excess)
    said = f"{statistics.median(excess):.2f} %; {far} of {len(excess)}"
    return f"{said}; {max(excess):.0f} %" if worst else said


def certified_beside_peers() -> list[dict[str, Any]]:
    """Of each network and method what it certifies, and over how much of it ours goes.

    That is the median of our radius over the shortest that the peer was asked for and did not
    prove, image by image, of those that ours has been asked for.
    """
    groups: dict[tuple[str, str], dict[float, dict[str, Any]]] = defaultdict(dict)
    for row in figures("certified_peers"):
        groups[row["network"], row["method"]][row["image"]] = row
    return [
        {
            "network": f"{network}, {_median(rows, 'benchmark'):.2g}",
            "method": method,
            "images": len(rows),
            "verified": sum(row["certified"] >= row["benchmark"] for row in rows.values()),
            "radius": _median(rows, "certified"),
            "share": statistics.median(row["certified"] / row["found"] for row in rows.values()),
            **{
                called: statistics.median(
                    groups[network, called][image]["certified"] / row["refused"]
                    for image, row in rows.items()
                    if image in groups[network, called]
                )
                for called in ("ours", "ours, 20 s")
            },
            "proof_seconds": _mean(rows, "proof_seconds"),
            "seconds": _mean(rows, "seconds"),
        }
        for (network, method), rows in groups.items()
    ]


def _median(rows: Mapping[float, Mapping[str, Any]], column: str) -> float:
    return statistics.median(row[column] for row in rows.values())


def _mean(rows: Mapping[float, Mapping[str, Any]], column: str) -> float:
    return statistics.fmean(row[column] for row in rows.values())
