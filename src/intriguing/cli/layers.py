"""The layers of a network whose units can be asked about: names, types, shapes, receptive fields.

The names are what `intriguing units --layer` takes. `NAME:input` is what goes into a module and
comes out of none, such as the result of a function. A unit of a convolutional layer is a channel;
its receptive field is how many pixels one position of it sees.

MODEL is FILE.safetensors written by `intriguing train`, ARCHITECTURE:FILE, such as
squeezenet:FILE.safetensors, or FILE.py:FUNCTION, a function that returns a torch network.

examples:
  intriguing layers conv.safetensors
  intriguing layers squeezenet:squeezenet.safetensors
  intriguing layers my_network.py:build --input 3,224,224
"""

from intriguing.cli.options import Model, Sizes


def layers(model: Model, input: Sizes = None) -> None:
    """Print every layer that has units.

    Args:
        input: Shape of one image, such as 3,224,224, where the network does not say it itself.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from intriguing.cli import bounding, setup
    from intriguing.cli.console import Console
    from intriguing.runs.bounding import shape_of
    from intriguing.units.activations import list_layers
    from intriguing.units.receptive_field import receptive_field

    given = None if input is None else bounding.parse_shape(input)
    network = setup.load_network(model, setup.choose_device("cpu"))
    shape = shape_of(model, network, given)
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("Layer", "Type"):
        table.add_column(column, overflow="fold")
    for column in ("Output", "Units", "Receptive field"):
        table.add_column(column, justify="right")
    for layer in list_layers(network, shape):
        field = receptive_field(network, layer.name, shape)
        sees = "the image"
        if not field.whole:
            sides = {(b.bottom - b.top, b.right - b.left) for b in field.boxes}
            sees = "×".join(map(str, max(sides)))
        table.add_row(
            Text(layer.name), Text(layer.kind), "×".join(map(str, layer.shape)),
            f"{layer.units:,}", sees,
        )  # fmt: skip
    console = Console()
    console.print(f"one image is {'×'.join(map(str, shape))}", highlight=False)
    console.print(table)
