"""Is a network fit to be judged: what would make attacks look weak or numbers meaningless.

In the spirit of AutoAttack's checks (Croce & Hein, 2020) and of Carlini et al., On Evaluating
Adversarial Robustness (2019): each flaw is measured on a few images before hours are spent, and
comes with what follows from it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.data.checks import check_images
from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, Box, as_box
from intriguing.models.classifier import Classifier
from intriguing.models.evaluation import training_parts
from intriguing.models.gradients import gradient_findings
from intriguing.models.logit_scale import logit_scale
from intriguing.models.observe import operations
from intriguing.models.requirements import PROBABILITIES, probabilities_of
from intriguing.models.warning import ModelWarning

__all__ = ["ModelWarning", "preflight"]

_MOST = 16
"""Images that are asked about: each check is a few passes, so that it costs seconds."""
_ROUNDING = 1e-4
"""Of the largest logit: more than other batch sizes or kernels change by rounding."""


def preflight(
    model: nn.Module,
    images: Float[Tensor, "image ..."],
    *,
    box: Box | Sequence[float | Tensor] = UNIT_BOX,
) -> tuple[ModelWarning, ...]:
    """Everything found about a network that its numbers would not say; empty when all is well.

    Checked are: modules in training mode, logits that are not finite, probabilities, outputs that
    differ from run to run, that depend on the batch, weights that change, gradients taken inside,
    branches, missing, zero and misleading gradients, saturated and rounded logits, and logits of an
    unusual size or far from 0.

    Args:
        model: Any module from images to logits; left as it was found.
        images: A few of what it is going to be asked about; the first 16 are taken.
        box: Of the pixels: its corners are tried, too.

    Raises:
        InputError: If the model does not take the images, or gives no logits of them: then there
            is nothing to look at.
    """
    box = as_box(box)
    check_images(images, box)
    if not len(images):
        raise InputError("there are no images; give at least one")
    asked = Classifier(model)
    found = list(training_mode(model))
    with torch.enable_grad():
        logits = asked(images[:_MOST].detach())
    x = asked.fit(images[:_MOST])
    found += not_finite(asked, x, box)
    random = list(randomised(asked, x))
    found += random
    if not bool(logits.isfinite().all()):
        return tuple(found)
    found += probabilities(logits, asked.eps)
    found += logit_scale(logits, asked.eps)
    found += optimises_inside(asked, x)
    if not random:  # what differs anyhow cannot be compared
        found += depends_on_batch(asked, x)
        found += changes_itself(asked, x)
        found += branches(asked, x)
        found += gradient_findings(asked, x, box)
    return tuple(found)


def training_mode(model: nn.Module) -> Iterator[ModelWarning]:
    """Dropout or batch statistics left on, anywhere inside."""
    parts = training_parts(model)
    if not parts:
        return
    modules = dict(model.named_modules())
    leaves = [name for name in parts if not list(modules[name].children())]
    names = [name or "the network" for name in leaves or parts]
    some = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    active = [
        module for module in map(modules.__getitem__, parts) if isinstance(module, _ACTIVE)
    ]  # fmt: skip
    kinds = sorted({type(module).__name__ for module in active})
    yield ModelWarning(
        "training mode",
        f"{len(names)} modules are in training mode ({some})"
        + (f", among them {', '.join(kinds)}" if kinds else ""),
        "dropout drops and batch norms take the batch's statistics, so that accuracy and "
        "distortions are not those of the network in use; call model.eval()",
    )


_ACTIVE = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


def not_finite(model: Classifier, x: Tensor, box: Box) -> Iterator[ModelWarning]:
    """NaN or infinity, on the images or in the corners of the box where a search may go."""
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    low, high = box.lower + 0 * x[:2], box.upper + 0 * x[:2]
    places = {
        "the images": x, "the lowest pixels": low, "the highest pixels": high,
        "noise": low[:1] + noise * (high[:1] - low[:1]),
    }  # fmt: skip
    bad = []
    for name, points in places.items():
        with torch.no_grad():
            rows = ~model(points).isfinite().all(1)
        if bool(rows.any()):
            bad.append(f"{int(rows.sum())} of {len(rows)} of {name}")
    if bad:
        yield ModelWarning(
            "not finite",
            f"logits are NaN or infinite for {', '.join(bad)}",
            "such images count as failures, and a search that comes there ends; look for a "
            "division by zero, a logarithm of zero, or 16-bit overflow",
        )


def randomised(model: Classifier, x: Tensor) -> Iterator[ModelWarning]:
    """Other logits for the same images."""
    with torch.no_grad():
        first, *others = (model(x) for _ in range(4))
    scale = _scale(first)
    spread = max(float((other - first).abs().nan_to_num().max()) for other in others) / scale
    if spread <= _rounding(model):
        return
    changed = torch.stack([other.argmax(1) != first.argmax(1) for other in others]).any(0)
    yield ModelWarning(
        "randomised outputs",
        f"the same {len(x)} images run four times give logits that differ by up to "
        f"{spread:.2g} of the largest, and {int(changed.sum())} change their class",
        "an example that is adversarial once may not be the next time, gradients are noisy, and "
        "every distortion is of one draw; make the network deterministic, or average over draws "
        "in its forward and attack the average",
        hides=True,
    )


def probabilities(logits: Tensor, eps: float) -> Iterator[ModelWarning]:
    """A softmax or a sigmoid at the end."""
    kind = probabilities_of(logits, eps)
    if kind:
        near = float((logits.detach().sum(1) - 1).abs().max())
        sums = f" and sum to 1 within {near:.1g}" if kind == "softmax" else ", from a sigmoid"
        yield ModelWarning(
            "probabilities",
            f"the outputs of every image lie in [0, 1]{sums}",
            "the cross-entropy of a softmax of probabilities is flat, and margins saturate; the "
            f"model gives {PROBABILITIES[kind]}",
        )


def optimises_inside(model: Classifier, x: Tensor) -> Iterator[ModelWarning]:
    """Gradients taken within the forward pass."""
    calls = 0
    engine: tuple[Any, Any] = (torch.autograd.grad, torch.autograd.backward)

    def counting(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            return original(*args, **kwargs)

        return call

    try:
        torch.autograd.grad, torch.autograd.backward = map(counting, engine)
        with torch.enable_grad():
            model(x[:2].clone())
    finally:
        torch.autograd.grad, torch.autograd.backward = engine
    if calls:
        yield ModelWarning(
            "optimises inside",
            f"one forward pass takes gradients {calls} times",
            "a gradient through it is at best an approximation and dear; distortions found are "
            "upper bounds that may be far from the least; no layer bounds can be had",
            hides=True,
        )


def depends_on_batch(model: Classifier, x: Tensor) -> Iterator[ModelWarning]:
    """Other logits for an image in other company."""
    if len(x) < 2:
        return
    with torch.no_grad():
        together = model(x)
        halves = torch.cat([model(half) for half in x.tensor_split(2)])
        try:
            alone = torch.cat([model(one[None]) for one in x])
        except (RuntimeError, ValueError):  # a batch norm may refuse a single image
            alone = halves
    scale = _scale(together)
    spread = max(float((other - together).abs().max()) for other in (alone, halves)) / scale
    if spread > _rounding(model):
        yield ModelWarning(
            "depends on the batch",
            f"the logits of an image change by up to {spread:.2g} of the largest with the images "
            "beside it",
            "an image has no distortion of its own, and results change with the batch size; look "
            "for batch statistics, or a batch size fixed when the network was exported",
            hides=True,
        )


def changes_itself(model: Classifier, x: Tensor) -> Iterator[ModelWarning]:
    """Weights or buffers that a forward pass changes."""
    before = {name: tensor.clone() for name, tensor in _state(model.network).items()}
    with torch.no_grad():
        model(x)
    after = _state(model.network)
    changed = [name for name, old in before.items() if not torch.equal(old, after[name])]
    changed = [name for name in changed if not bool(before[name].isnan().all())]
    if changed:
        yield ModelWarning(
            "changes itself",
            f"a forward pass changes {', '.join(changed[:3])}{' …' if len(changed) > 3 else ''}",
            "the network that is judged last is not the one that was judged first, and an "
            "interrupted run cannot be continued; call model.eval(), or switch adaptation off",
            hides=True,
        )


def branches(model: Classifier, x: Tensor) -> Iterator[ModelWarning]:
    """Operations that depend on what is in the image."""
    noise = torch.rand(x[:1].shape, generator=torch.Generator().manual_seed(1)).to(x)
    points = (*torch.split(x[:8], 1), 0 * x[:1], 0 * x[:1] + 1, noise)
    try:
        runs = {operations(model, point) for point in points}
    except (RuntimeError, ValueError):  # it takes no image alone, which is said elsewhere
        return
    if len(runs) > 1:
        yield ModelWarning(
            "control flow",
            f"{len(points)} single images take {len(runs)} different sequences of operations",
            "the gradient knows only the branch an image took, and bounds of layers and "
            "certificates, which need one graph for all images, cannot be had",
        )


def _state(network: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers; what int8 layers keep besides is never changed by a pass."""
    state = network.state_dict().items()
    return {name: tensor.detach() for name, tensor in state if isinstance(tensor, Tensor)}


def _rounding(model: Classifier) -> float:
    return max(_ROUNDING, 4 * model.eps if model.coarse else 0.0)


def _scale(logits: Tensor) -> float:
    return float(logits.abs().nan_to_num(posinf=0).max()) or 1.0
