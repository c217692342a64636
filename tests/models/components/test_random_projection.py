import pytest
import torch

from models.components.random_projection import dense_projection, sparse_projection


@pytest.mark.parametrize("make", [dense_projection, lambda c: sparse_projection(c, 300_000)])
def test_ratios_of_distances_are_roughly_kept(make):
    torch.manual_seed(0)
    points = torch.randn(200, 384) * torch.linspace(0.1, 2, 384)
    projected = points @ make(384)
    ratio = torch.pdist(projected) / torch.pdist(points)
    assert ratio.std() / ratio.mean() < 0.1


def test_sparse_is_of_the_right_scale_and_density():
    torch.manual_seed(0)
    projection = sparse_projection(1536, 300_000)
    assert projection.shape == (1536, 311)  # scikit-learn's johnson_lindenstrauss_min_dim
    assert (projection != 0).float().mean().item() == pytest.approx(1536**-0.5, rel=0.02)
    values = projection[projection != 0].abs()
    torch.testing.assert_close(values, torch.full_like(values, (1536**0.5 / 311) ** 0.5))
    assert projection.mean().abs() < 1e-3


def test_components_are_those_of_the_lemma():
    from sklearn.random_projection import johnson_lindenstrauss_min_dim

    for samples in (500, 40_000, 300_000):
        wanted = johnson_lindenstrauss_min_dim(samples, eps=0.9)
        assert sparse_projection(64, samples).shape[1] == wanted
