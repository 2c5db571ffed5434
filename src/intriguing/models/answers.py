"""What a network gave for images, and in one line what to do where that is no logits."""

from typing import Any

import torch
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.models.evaluation import forbids_eval

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""What pixels and logits may be."""


def one_tensor(answer: Any, images: tuple[int, ...]) -> Tensor:
    """What a network gave for images of a shape, if it is one tensor.

    Raises:
        InputError: If it is anything else; says what to return.
    """
    if isinstance(answer, Tensor):
        return answer
    what, how = _other(answer)
    raise InputError(
        f"the model maps images of shape {images} to {what}; it must give logits of shape "
        f"({images[0]}, classes): {how}"
    )


def check_logits(answer: Tensor, images: tuple[int, ...]) -> None:
    """Refuse a tensor that is not one row of floating-point logits an image."""
    shape, count = tuple(answer.shape), images[0]
    begin = f"the model maps images of shape {images} to "
    if answer.dtype not in FLOATS:
        how = "return the logits as they are before argmax, comparison or rounding"
        if answer.is_complex():
            how = "return real numbers, such as z.abs()"
        elif answer.is_floating_point():
            how = "return z.float()"
        elif answer.is_quantized:
            how = "return z.dequantize()"
        raise InputError(
            f"{begin}{answer.dtype} of shape {shape}; it must give floating-point logits of shape "
            f"({count}, classes): {how}"
        )
    if answer.ndim == 2 and len(answer) == count and shape[1] > 1:
        return
    how = ""
    if shape in ((count,), (count, 1)):
        two = "torch.stack((torch.zeros_like(z), z), 1)"
        column = two if answer.ndim == 1 else "torch.cat((torch.zeros_like(z), z), 1)"
        how = f": one number z decides between two classes, return {column}"
    elif answer.ndim > 2 and len(answer) == count:
        ones = all(size == 1 for size in shape[2:])
        how = ": return z.flatten(1)" if ones else ": return one row an image, such as the mean of "
        how += "" if ones else "z over its positions, z.flatten(2).mean(2)"
    raise InputError(f"{begin}{shape}; it must give logits of shape ({count}, classes){how}")


def own_words(error: BaseException) -> str:
    """What an error says, in one line that begins with its type.

    >>> own_words(KeyError("no such size"))
    'KeyError: no such size'
    """
    single = isinstance(error, KeyError) and len(error.args) == 1
    lines = [line.strip() for line in str(error.args[0] if single else error).splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        return type(error).__name__
    # TorchScript begins with its own traceback and ends with what went wrong.
    line = lines[-1] if "TorchScript interpreter" in lines[0] else lines[0]
    return f"{type(error).__name__}: {line}"


def _other(answer: Any) -> tuple[str, str]:
    """What a network gives in place of a tensor, and what to do about it."""
    wrap = "wrap it in a module whose forward returns self.model(x)"
    kind = type(answer).__name__
    if answer is None:
        return "None", "its forward lacks a return"
    if kind == "ndarray":
        return "a numpy array", "return torch tensors, without detach() and numpy()"
    if isinstance(answer, dict) or hasattr(answer, "keys"):
        keys = [key for key in answer.keys() if isinstance(answer[key], Tensor)]  # noqa: SIM118
        best = "logits" if "logits" in keys else next(iter(keys), "logits")
        some = ", ".join(map(repr, keys[:4]))
        return f"a {kind} of {some or 'no tensors'}", f"{wrap}[{best!r}]"
    if isinstance(answer, tuple | list):
        fields = getattr(answer, "_fields", ())
        places = [i for i, part in enumerate(answer) if isinstance(part, Tensor)]
        place = next(iter(places), 0)
        own = f".{fields[place]}" if fields else f"[{place}]"
        return f"a {kind} of {len(answer)}", wrap + own
    named = [key for key, value in _attributes(answer) if isinstance(value, Tensor)]
    best = "logits" if "logits" in named else next(iter(named), "logits")
    return f"a {kind}", f"{wrap}.{best}" if named else "return one tensor"


def _attributes(answer: Any) -> list[tuple[str, Any]]:
    try:
        return list(vars(answer).items())
    except TypeError:
        return []


def failure(network: nn.Module, x: Tensor, error: Exception, took: int | None) -> str:
    """What is said of a network that raises an error on images, and how to mend that.

    Args:
        took: How many images it took before, if it did.
    """
    shape, said = tuple(x.shape), own_words(error)
    exported = any(forbids_eval(module) for module in network.modules())
    batch = (
        "export it for any number of images, dynamic_shapes=({0: torch.export.Dim('n')},)"
        if exported
        else "mend its forward, so that it takes any number of images and any pixels in the box"
    )
    if took is not None:
        return (
            f"the model fails on a batch of shape {shape}, though it took one of {took} image(s) "
            f"before: {said}; {batch}"
        )
    weight = next((tuple(p.shape) for p in network.parameters() if p.ndim > 1), None)
    first = "" if weight is None else f" (its first weight has shape {weight})"
    how = "give it images of the size it was made for"
    if exported:
        how = f"{how}, or {batch}"
    elif isinstance(error, TypeError):
        how = "it must take one batch of images: wrap it in a module whose forward does"
    elif len(shape) == 4 and shape[-1] in (1, 3, 4) and shape[1] not in (1, 3, 4):
        how = "channels come before rows and columns: images.permute(0, 3, 1, 2)"
    return f"the model does not take images of shape {shape}{first}: {said}; {how}"
