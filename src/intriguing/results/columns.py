"""The columns of every Parquet file of a results folder; `schema` says what they mean."""

from typing import Any

import pyarrow as pa

_TEXT = pa.dictionary(pa.int32(), pa.string())

CELLS = pa.schema(
    [
        pa.field("table", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("column", pa.string(), nullable=False),
        pa.field("row_order", pa.int32(), nullable=False),
        pa.field("column_order", pa.int32(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("ours", pa.float64(), nullable=False),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("total", pa.int64(), nullable=False),
        pa.field("paper", pa.float64()),
        pa.field("seeds", pa.int32(), nullable=False),
        pa.field("seed_low", pa.float64()),
        pa.field("seed_high", pa.float64()),
        *(
            pa.field(name, pa.string(), nullable=False)
            for name in ("network", "made_for", "condition")
        ),
        pa.field("size", pa.float64()),
        pa.field("reference", pa.string(), nullable=False),
    ]
)

IMAGES = pa.schema(
    [
        pa.field("network", _TEXT, nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("method", _TEXT, nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("target", pa.int32(), nullable=False),
        pa.field("success", pa.bool_(), nullable=False),
        pa.field("status", _TEXT, nullable=False),
        pa.field("distortion", pa.float32(), nullable=False),
        pa.field("l2", pa.float32(), nullable=False),
        pa.field("c", pa.float32(), nullable=False),
        pa.field("gap", pa.float32(), nullable=False),
        pa.field("local_gap", pa.float32(), nullable=False),
        pa.field("forward_passes", pa.int32(), nullable=False),
        pa.field("backward_passes", pa.int32(), nullable=False),
    ]
)

ADDED: dict[str, Any] = {
    "method": "paper", "gap": float("nan"), "local_gap": float("nan"),
    "network": "", "made_for": "", "condition": "", "size": None, "reference": "",
}  # fmt: skip
"""What the columns that older versions lack would hold there: of `IMAGES` in version 1, of `CELLS`
before version 4 (`results.older` then reads what the names say)."""

CURVES = pa.schema(
    [
        pa.field("method", pa.string(), nullable=False),
        *(
            pa.field(name, pa.int64(), nullable=False)
            for name in ("passes", "found", "within", "images")
        ),
        *(
            pa.field(name, pa.float64(), nullable=False)
            for name in ("median", "median_low", "median_high", "mean", "excess")
        ),
    ]
)

LOSSES = pa.schema(
    [
        pa.field("method", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("target", pa.int32(), nullable=False),
        pa.field("l2", pa.float32(), nullable=False),
        pa.field("shorter", pa.string(), nullable=False),
        pa.field("shorter_l2", pa.float32(), nullable=False),
    ]
)

LAYERS = pa.schema(
    [
        pa.field("network", pa.string(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("order", pa.int32(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("size", pa.string(), nullable=False),
        pa.field("stride", pa.string(), nullable=False),
        pa.field("upper", pa.float64(), nullable=False),
        pa.field("lower", pa.float64(), nullable=False),
        pa.field("formula", pa.string(), nullable=False),
        pa.field("guaranteed", pa.bool_(), nullable=False),
        pa.field("note", pa.string(), nullable=False),
    ]
)

CERTIFICATES = pa.schema(
    [
        pa.field("network", _TEXT, nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("predicted", pa.int32(), nullable=False),
        pa.field("margin", pa.float64(), nullable=False),
        pa.field("against", pa.int32(), nullable=False),
        pa.field("certified", pa.float64(), nullable=False),
        pa.field("found", pa.float64(), nullable=False),
        pa.field("status", _TEXT, nullable=False),
        pa.field("pixels", pa.int32(), nullable=False),
    ]
)

TOPS = pa.schema(
    [
        pa.field("network", _TEXT, nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("layer", _TEXT, nullable=False),
        pa.field("basis", _TEXT, nullable=False),
        pa.field("direction", pa.int32(), nullable=False),
        pa.field("sign", _TEXT, nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        *(
            pa.field(side, pa.int32(), nullable=False)
            for side in ("top", "left", "bottom", "right")
        ),
    ]
)

COHERENCE = pa.schema(
    [
        pa.field("network", _TEXT, nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("layer", _TEXT, nullable=False),
        pa.field("basis", _TEXT, nullable=False),
        pa.field("direction", pa.int32(), nullable=False),
        pa.field("measure", _TEXT, nullable=False),
        pa.field("unit", _TEXT, nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in ("value", "chance")),
        *(pa.field(name, pa.float64(), nullable=False) for name in ("low", "high")),
        pa.field("responds", pa.bool_(), nullable=False),
    ]
)

CLAIMS = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("network", "layer", "measure")),
        *(
            pa.field(name, pa.int32(), nullable=False)
            for name in ("k", "images", "networks", "rotations", "untrained_networks", "units")
        ),
        *(
            pa.field(name, pa.float64(), nullable=False)
            for name in (
                "delta", "level", "silent", "natural", "random", "difference", "low", "high",
                "untrained", "p", "p_equivalent",
            )
        ),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("sentence", pa.string(), nullable=False),
    ]
)  # fmt: skip
