"""Certificates against what adversarial examples are found, and against closed forms."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from intriguing import InputError, certify, sandwich
from intriguing.spectral.certificates.pairwise import pair_bounds


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    return torch.tensor(data.images / 16, dtype=torch.float32), torch.tensor(data.target)


def trained(network: nn.Module, digits: tuple[Tensor, Tensor], steps: int = 300) -> nn.Module:
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randint(1300, (128,), generator=generator)
        loss = nn.functional.cross_entropy(network(digits[0][rows]), digits[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


@pytest.fixture(scope="module")
def mlp(digits: tuple[Tensor, Tensor]) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(2):
        layers += [nn.Linear(64, 64), nn.ReLU()]
    return trained(nn.Sequential(*layers, nn.Linear(64, 10)), digits)


def test_a_linear_networks_certificate_is_its_distance_to_the_boundary(
    digits: tuple[Tensor, Tensor],
) -> None:
    torch.manual_seed(0)
    network = trained(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), digits)
    images, labels = digits[0][:200], digits[1][:200]
    certificates = certify(network, images, labels)
    weight, bias = network[1].weight.detach().double(), network[1].bias.detach().double()
    logits = images.flatten(1).double() @ weight.T + bias
    apart = (weight[:, None] - weight).norm(dim=2)
    exact = (logits.gather(1, labels[:, None]) - logits) / apart[labels]
    exact = exact.scatter(1, labels[:, None], math.inf).amin(1).clamp_min(0)
    assert (certificates.radius.double() <= exact).all()
    torch.testing.assert_close(certificates.radius.double(), exact, rtol=1e-4, atol=1e-5)
    assert certificates.guaranteed


def test_no_adversarial_example_undercuts_a_certificate(
    mlp: nn.Module, digits: tuple[Tensor, Tensor]
) -> None:
    images, labels = digits[0][1300:1360], digits[1][1300:1360]
    held = sandwich(mlp, images, labels)
    assert held.violations == 0
    assert held.median_ratio >= 0.8
    whole = sandwich(mlp, images, labels, certificates=certify(mlp, images, labels, local=False))
    assert held.median_ratio > whole.median_ratio + 0.03
    wrong = mlp(images).argmax(1) != labels
    assert (held.certified[wrong] == 0).all()
    certified, attacked = held.accuracy(torch.linspace(0, 3, 20))
    assert (certified <= attacked).all()
    plain = certify(mlp, images, labels, semidefinite=False)
    assert (plain.radius <= held.certified * (1 + 1e-6)).all()


def test_pairs_bound_the_gradients_of_differences(
    mlp: nn.Module, digits: tuple[Tensor, Tensor]
) -> None:
    bounds = pair_bounds(mlp, (8, 8), None)
    assert torch.equal(bounds.pairs, bounds.pairs.T)
    images = digits[0][:64].clone().requires_grad_()
    logits = mlp(images)
    for first, second in ((0, 1), (3, 8), (9, 4)):
        lead = (logits[:, first] - logits[:, second]).sum()
        (gradient,) = torch.autograd.grad(lead, images, retain_graph=True)
        assert gradient.flatten(1).norm(dim=1).max() <= bounds.pairs[first, second]


def test_a_convolutional_network_is_certified(digits: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)

    class Unsqueezed(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x[:, None])

    network = trained(
        Unsqueezed(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3),
            nn.ReLU(), nn.Flatten(), nn.Linear(64, 10),
        ),
        digits,
    )  # fmt: skip
    images, labels = digits[0][1300:1306], digits[1][1300:1306]
    held = sandwich(network, images, labels)
    plain = certify(network, images, labels, semidefinite=False)
    assert held.violations == 0
    assert "semidefinite" in held.certificates.formula
    assert held.certified.median() > 1.05 * plain.radius.median()


def test_an_unknown_network_certifies_nothing() -> None:
    class Factorial(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).lgamma()

    images = torch.rand(3, 1, 2, 2)
    certificates = certify(Factorial().eval(), images, images.lgamma().flatten(1).argmax(1))
    assert (certificates.radius == 0).all()
    assert not certificates.guaranteed


def test_an_image_whose_logits_are_nan_is_misclassified() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).sqrt()

    images = torch.rand(3, 1, 2, 2)
    images[1, 0, 0] = -0.5
    labels = images.flatten(1).nan_to_num().argmax(1)
    found = certify(Root().eval(), images, labels, box=(-1.0, 1.0))
    assert found.radius[1] == 0
    assert found.margin[1] == -math.inf
    assert found.radius.isfinite().all()


def test_images_that_are_not_finite_are_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    broken = torch.rand(3, 1, 2, 2)
    broken[1] = math.nan
    with pytest.raises(InputError, match=r"1 image.*NaN.*index 1"):
        certify(network, broken, torch.zeros(3, dtype=torch.int64))


def test_wrong_input_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    with pytest.raises(InputError, match="labels"):
        certify(network, torch.rand(2, 4), torch.tensor([0, 3]))
    known = certify(network, torch.rand(2, 4), torch.tensor([0, 1]))
    with pytest.raises(InputError, match="certificates"):
        sandwich(network, torch.rand(3, 4), torch.tensor([0, 1, 2]), certificates=known)
