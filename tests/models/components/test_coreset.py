import numpy as np
import pytest
import torch

from models.components import coreset
from models.components.coreset import k_center_greedy, k_center_greedy_approximate


def structured(count, channels=40, rank=8, seed=0, offset=3.0):
    """Clusters of unequal width along few directions, and noise in all, far from the origin."""
    g = torch.Generator().manual_seed(seed)
    factors = torch.randn(count, rank, generator=g) * torch.rand(count, 1, generator=g)
    mixing = torch.randn(rank, channels, generator=g)
    return factors @ mixing + 0.05 * torch.randn(count, channels, generator=g) + offset


def greedy(points, count, bound, picks=()):
    """The definition, in float64, one pick at a time."""
    points, picks, bound = points.double().numpy(), list(picks), bound.copy()
    while len(picks) < count:
        open_to_choice = np.where(np.isin(np.arange(len(points)), picks), -1, bound)
        picks.append(int(open_to_choice.argmax()))
        bound = np.minimum(bound, np.linalg.norm(points - points[picks[-1]], axis=1))
    return picks


def greedy_from(points, count, start):
    rows = points.double().numpy()
    return greedy(points, count, np.linalg.norm(rows - rows[start], axis=1), [start])


@pytest.fixture(params=[4096, 50], ids=["one pass", "many passes"])
def _candidates(request, monkeypatch):
    monkeypatch.setattr(coreset, "_CANDIDATES", request.param)
    monkeypatch.setattr(coreset, "_ROWS", 16)


@pytest.mark.usefixtures("_candidates")
@pytest.mark.parametrize("seed", range(3))
def test_picks_are_the_greedy_ones(seed):
    points = structured(900, seed=seed)
    assert k_center_greedy(points, 300, 17).tolist() == greedy_from(points, 300, 17)


@pytest.mark.usefixtures("_candidates")
def test_coreset_of_isotropic_points_is_greedy():
    points = torch.randn(400, 24, generator=torch.Generator().manual_seed(1))
    assert k_center_greedy(points, 120, 0).tolist() == greedy_from(points, 120, 0)


@pytest.mark.usefixtures("_candidates")
def test_approximate_begins_with_mean_distances():
    points = structured(700)
    starts = torch.tensor([3, 99, 650])
    rows = points.double().numpy()
    means = np.mean([np.linalg.norm(rows - rows[s], axis=1) for s in starts], axis=0)
    found = k_center_greedy_approximate(points, 200, starts)
    assert found.tolist() == greedy(points, 200, means)


@pytest.mark.usefixtures("_candidates")
def test_ties_are_broken_by_index():
    axis = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    lattice = torch.cartesian_prod(axis, axis, axis, axis)  # zero mean, so nothing is rounded
    points = torch.cat([lattice, torch.zeros(len(lattice), 4)], dim=1)
    assert k_center_greedy(points, 200, 312).tolist() == greedy_from(points, 200, 312)


@pytest.mark.usefixtures("_candidates")
def test_no_point_is_picked_twice_even_among_equal_ones():
    points = structured(40).repeat(5, 1)
    picks = k_center_greedy(points, 200, 7)
    assert sorted(picks.tolist()) == list(range(200))
    assert sorted(p % 40 for p in picks[:40].tolist()) == list(range(40))


def test_one_point_and_one_pick():
    assert k_center_greedy(torch.ones(1, 4), 1, 0).tolist() == [0]
    assert k_center_greedy(structured(30), 1, 12).tolist() == [12]


def test_far_from_the_origin_nothing_is_lost():
    points = structured(500, offset=0.0)
    moved = points + 300  # float32 keeps 3e-5 of these
    assert k_center_greedy(moved, 150, 0).tolist() == greedy_from(moved, 150, 0)


@pytest.mark.parametrize("count", [0, 31])
def test_impossible_sizes_are_refused(count):
    with pytest.raises(ValueError, match=f"wanted 1 to 30, found {count}"):
        k_center_greedy(structured(30), count, 0)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_points_must_be_finite(value):
    points = structured(30)
    points[4, 2] = value
    with pytest.raises(ValueError, match="finite"):
        k_center_greedy(points, 3, 0)
