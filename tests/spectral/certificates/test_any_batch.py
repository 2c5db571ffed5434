"""A certificate is the same to the bit alone, in a batch, and on any number of threads."""

import pytest
import torch
from torch import nn

from intriguing import Progress, certify


def networks() -> dict[str, tuple[nn.Module, dict[str, bool]]]:
    """One a way of bounding a network around an image."""
    torch.manual_seed(3)
    dense = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 12), nn.Sigmoid(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 3)
    )
    convolutional = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(2, 3)
    )
    for network in (dense, convolutional):
        for parameter in network.parameters():
            parameter.data.mul_(2.0)
    return {
        "ball": (dense.eval(), {}),
        "multipliers": (dense.eval(), {"multipliers": True}),
        "relaxation": (convolutional.eval(), {}),
    }


@pytest.mark.parametrize("way", ["ball", "multipliers", "relaxation"])
def test_alone_in_any_batch_and_on_any_threads_the_same(way: str) -> None:
    network, asked = networks()[way]
    images = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        labels = network(images).argmax(1)
    threads: set[int] = set()

    def seen(step: Progress) -> None:
        threads.add(torch.get_num_threads())

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        together = certify(network, images, labels, progress=seen, **asked).radius
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert threads == {1}
    assert bool((together > 0).all())
    alone = certify(network, images[1:], labels[1:], **asked).radius
    assert torch.equal(alone, together[1:])
