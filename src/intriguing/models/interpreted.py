"""A traced network that is interpreted, never compiled: no name in it can become code.

`fx.GraphModule` writes the names of layers between quotation marks into the source of a `forward`
and executes it; a layer called `a", exec("…") or "` is a program there.
"""

from typing import Any

from torch import fx


class Interpreted(fx.GraphModule):
    """A graph whose operations are called one after another, with the modules it was traced from.

    >>> from torch import nn
    >>> import torch
    >>> model = nn.Sequential()
    >>> model.add_module('x"); print("executed', nn.Flatten())
    >>> traced = Interpreted(model, fx.Tracer().trace(model))
    >>> traced(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 12])
    """

    def recompile(self) -> Any:
        """Nothing: there is no source."""

    def forward(self, *inputs: Any) -> Any:
        """What the graph gives for these inputs."""
        interpreter = fx.Interpreter(self)
        interpreter.extra_traceback = False  # errors keep the words that they have
        return interpreter.run(*inputs)
