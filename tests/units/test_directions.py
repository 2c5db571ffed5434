"""Bases: rotations that are rotations, uniformly; the path between; bases learned and read."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from scipy import stats
from torch import nn

from intriguing.errors import InputError
from intriguing.units.activations import activations
from intriguing.units.directions import (
    Basis,
    gaussian,
    haar,
    kmeans,
    load_directions,
    natural,
    nearest_directions,
    pca,
    rotation_path,
)
from tests.units.networks import conv_network


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=60, deadline=None)
@given(
    units=st.integers(1, 24),
    seed=st.integers(0, 999),
    alpha=st.floats(0, 0.5),
    beta=st.floats(0, 0.5),
)
def test_the_path_is_a_group_of_rotations_from_the_identity_to_q(units, seed, alpha, beta):
    q = haar(units, seeded(seed)).matrix
    identity = natural(units).matrix
    assert torch.linalg.det(q) == pytest.approx(1)
    torch.testing.assert_close(q.T @ q, identity)
    a, b = rotation_path(q, alpha).matrix, rotation_path(q, beta).matrix
    torch.testing.assert_close(a.T @ a, identity)
    torch.testing.assert_close(a @ b, rotation_path(q, alpha + beta).matrix)
    assert torch.equal(rotation_path(q, 0.0).matrix, identity.double())
    torch.testing.assert_close(rotation_path(q, 1.0).matrix, q)


def test_half_turns_and_fixed_directions_have_their_path():
    q = torch.diag(torch.tensor([-1.0, 1.0, -1.0, -1.0, -1.0])).double()
    half = rotation_path(q, 0.5).matrix
    torch.testing.assert_close(half @ half, q)
    quarter = rotation_path(torch.tensor([[0.0, -1.0], [1.0, 0.0]]), 0.5).matrix
    torch.testing.assert_close(quarter[0, 0], torch.tensor(math.cos(math.pi / 4)).double())


def test_no_real_path_leads_to_a_mirror_and_none_beyond_its_ends():
    with pytest.raises(InputError, match="mirrors"):
        rotation_path(torch.diag(torch.tensor([1.0, -1.0])), 0.5)
    with pytest.raises(InputError, match="not orthogonal"):
        rotation_path(torch.ones(2, 2), 0.5)
    with pytest.raises(InputError, match="alpha"):
        rotation_path(torch.eye(2), 1.5)
    with pytest.raises(InputError, match="square"):
        rotation_path(torch.ones(2, 3), 0.5)


def test_haar_rotations_are_uniform():
    # An entry squared of a Haar matrix is Beta(1/2, (n − 1)/2); without the sign fix of QR the
    # diagonal would be of one sign.
    n = 6
    entries = torch.stack([haar(n, seeded(s)).matrix for s in range(600)])
    for i, j in ((0, 0), (3, 3), (5, 5), (2, 4), (5, 0)):
        x = entries[:, i, j].numpy()
        assert stats.kstest(x**2, stats.beta(0.5, (n - 1) / 2).cdf).pvalue > 1e-3
        assert stats.binomtest(int((x > 0).sum()), len(x)).pvalue > 1e-3
    fewer = haar(50, seeded(0), columns=7).matrix
    torch.testing.assert_close(fewer.T @ fewer, torch.eye(7).double())


def test_gaussian_directions_have_length_one_and_are_seeded():
    v = gaussian(30, 7, seeded(1))
    torch.testing.assert_close(v.matrix.norm(dim=0), torch.ones(7).double())
    assert torch.equal(v.matrix, gaussian(30, 7, seeded(1)).matrix)


def test_pca_is_the_svd_of_the_centred_activations():
    model, images = conv_network(), torch.rand(60, 1, 16, 16)
    phi = next(activations(model, "3", images))["3"].flatten(2)
    rows = phi.transpose(1, 2).flatten(0, 1).double()
    v = torch.linalg.svd(rows - rows.mean(0), full_matrices=False).Vh.T
    found = pca(model, "3", images, 5, batch_size=16).matrix
    torch.testing.assert_close((found * v[:, :5]).sum(0).abs(), torch.ones(5).double())
    assert bool((found.gather(0, found.abs().argmax(0, keepdim=True)) > 0).all())


def test_kmeans_points_at_the_clusters():
    centres = 5 * torch.eye(4)[:3]
    points = centres.repeat(100, 1) + 0.1 * torch.randn(300, 4, generator=seeded(0))
    model = nn.Sequential(nn.Flatten()).eval()
    found = kmeans(model, "0", points.view(300, 1, 2, 2), 3).matrix
    expected = (centres - centres.mean(0)).T.double()
    cosines = (found.T @ (expected / expected.norm(dim=0))).abs()
    assert bool((cosines.max(0).values > 0.99).all())
    again = kmeans(model, "0", points.view(300, 1, 2, 2), 3).matrix
    assert torch.equal(found, again)
    with pytest.raises(InputError, match="too few"):
        kmeans(model, "0", points[:3].view(3, 1, 2, 2), 3)
    assert kmeans(conv_network(), "3", torch.rand(40, 1, 16, 16), 5).matrix.shape == (12, 5)


def test_matrices_are_read_from_files_and_never_unpickled(tmp_path):
    matrix = torch.randn(5, 3, dtype=torch.float64)
    np.save(tmp_path / "a.npy", matrix.numpy())
    save_file({"dictionary": matrix}, tmp_path / "b.safetensors")
    for name in ("a.npy", "b.safetensors"):
        assert torch.equal(load_directions(tmp_path / name, 5).matrix, matrix)
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "nan.npy", np.full((5, 3), np.nan))
    np.save(tmp_path / "text.npy", np.array([["a"]]))
    np.save(tmp_path / "complex.npy", np.ones((5, 3), dtype=complex))
    save_file({"a": matrix, "b": matrix.clone()}, tmp_path / "two.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    (tmp_path / "weights.pt").write_bytes(b"")
    for name, match in {
        "pickled.npy": "cannot read",
        "nan.npy": "finite",
        "text.npy": "cannot read",
        "complex.npy": "finite",
        "two.safetensors": "2 tensors",
        "junk.safetensors": "cannot read",
        "weights.pt": "no .npy or .safetensors",
        "missing.npy": "there is no file",
    }.items():
        with pytest.raises(InputError, match=match):
            load_directions(tmp_path / name)
    with pytest.raises(InputError, match="5 rows but the layer has 3 units; transpose"):
        load_directions(tmp_path / "a.npy", 3)


def test_the_nearest_directions_are_at_the_smallest_angles():
    basis = Basis("b", torch.tensor([[1.0, 0.9, 0.0], [0.0, 0.1, 2.0]]))
    indices, cosines = nearest_directions(basis, basis, 1)
    assert indices[:, 0].tolist() == [1, 0, 1]
    assert cosines[0, 0] == pytest.approx(0.9 / math.hypot(0.9, 0.1))
    assert nearest_directions(natural(2), basis, 3)[0][1, 0] == 2
