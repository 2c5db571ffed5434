"""What is said of an operation that has no bound, and what it is called."""

import math
from typing import Any

from torch import Tensor, fx
from torch.utils import _pytree as pytree

from intriguing.graph.operation import Operation
from intriguing.graph.table import rule_of
from intriguing.spectral.norms.bound import Bound


def unknown(where: str, operation: Operation, node: fx.Node) -> Bound:
    """Why an operation is unbounded, and what can be done."""
    module, rule = operation.module, rule_of(operation)
    if operation.unruly:
        return Bound(math.inf, "unknown", note=operation.unruly)
    name = operation.name or getattr(node.target, "__name__", str(node.target))
    register = "ModuleThatCallsIt" if module is None else type(module).__name__
    known = f"intriguing.register_bound({register}, bound)"
    if made_of_masks(operation.output) or rule.jumps:
        return Bound(
            math.inf, "jumps",
            note=f"{where}: {name!r} jumps, so that no finite bound holds of what depends on it; "
            "of masks it does where both sides agree at the threshold",
        )  # fmt: skip
    if rule.interval is not None:
        return Bound(
            math.inf, "steep",
            note=f"{where}: {name!r} is not bounded wherever its arguments can be; it may be on a "
            f"(smaller) domain=Box(lower, upper); if you know a bound, {known}",
        )  # fmt: skip
    note = f"{where}: no bound is known for {name!r}; if you know one, {known}"
    return Bound(math.inf, "unknown", note=note)


def made_of_masks(value: Any) -> bool:
    """Whether all of it are masks and whole numbers, which cannot change but by jumps."""
    kinds = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, (Tensor, int, bool))]
    real = any(isinstance(t, Tensor) and (t.is_floating_point() or t.is_complex()) for t in kinds)
    return bool(kinds) and not real
