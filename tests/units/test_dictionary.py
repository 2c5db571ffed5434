"""Dictionaries: planted features are found, a frozen decoder finds none, and verdicts tell."""

import pytest
import torch
from torch import nn

from intriguing.errors import InputError
from intriguing.units.dictionaries import compare_dictionaries, halves
from intriguing.units.dictionary import layer_vectors, learn_dictionary
from tests.units.networks import conv_network
from tests.units.planted import superposed

SEES = nn.Sequential(nn.Flatten()).eval()
"""Its only layer is the image itself."""


@pytest.fixture(scope="module")
def planted():
    images, directions = superposed(0)
    seen, others = (images.subset(half) for half in halves(images, 0))
    vectors = layer_vectors(SEES, "0", seen, len(seen))
    return vectors, layer_vectors(SEES, "0", others, len(others)), directions


def recovered(writes: torch.Tensor, directions: torch.Tensor) -> float:
    """Of planted features, the share that a learned one points along."""
    return float(((directions.T @ writes).amax(1) > 0.9).float().mean())


def test_planted_features_are_found_and_a_frozen_decoder_finds_none(planted):
    vectors, held_out, directions = planted
    torch.manual_seed(5)
    learned = learn_dictionary(vectors, held_out, 32, active=2)
    frozen = learn_dictionary(vectors, held_out, 32, active=2, frozen=True)
    assert recovered(learned.writes, directions) > 0.75
    assert recovered(frozen.writes, directions) < 0.1
    assert learned.explained > 0.8
    assert 0 < frozen.explained < learned.explained - 0.2
    torch.testing.assert_close(learned.writes.norm(dim=0), torch.ones(32))
    assert int(learned.alive.sum()) == len(learned.basis("sae"))
    again = learn_dictionary(vectors, held_out, 32, active=2)
    assert torch.equal(again.reads, learned.reads)
    assert torch.equal(again.writes, learned.writes)


def test_vectors_are_positions_of_the_layer_and_broken_ones_are_left_out():
    images = torch.rand(5, 1, 16, 16)
    with torch.no_grad():
        phi = conv_network()[:4](images)  # 12 units at 6 × 6 positions
    every = phi.flatten(2).transpose(1, 2).flatten(0, 1)
    found = layer_vectors(conv_network(), "3", images, 5)
    assert found.shape == (5 * 16, 12)
    assert float((found[:, None] - every).abs().amax(2).amin(1).max()) < 1e-6
    broken = nn.Sequential(nn.Flatten(), Inverse()).eval()
    x = torch.tensor([[0.0, 1.0], [0.5, 0.5]]).view(2, 1, 1, 2)
    assert layer_vectors(broken, "1", x, 2).tolist() == [[2.0, 2.0]]


class Inverse(nn.Module):
    """1/x, which is infinite at 0."""

    def forward(self, x):
        return 1 / x


def test_a_dictionary_that_found_what_labels_follow_is_better_than_its_control():
    images, _ = superposed(1, count=2000)
    (found,) = compare_dictionaries(
        [SEES], ["0"], images, measure="purity", delta=0.05, dictionaries=3, size=32
    )
    assert {lead.verdict for lead in found.leads} == {"better"}
    lead = next(lead for lead in found.leads if lead.reference == "sae-frozen")
    each = [one.coherence["sae"] - one.coherence["sae-frozen"] for one in found.learned]
    assert lead.difference == pytest.approx(sum(each) / 3)
    assert lead.low < lead.difference < lead.high
    assert min(each) > 0.1
    beside_units = next(lead for lead in found.leads if lead.reference == "natural")
    units = torch.tensor(found.learned[0].units)
    assert beside_units.high - beside_units.low > 2 * 1.96 * float(units.std()) / len(units) ** 0.5


def test_what_cannot_be_learned_or_compared_is_refused(planted):
    vectors, held_out, _ = planted
    with pytest.raises(InputError, match="fewer active"):
        learn_dictionary(vectors, held_out, 4, active=4)
    with pytest.raises(InputError, match="give both"):
        learn_dictionary(vectors[:0], held_out, 8)
    images, _ = superposed(1, count=12)
    with pytest.raises(InputError, match="give 18 or more"):
        compare_dictionaries([SEES], ["0"], images, measure="purity", delta=0.05)
    with pytest.raises(InputError, match="give 2 or more"):
        compare_dictionaries(
            [SEES], ["0"], superposed(1, count=40)[0], measure="purity", delta=0.05, dictionaries=1
        )
