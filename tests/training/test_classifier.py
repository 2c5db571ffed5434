import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.functional import cross_entropy

import intriguing.training.classifier as module
from intriguing.data.named import load_data
from intriguing.errors import InputError
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.models.initial import draw_glorot
from intriguing.training.classifier import full_batch, train_classifier
from intriguing.training.decay import Convention
from intriguing.training.lbfgs import LBFGSConfig

CONVERGED = LBFGSConfig(max_iterations=2000, tolerance=1e-9)


@pytest.mark.parametrize(("convention", "k"), [("sum", 1), ("half", 2), ("units", 10)])
def test_softmax_agrees_with_scikit_learn(convention: Convention, k: int) -> None:
    digits = load_data("digits").train
    images, labels = digits.images.flatten(1).double(), digits.labels
    lam = 1e-2
    model = FullyConnected((64, 10)).double()
    report = train_classifier(model, images, labels, [lam], CONVERGED, convention=convention)
    # scikit-learn minimises C Σ loss + ½ Σ w², its intercepts free as our biases are.
    theirs = LogisticRegression(C=k / (2 * lam * len(images)), tol=1e-9, max_iter=5000)
    theirs.fit(images.numpy(), labels.numpy())
    probabilities = torch.from_numpy(theirs.predict_proba(images.numpy()))
    data_loss = -probabilities.gather(1, labels[:, None]).log().mean().item()
    optimum = data_loss + lam / k * float((theirs.coef_**2).sum())
    assert report.converged
    assert report.objective == pytest.approx(optimum, rel=1e-7)
    torch.testing.assert_close(model(images).softmax(1), probabilities, atol=1e-3, rtol=0)


def test_single_precision_stops_near_the_same_optimum() -> None:
    digits = load_data("digits").train
    objectives = []
    for dtype in (torch.float32, torch.float64):
        model = FullyConnected((64, 10)).to(dtype)
        images = digits.images.flatten(1).to(dtype)
        report = train_classifier(model, images, digits.labels, [1e-2], CONVERGED)
        assert report.converged
        objectives.append(report.objective)
    assert objectives[0] == pytest.approx(objectives[1], rel=1e-5)


def test_blocks_sum_to_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 7)
    model = FullyConnected((5, 4, 3)).double()
    draw_glorot(list(model.layers), torch.Generator().manual_seed(0))
    inputs, labels = torch.rand(30, 5, dtype=torch.float64), torch.arange(30) % 3
    value = full_batch(model, inputs, labels, lambda: model.layers[0].weight.square().sum())()
    ours = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    whole = cross_entropy(model(inputs), labels) + model.layers[0].weight.square().sum()
    whole.backward()
    assert value == pytest.approx(whole.item(), rel=1e-12)
    for mine, parameter in zip(ours, model.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-10, atol=1e-14)


def test_what_does_not_fit_is_refused_before_work() -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(InputError, match="2 weight decays for 1 layers"):
        train_classifier(model, torch.rand(4, 3), torch.zeros(4).long(), [1.0, 1.0])
    with pytest.raises(InputError, match="4 images and 3 labels"):
        train_classifier(model, torch.rand(4, 3), torch.zeros(3).long(), [1.0])
