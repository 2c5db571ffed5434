"""Every function and method that torch lets be overridden, inside a small network.

The list is torch's own (`torch.overrides.get_overridable_functions`). Which arguments a function
takes is tried: `CALLS` holds ways to call one on what depends on the image.
"""

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from intriguing import Box, InputError, lipschitz_report

SHAPE = (1, 4, 4)
_SIDE, _WIDE = 4, 6
_OUTSIDE = {
    "cuda", "xpu", "ipu", "mtia", "hpu", "pin_memory", "is_pinned", "share_memory_",
    "record_stream", "backward", "register_hook", "register_post_accumulate_grad_hook", "apply_",
    "map_", "map2_", "storage", "untyped_storage", "set_", "resize_", "resize_as_", "to_mkldnn",
}  # fmt: skip
"""What moves tensors to other devices, hooks into autograd, or works on memory itself."""


CALLS: dict[str, Callable[[Any, Tensor, dict[str, Tensor]], Any]] = {
    "h": lambda f, h, c: f(h),
    "h, dim=1": lambda f, h, c: f(h, dim=1),
    "h, 1": lambda f, h, c: f(h, 1),
    "h, 0.5": lambda f, h, c: f(h, 0.5),
    "h, -0.3, 0.4": lambda f, h, c: f(h, -0.3, 0.4),
    "h, 2": lambda f, h, c: f(h, 2),
    "h, 2, 1": lambda f, h, c: f(h, 2, 1),
    "h, 1, 2": lambda f, h, c: f(h, 1, 2),
    "h, c": lambda f, h, c: f(h, c["row"]),
    "c, h": lambda f, h, c: f(c["row"], h),
    "h, tanh h": lambda f, h, c: f(h, torch.tanh(h)),
    "h, mask, 0.2": lambda f, h, c: f(h, c["mask"].expand(h.shape), 0.2),
    "h > 0, h, 0.1 h": lambda f, h, c: f(h > 0, h, 0.1 * h),
    "h > 0": lambda f, h, c: f(h > 0),
    "h > 0, h < 0.3": lambda f, h, c: f(h > 0, h < 0.3),
    "h, h > 0, 0.2": lambda f, h, c: f(h, h > 0, 0.2),
    "h, 1, places": lambda f, h, c: f(h, 1, c["places"]),
    "h, 1, places of h": lambda f, h, c: f(h, 1, c["places"].expand(len(h), 3)),
    "h, 1, places of h, h": lambda f, h, c: f(h, 1, c["places"].expand(len(h), 3), 2 * h),
    "h, 1, places, 0.5": lambda f, h, c: f(h, 1, c["places"], 0.5),
    "h, matrix": lambda f, h, c: f(h, c["matrix"]),
    "c, h, matrix": lambda f, h, c: f(c["row"], h, c["matrix"]),
    "h, h, c": lambda f, h, c: f(h, torch.sin(h), c["row"]),
    "h, h, h": lambda f, h, c: f(h, torch.sin(h), 0.3 * h),
    "h long": lambda f, h, c: f((3 * h).long()),
    "h long, 2": lambda f, h, c: f((3 * h).long(), 2),
    "h, (2, 3)": lambda f, h, c: f(h, (h.shape[0], 2, 3)),
    "h, 1, (2, 3)": lambda f, h, c: f(h, 1, (2, 3)),
    "h, (1, 2)": lambda f, h, c: f(h, (1, 2)),
    "[h, h]": lambda f, h, c: f([h, 2 * h]),
    "[h, h], 1": lambda f, h, c: f([h, 2 * h], 1),
    "h, (6,)": lambda f, h, c: f(h, (_WIDE,)),
    "h, 2 groups": lambda f, h, c: f(h, 2),
    "image": lambda f, h, c: f(_image(h)),
    "image, 2": lambda f, h, c: f(_image(h), 2),
    "image, 2, 2": lambda f, h, c: f(_image(h), 2, 2),
    "image, 2, 2, 2": lambda f, h, c: f(_image(h), 2.0, 2, 2),
    "image, kernel": lambda f, h, c: f(_image(h), c["kernel"]),
    "image, (1, 1)": lambda f, h, c: f(_image(h), (1, 1)),
    "image, (1, 0)": lambda f, h, c: f(_image(h), (1, 0)),
    "image, c, c": lambda f, h, c: f(_image(h), c["pair"], 1 + c["pair"].abs()),
    "image, image": lambda f, h, c: f(_image(h), _image(torch.tanh(h))),
    "image, 1, -1": lambda f, h, c: f(_image(h), 1, -1),
    "image, scale_factor=2": lambda f, h, c: f(_image(h), scale_factor=2),
    "tokens, tokens, tokens": lambda f, h, c: f(_tokens(h), 0.5 * _tokens(h), _tokens(h)),
    "equation": lambda f, h, c: f("bi,ij->bj", h, c["matrix"]),
}


def _image(h: Tensor) -> Tensor:
    return h.repeat(1, 6)[:, :32].reshape(-1, 2, 4, 4)


def _tokens(h: Tensor) -> Tensor:
    return h.reshape(-1, 3, 2)


class Around(nn.Module):
    """A function, called in one way, between two linear layers."""

    def __init__(self, function: Callable[..., Any], call: str) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.function, self.way, self.part = function, CALLS[call], None
        self.before = nn.Linear(math.prod(SHAPE), _WIDE)
        for name, value in {
            "row": torch.randn(_WIDE, generator=generator),
            "mask": torch.rand(_WIDE, generator=generator) > 0.5,
            "places": torch.tensor([[4, 0, 2]]),
            "matrix": torch.randn(_WIDE, _WIDE, generator=generator),
            "kernel": torch.randn(2, 2, 3, 3, generator=generator),
            "pair": torch.randn(2, generator=generator),
        }.items():
            self.register_buffer(name, value if value.dim() != 2 or name != "places" else value[0])
        with torch.no_grad():
            self.before.weight.copy_(torch.randn(_WIDE, 16, generator=generator) / 3)
            self.before.bias.copy_(torch.randn(_WIDE, generator=generator) / 3)
            made = self._called(torch.rand(3, *SHAPE, generator=generator))
        if isinstance(made, (tuple, list)):
            self.part = next(i for i, t in enumerate(made) if isinstance(t, Tensor))
            made = made[self.part]
        if not isinstance(made, Tensor) or made.ndim == 0 or made.shape[0] != 3 or not made.numel():
            raise ValueError("no tensor with a row an image")
        self.complex = made.is_complex()
        self.after = nn.Linear(made[0].numel() * (2 if made.is_complex() else 1), 3)
        with torch.no_grad():
            self.after.weight.copy_(torch.randn(self.after.weight.shape, generator=generator))
        self.eval()

    def _called(self, x: Tensor) -> Any:
        return self.way(self.function, self.before(x.flatten(1)), dict(self.named_buffers()))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        made = self._called(x)
        made = made if self.part is None else made[self.part]
        if self.complex:
            made = torch.view_as_real(made)
        logits: Tensor = self.after(made.flatten(1).to(self.after.weight.dtype))
        return logits


def functions() -> dict[str, Callable[..., Any]]:
    """By a name that says where it lives."""
    found = {}
    for home, members in torch.overrides.get_overridable_functions().items():
        for function in members:
            name = getattr(function, "__name__", "")
            plain = not name.startswith("__") and name not in _OUTSIDE and callable(function)
            if plain and not inspect.ismethoddescriptor(getattr(function, "fget", None)):
                place = "Tensor" if home is Tensor else getattr(home, "__name__", str(home))
                found[f"{place}.{name}"] = function
    return found


def networks(seed: int) -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """A name, and a maker of a network, for each function and each way to call it, shuffled."""
    known = functions()
    pairs = [(name, call) for name in sorted(known) for call in CALLS]
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed)).tolist()
    for name, call in (pairs[place] for place in order):
        if _works(known[name], call):
            yield f"{name}({call})", functools.partial(Around, known[name], call)


def _works(function: Callable[..., Any], call: str) -> bool:
    try:
        network = Around(function, call)
        images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1))
        return bool(network(images).isfinite().any())
    except Exception:  # not a way to call it, or not in a network
        return False


def verdict(make: Callable[[], nn.Module], domain: Box | None) -> str:
    """What became of it: bounded, unbounded or refused; refuted or a raw error if we are wrong."""
    try:
        upper = lipschitz_report(make(), SHAPE, domain=domain, semidefinite=False).upper
    except InputError:
        return "refused"
    except Exception as error:
        return f"raw error: {type(error).__name__}: {str(error).strip()[:200]}"
    if math.isinf(upper):
        return "unbounded"
    found = steepest(make().double(), domain)
    return f"refuted: {found:.9g} > {upper:.9g}" if found > upper * (1 + 1e-6) else "bounded"


@torch.no_grad()
def steepest(network: nn.Module, domain: Box | None, *, lines: int = 24, zooms: int = 14) -> float:
    """The largest difference quotient along lines, each followed to where it is steepest."""
    generator = torch.Generator().manual_seed(3)
    ends = torch.rand(2, lines, math.prod(SHAPE), generator=generator, dtype=torch.float64)
    if domain is None:
        ends = 4 * (ends - 0.5) * torch.logspace(-2, 1, lines, dtype=torch.float64)[:, None]
    start, stop = ends
    shares = torch.linspace(0, 1, 17, dtype=torch.float64)[:, None, None]
    some = torch.cat([start, stop]).view(-1, *SHAPE)
    alone, together = torch.cat([network(image[None]) for image in some]), network(some)
    mixes = alone.shape != together.shape or not torch.allclose(together, alone, equal_nan=True)
    best = 0.0
    for _ in range(zooms):
        points = start + shares * (stop - start)
        images = points.reshape(-1, 1, *SHAPE) if mixes else points.reshape(1, -1, *SHAPE)
        values = torch.cat([network(image) for image in images]).reshape(len(shares), lines, -1)
        moved = (values[1:] - values[:-1]).norm(dim=2)
        way = (points[1:] - points[:-1]).norm(dim=2)
        rounding = 2.0**-20 * values.abs().amax()  # of float32, which the code may fall back to
        quotient = ((moved - rounding) / way).nan_to_num(nan=0.0, posinf=0.0)
        best = max(best, float(quotient.max()))
        place = quotient.argmax(0)
        row = torch.arange(lines)
        start, stop = points[place, row], points[place + 1, row]
        if float((stop - start).norm(dim=1).max()) < 1e-4:
            break
    return best
