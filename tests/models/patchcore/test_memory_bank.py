import pytest
import torch

from models.components import nearest_neighbors as nearest_point
from models.components.nearest_neighbors import principal_subspace
from models.patchcore.memory_bank import MemoryBank


def structured(count, seed, channels=64, rank=6, noise=0.1, offset=5.0):
    g = torch.Generator().manual_seed(seed)
    mixing = torch.randn(rank, channels, generator=torch.Generator().manual_seed(99))
    factors = torch.randn(count, rank, generator=g)
    return factors @ mixing + noise * torch.randn(count, channels, generator=g) + offset


def white(count, seed, channels=64):
    return torch.randn(count, channels, generator=torch.Generator().manual_seed(seed))


def brute(queries, bank):
    """Float64 distances of all pairs."""
    q, m = queries.double(), bank.double()
    return (q[:, None] - m[None]).square().sum(dim=2).sqrt()


def filled(patches):
    bank = MemoryBank(patches.shape[1])
    bank.fill(patches)
    return bank


@pytest.mark.parametrize("make", [structured, white])
@pytest.mark.parametrize("size", [1, 255, 700])
def test_nearest_is_exact(make, size):
    patches, queries = make(size, 1), make(330, 2)
    distances, indices = filled(patches).nearest(queries)
    expected = brute(queries, patches)
    torch.testing.assert_close(distances.double(), expected.amin(1), rtol=1e-5, atol=0)
    assert torch.equal(indices, expected.argmin(1))


@pytest.mark.parametrize("seed", range(20))
def test_nearest_is_exact_where_points_are_almost_in_the_subspace(seed):
    g = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(256, 65, generator=g))[0]
    basis, outside = directions[:, :64], directions[:, 64]
    inside = torch.nn.functional.normalize(torch.randn(64, generator=g) @ basis.T, dim=0)
    patches = inside + torch.empty(500, 1).uniform_(1e-4, 4e-4, generator=g) * outside
    queries = inside + torch.rand(50, 1, generator=g) * outside
    bank = nearest_point.Bank.of(nearest_point.Points.of(patches, basis))
    squares, _ = nearest_point.nearest_point(nearest_point.Points.of(queries, basis), bank)
    assert (squares <= brute(queries, patches).amin(1).square() * (1 + 1e-5)).all()


def test_bounds_leave_few_pairs_of_structured_features():
    patches, queries = structured(2000, 1), structured(300, 2)
    assert principal_subspace(patches - patches.mean(0)).shape == (64, 32)
    assert principal_subspace(white(2000, 1)) is None
    counted = []
    original = nearest_point.squared_distances
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            nearest_point,
            "squared_distances",
            lambda x, c, i, j: counted.append(len(i)) or original(x, c, i, j),
        )
        filled(patches).nearest(queries)
    assert sum(counted) < 3 * len(queries)


def test_queries_with_many_candidates_are_searched_in_full(monkeypatch):
    # The last query lies apart from a shell of equally far patches: no bound rules them out.
    g = torch.Generator().manual_seed(3)
    shell = torch.nn.functional.normalize(torch.randn(4000, 64, generator=g), dim=1)
    patches = torch.cat([structured(500, 1, offset=0.0), shell])
    queries = torch.cat([structured(20, 2, offset=0.0), torch.zeros(1, 64)])
    searched = []
    original = nearest_point._search

    def search(x, *rest):
        searched.append((x.reduced is None, len(x)))
        return original(x, *rest)

    monkeypatch.setattr(nearest_point, "_search", search)
    distances, indices = filled(patches).nearest(queries)
    assert (True, 1) in searched
    expected = brute(queries, patches)
    torch.testing.assert_close(distances.double(), expected.amin(1), rtol=1e-5, atol=0)
    assert torch.equal(indices[:-1], expected[:-1].argmin(1))


def test_nearest_finds_the_patch_itself_and_breaks_ties_by_index():
    patches = structured(150, 1)
    distances, indices = filled(patches.repeat(3, 1)).nearest(patches)
    assert distances.tolist() == [0.0] * 150
    assert indices.tolist() == list(range(150))


def test_neighborhood_begins_with_the_patch_itself():
    patches = structured(400, 1)
    patches[7] = patches[3]
    bank = filled(patches)
    indices = torch.tensor([7, 3, 250])
    found = bank.neighborhood(indices, 6)
    expected = brute(patches[indices], patches)
    assert torch.equal(found[:, 0], indices)
    torch.testing.assert_close(
        expected.gather(1, found), expected.topk(6, largest=False).values, rtol=1e-5, atol=1e-6
    )
    assert bank.neighborhood(indices, 900).shape == (3, 400)


def test_distances_to_chosen_patches():
    patches, queries = structured(50, 1), structured(3, 2)
    chosen = torch.tensor([[0, 5], [49, 1], [7, 7]])
    torch.testing.assert_close(
        filled(patches).distances(queries, chosen).double(),
        brute(queries, patches).gather(1, chosen),
        rtol=1e-5,
        atol=0,
    )


def test_memory_bank_is_prepared_again_after_a_move():
    bank, queries = filled(structured(300, 1)), structured(40, 2)
    before = bank.nearest(queries)
    bank.double().float()
    assert bank._prepared().rows is bank.patches
    assert torch.equal(bank.nearest(queries)[1], before[1])


def test_below_limits_the_search_to_nearer_points():
    patches, queries = structured(500, 1, offset=0.0), structured(60, 2, offset=0.0)
    basis = principal_subspace(patches)
    bank = nearest_point.Bank.of(nearest_point.Points.of(patches, basis))
    points = nearest_point.Points.of(queries, basis)
    expected = brute(queries, patches).square()
    least = expected.amin(1).float()
    below = torch.where(torch.arange(60) % 2 == 0, least * 0.99, least * 1.01)
    squares, indices = nearest_point.nearest_point(points, bank, below)
    assert torch.equal(squares[::2], below[::2])
    assert (indices[::2] == 500).all()
    torch.testing.assert_close(squares[1::2], least[1::2])
    assert torch.equal(indices[1::2], expected.argmin(1)[1::2])


def test_the_subspace_is_orthonormal_and_holds_nine_tenths():
    points = structured(3000, 1, noise=0.4)
    points = points - points.mean(0)
    basis = principal_subspace(points)
    torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1]), atol=1e-5, rtol=0)
    assert (points @ basis).square().sum() >= 0.9 * points.square().sum()
