"""What is printed: names that came from elsewhere are text, whatever is in them."""

from collections.abc import Iterable

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.measure import Measurement
from rich.segment import Segment

from intriguing.names import visible


class Console(RichConsole):
    """A console without markup and emoji codes, that no name gives commands to."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)
        self.push_render_hook(_Visible())


class _Visible(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Harmless(one) for one in renderables]


class _Harmless:
    """What is printed, its control characters written out; those of rich's own stay."""

    def __init__(self, inner: RenderableType) -> None:
        self.inner = inner

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        return self._segments(console.render(self.inner, options))

    def __rich_measure__(self, console: RichConsole, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self.inner)

    def _segments(self, segments: Iterable[Segment]) -> Iterable[Segment]:
        return (one if one.control else Segment(visible(one.text), one.style) for one in segments)
