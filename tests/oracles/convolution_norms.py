"""What `convolution_norm` says of a torch module: shared by the tests and the benchmark."""

from torch import nn

from intriguing.spectral.norms.convolution import convolution_norm


def bound_of(module: nn.Module, size: tuple[int, ...] | None, grid: int | None = None) -> float:
    """The bound of ConvNd or ConvTransposeNd."""
    transposed = isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
    assert transposed or isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    return convolution_norm(
        module.weight,
        stride=module.stride,
        padding=module.padding,
        dilation=module.dilation,
        groups=module.groups,
        padding_mode=module.padding_mode,
        input_size=size,
        transposed=transposed,
        output_padding=module.output_padding,
        grid=grid,
    )
