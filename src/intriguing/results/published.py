"""The paper's numbers, from published.toml, found by what they are of, never by a label."""

import math
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from intriguing.errors import InputError
from intriguing.results.measured import Condition, Measurement, Metric

TABLES = ("table1", "table2", "table3", "table4", "table5", "hardening")


@dataclass(frozen=True)
class PublishedPanel:
    """One panel of Figure 7: what its even columns show, and the accuracy on it in percent.

    `network` is whom the examples are for; empty where they are noise.
    """

    letter: str
    network: str
    stddev: float
    accuracy: float


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper's that says one way of training errs less than another, or a number.

    Attributes:
        sentence: What the paper says, shortened.
        better: The family that is to err less.
        worse: The other, or a test error in percent.
    """

    sentence: str
    better: str
    worse: str | float

    @property
    def reference(self) -> str:
        """What `better` is held against, as rows say it."""
        return self.worse if isinstance(self.worse, str) else f"{self.worse:g}"


@cache
def published(analysis: str) -> tuple[Measurement, ...]:
    """What the paper prints in a table, or in the text of §4.2 ("hardening").

    >>> row = published("table1")[1]
    >>> row.network, row.metric.value, row.images, row.value
    ('FC10(1e-4)', 'error', 'test', 7.4)
    """
    if analysis not in TABLES:
        raise InputError(f"the paper has no {analysis!r}; one of {', '.join(TABLES)}")
    content = _content()[analysis]
    rows = [
        _measurement(analysis, value, **content.get("all", {}), **row, **column)
        for row, values in zip(content["rows"], content["values"], strict=True)
        for column, value in zip(content["columns"], values, strict=True)
    ]
    if analysis == "table5":  # §4.3 calls max pools contractive, and multiplies all bounds
        pools = [replace(rows[0], layer=layer, value=1.0) for layer in content["pools"]]
        rows.append(replace(rows[0], layer="", value=math.prod(row.value for row in rows)))
        rows += pools
    return tuple(rows)


def paper_value(row: Measurement) -> float | None:
    """What the paper prints of the very thing that a row measures; None where it prints nothing.

    Of some things it does not name the network, so that there any network's is found.
    """
    return next((v for key in _identities(row) if (v := _values().get(key)) is not None), None)


def published_figure7() -> tuple[PublishedPanel, ...]:
    """The panels of Figure 7."""
    return tuple(PublishedPanel(**panel) for panel in _content()["figure7"]["panels"])


def published_figure5() -> tuple[int, float]:
    """How many images Figure 5 has, and their average distortion (its caption).

    >>> published_figure5()
    (64, 0.006508)
    """
    content = _content()["figure5"]
    return content["images"], content["average_distortion"]


@cache
def published_claims() -> tuple[Claim, ...]:
    """The paper's sentences on hardening."""
    return tuple(Claim(**claim) for claim in _content()["claims"])


def _measurement(analysis: str, value: float, **about: Any) -> Measurement:
    about["metric"] = Metric(about["metric"])
    about["condition"] = Condition(about.get("condition", ""))
    return Measurement(analysis, value=float(value), **about)


@cache
def _values() -> dict[tuple[object, ...], float]:
    rows = [row for name in TABLES for row in published(name)]
    rows.append(
        Measurement("target", Metric.MEAN_DISTORTION, "distortion", published_figure5()[1],
                    reference="figure5")
    )  # fmt: skip
    return {next(_identities(row)): row.value for row in rows}


def _identities(row: Measurement) -> Any:
    """What a row is of, first with its network."""
    for network in (row.network, ""):
        yield (row.analysis, row.metric, network, row.made_for, row.condition, row.size,
               row.images, row.method, row.layer, row.reference)  # fmt: skip


@cache
def _content() -> dict[str, Any]:
    text = files("intriguing.results").joinpath("published.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
