"""One small network in every precision and wrapping that networks come in."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

IMAGES = torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 4)
    ).eval()  # fmt: skip


LABELS = network()(IMAGES).argmax(1)


class Autocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = network()

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.model(x)


class Mixed(nn.Module):
    """Its first layers in 16 bits, its last in 32."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = network()[:3].half(), network()[3:]

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x.half()).float())


class IntegerFirst(nn.Module):
    """Its first parameter is a table of 8-bit integers: pixels must not become such."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.arange(36, dtype=torch.int8), requires_grad=False)
        self.model = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x + 0.0 * self.table.view(6, 6))


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(network(), {nn.Linear}, dtype=torch.qint8).eval()


def static() -> nn.Module:
    ends = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
    model = nn.Sequential(ends[0], *network(), ends[1]).eval()
    model.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    prepared = torch.ao.quantization.prepare(model)
    prepared(IMAGES)
    return torch.ao.quantization.convert(prepared).eval()


def exported(model: nn.Module, *, batch: str = "any") -> nn.Module:
    sizes = ({0: torch.export.Dim("n", min=1)},) if batch == "any" else None
    return torch.export.export(model, (IMAGES,), dynamic_shapes=sizes).module()


PRECISIONS: dict[str, Callable[[], nn.Module]] = {
    "float64": lambda: network().double(),
    "float16": lambda: network().half(),
    "bfloat16": lambda: network().bfloat16(),
    "autocast": lambda: Autocast().eval(),
    "mixed": lambda: Mixed().eval(),
    "integer parameter first": lambda: IntegerFirst().eval(),
}

WRAPPINGS: dict[str, Callable[[], nn.Module]] = {
    "script": lambda: torch.jit.script(network()),
    "trace": lambda: torch.jit.trace(network(), IMAGES),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(network())),
    "compiled": lambda: torch.compile(network(), backend="eager"),
    "DataParallel": lambda: nn.DataParallel(network()).eval(),
    "exported": lambda: exported(network()),
    "fx": lambda: torch.fx.symbolic_trace(network()),
}
