"""Networks of every precision and wrapping are searched in float32 and certified in float64."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import intriguing as it
from intriguing import InputError
from intriguing.data.dataset import ImageSet
from intriguing.distortion.methods import METHODS
from tests.machines.kinds import (
    IMAGES,
    LABELS,
    PRECISIONS,
    WRAPPINGS,
    exported,
    network,
    quantised,
    static,
)


def found(model: nn.Module, images: Tensor = IMAGES, **options: object) -> it.Distortions:
    options = {"targets": "untargeted", "budget": 60} | options
    return it.minimum_distortion(model, images, LABELS, **options)


PLAIN = found(network())


def taken_for(model: nn.Module, images: Tensor) -> Tensor:
    """As the caller asks, in the network's own format."""
    kinds = [p.dtype for p in model.parameters() if p.is_floating_point()]
    with torch.no_grad():
        return model(images.to(kinds[0] if kinds else torch.float32)).argmax(1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("method", ["closest", "paper", "ddn", "deepfool"])
def test_a_network_of_any_precision_is_searched(precision: str, method: str) -> None:
    model = PRECISIONS[precision]()
    options = {"targets": "random", "budget": None} if method == "paper" else {}
    answer = found(model, method=method, **options)
    plain = found(network(), method=method, **options)
    wide = torch.float64 if precision == "float64" else torch.float32
    assert answer.adversarial.dtype == answer.l2.dtype == wide
    coarse = precision in ("bfloat16", "autocast")
    # DeepFool steps to where two logits are equal, and stays where they are in so few digits.
    assert answer.success.all() or (coarse and method == "deepfool" and answer.success.any())
    kept = answer.success
    # What the caller sees, with all images at once and one by one.
    for given in (
        taken_for(model, answer.adversarial),
        torch.cat([taken_for(model, one[None]) for one in answer.adversarial]),
    ):
        assert (given != LABELS)[kept].all()
        if method == "paper":
            assert torch.equal(given, answer.targets)
    away = (answer.adversarial - IMAGES).flatten(1).norm(dim=1)
    torch.testing.assert_close(answer.l2[kept], away.to(wide)[kept], rtol=1e-5, atol=1e-7)
    # bfloat16 has a step in 256, which is half of the smallest of these margins.
    ratio = (answer.l2 / plain.l2)[kept]
    assert float(ratio.median()) < (2.0 if coarse else 1.1)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_no_unit_in_the_last_place_undoes_an_answer_in_16_bits(kind: torch.dtype) -> None:
    """Other batches round otherwise, by up to one unit; a margin is the difference of two."""
    model = network().to(kind)
    answer = found(model)
    with torch.no_grad():
        logits = model(answer.adversarial.to(kind)).float()
    own = logits.gather(1, LABELS[:, None])[:, 0]
    ahead = logits.scatter(1, LABELS[:, None], -torch.inf).amax(1) - own
    assert (ahead > 2 * torch.finfo(kind).eps * logits.abs().amax(1)).all()


@pytest.mark.parametrize("image", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float64", "float32"])
def test_any_images_go_with_any_network(image: torch.dtype, precision: str) -> None:
    model = network() if precision == "float32" else PRECISIONS[precision]()
    images = IMAGES.to(image)
    assert found(model, images, method="ddn").success.all()
    proved = it.certify(model, images, LABELS, semidefinite=False, local=False)
    assert (proved.radius > 0).any()
    assert it.lipschitz_report(model, (1, 6, 6), data=images, semidefinite=False).upper < 10
    assert it.preflight(model, images) is not None


@pytest.mark.parametrize("precision", PRECISIONS)
def test_certificates_are_of_the_weights_in_float64(precision: str) -> None:
    model = PRECISIONS[precision]()
    held = it.sandwich(model, IMAGES, LABELS, budget=60)
    coarse = precision not in ("float64", "integer parameter first")
    assert held.certificates.guaranteed == held.certificates.as_run == (not coarse)
    assert ("exact arithmetic" in held.certificates.formula) == coarse
    assert (held.certified > 0).any()
    assert held.violations == 0
    plain = it.certify(network(), IMAGES, LABELS)
    few = precision in ("bfloat16", "autocast")
    torch.testing.assert_close(held.certified, plain.radius, rtol=0.3 if few else 0.05, atol=0.02)
    assert (held.certified <= plain.radius * (1.05 if few else 1.02)).all()


def test_an_image_that_16_bits_misclassify_has_no_radius() -> None:
    """The weights in exact arithmetic tell the classes apart, their 16 bits do not."""
    model = nn.Linear(2, 2, bias=False).eval()
    model.weight.data.copy_(torch.tensor([[1.0, 1e-4], [1.0, 0.0]]))
    images = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0])
    assert (it.certify(model, images, labels).radius > 0).all()
    radius = it.certify(model.half(), images, labels).radius
    assert radius[0] == 0
    assert radius[1] > 0


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_wrapping_changes_nothing(wrapping: str) -> None:
    model = WRAPPINGS[wrapping]()
    assert torch.equal(found(model).adversarial, PLAIN.adversarial)
    assert it.preflight(model, IMAGES) == ()
    in_script = isinstance(model, torch.jit.ScriptModule)
    if in_script:
        for ask in (
            lambda: it.certify(model, IMAGES, LABELS),
            lambda: it.lipschitz_report(model, (1, 6, 6)),
            lambda: it.layer_spectra(model, (1, 6, 6)),
            lambda: it.list_layers(model, (1, 6, 6)),
            lambda: it.top_images(model, "1", IMAGES, k=2),
        ):
            with pytest.raises(InputError, match="TorchScript"):
                ask()
        return
    proved = it.certify(model, IMAGES, LABELS, local=False)
    assert torch.equal(proved.radius, it.certify(network(), IMAGES, LABELS, local=False).radius)
    if wrapping == "exported":
        with pytest.raises(InputError, match="no layer to read"):
            it.list_layers(model, (1, 6, 6))
    else:
        assert [layer.name for layer in it.list_layers(model, (1, 6, 6))] == ["0", "1", "2", "3"]
        top = it.top_images(model, "1", IMAGES, k=2)
        assert torch.equal(top.indices, it.top_images(network(), "1", IMAGES, k=2).indices)


@pytest.mark.parametrize("make", [quantised, static])
def test_int8_is_asked_and_has_neither_gradients_nor_bounds(
    make: Callable[[], nn.Module],
) -> None:
    model = make()
    with pytest.raises(InputError, match="no gradient") as refused:
        found(model)
    for method in set(METHODS) - {"paper"}:  # which aims at a class
        if f'method="{method}"' in str(refused.value):
            assert (found(model, method=method).l2 > 0).any()
        else:
            with pytest.raises(InputError, match="no gradient"):
                found(model, method=method)
    assert "no gradients" in {finding.name for finding in it.preflight(model, IMAGES)}
    for ask in (it.certify, lambda *_: it.lipschitz_report(model, (1, 6, 6))):
        with pytest.raises(InputError, match="from before it was quantised"):
            ask(model, IMAGES, LABELS)
    assert it.list_layers(model, (1, 6, 6))
    assert it.top_images(model, "1", IMAGES, k=2).indices.shape[1] == 2
    several = {"six": [(IMAGES, LABELS)]}
    assert it.error_matrix({"int8": model}, several)["six", "int8"].count <= 2


def test_an_exported_network_for_one_number_of_images_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match=r"size\(\)\[0\] == 6; export it for any number"):
        found(exported(network(), batch="six"))


def test_an_exported_network_counts_by_what_was_exported() -> None:
    """torch forbids eval() of it, and its flag says training whatever it computes."""
    dropping = nn.Sequential(network(), nn.Dropout(0.5))
    assert found(exported(dropping.eval())).success.all()
    with pytest.raises(InputError, match="exported in training mode"):
        found(exported(dropping.train()))


def test_autocast_and_inference_mode_around_a_search_are_refused() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(InputError, match="autocast"):
        found(network())
    with torch.inference_mode(), pytest.raises(InputError, match="inference_mode"):
        found(network())
    with torch.inference_mode():
        images = IMAGES + 0
    assert torch.equal(found(network(), images).adversarial, PLAIN.adversarial)


def test_weights_without_values_are_named() -> None:
    with pytest.raises(InputError, match=r"meta device \(1.weight\)"):
        found(network().to("meta"))
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(4)).eval()
    with pytest.raises(InputError, match=r"without a shape yet \(1.weight\)"):
        it.list_layers(lazy, (1, 6, 6))


def test_an_audit_takes_16_bits(tmp_path: Path) -> None:
    images = ImageSet("six", IMAGES.half(), LABELS, tuple("abcdef"), tuple("wxyz"))
    config = it.AuditConfig(images=2, budget=20, skip=("units", "spectrum"), semidefinite=False)
    audit = it.run_audit(network().bfloat16(), images, tmp_path / "out", config)
    ends = {record.stage: record.status for record in audit.records}
    assert ends["attack"] == ends["certify"] == ends["noise"] == "done", ends
