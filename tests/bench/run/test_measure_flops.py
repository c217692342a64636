"""FLOPs by the formula, a multiply-add counting as two; parameters by hand."""

import counted_numbers as plain
import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from bench.run.measure.flops import (
    ParameterCounts,
    UncountableFlopsError,
    count_flops,
    numbers_kept,
    parameter_counts,
)
from models.components.nearest_neighbors import Bank, Points
from models.components.nominal_flops import counts_as
from models.patchcore.memory_bank import MemoryBank


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize("groups", [1, 3])
def test_convolution(mode, groups):
    convolution = nn.Conv2d(3, 6, 5, stride=2, padding=2, groups=groups)
    images = torch.randn(4, 3, 16, 12)
    by_hand = 2 * 4 * 6 * 8 * 6 * (3 // groups) * 5 * 5  # 2 · B · C_out · H · W · C_in · k²
    with mode():
        assert count_flops(lambda: convolution(images)) == by_hand


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_matrix_product(mode):
    left, right = torch.randn(7, 5), torch.randn(5, 11)
    with mode():
        assert count_flops(lambda: left @ right) == 2 * 7 * 5 * 11


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_attention_counts_on_the_cpu_too(mode):
    tokens = torch.randn(2, 3, 10, 8)  # batch, heads, tokens, width
    with mode():
        flops = count_flops(lambda: scaled_dot_product_attention(tokens, tokens, tokens))
    assert flops == 2 * 2 * (2 * 3 * 10 * 10 * 8)  # q kᵀ and weights v


def test_backward_is_twice_the_forward():
    linear = nn.Linear(6, 4, bias=False)
    inputs = torch.randn(3, 6, requires_grad=True)
    forward = count_flops(lambda: linear(inputs))
    assert forward == 2 * 3 * 6 * 4
    assert count_flops(lambda: linear(inputs).sum().backward()) == 3 * forward


A, B = torch.randn(18, 5, generator=torch.Generator().manual_seed(0)).split((7, 11))
SPD = A.T @ A + 5 * torch.eye(5)
V = B[0]


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize(
    ("ours", "algorithm", "inputs"),
    [
        pytest.param(lambda: A @ V, plain.product, (A, V[:, None]), id="mv"),
        pytest.param(
            lambda: torch.addmv(torch.zeros(7), A, V), plain.product, (A, V[:, None]), id="addmv"
        ),
        pytest.param(lambda: V @ V, plain.product, (V[None], V[:, None]), id="dot"),
        pytest.param(lambda: torch.einsum("nd,md->nm", A, B), plain.product, (A, B.T), id="einsum"),
        pytest.param(
            lambda: torch.baddbmm(torch.zeros(1, 7, 11), A[None], B.T[None]),
            plain.product,
            (A, B.T),
            id="baddbmm",
        ),
        pytest.param(
            lambda: torch.addbmm(torch.zeros(7, 11), A[None], B.T[None]),
            plain.product,
            (A, B.T),
            id="addbmm",
        ),
        *(
            pytest.param(
                lambda how=how: torch.cdist(A, B, compute_mode=how),
                plain.squared_distances,
                (A, B),
                id=f"cdist {how}",
            )
            for how in ("use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
        ),
    ],
)
def test_products_and_distances_count_as_a_plain_algorithm_multiplies(
    mode, ours, algorithm, inputs
):
    flops, values = plain.counted(algorithm, *(matrix.tolist() for matrix in inputs))
    with mode():
        assert count_flops(ours) == flops
        found = ours().float()
    expected = torch.tensor(values)
    if algorithm is plain.squared_distances:
        expected = expected.sqrt()
    # The same computation, up to the precision that distances by products lose.
    torch.testing.assert_close(found.reshape(expected.shape), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "ours", "algorithm"),
    [
        ("cholesky", lambda m, r: torch.linalg.cholesky(m), plain.cholesky),
        (
            "triangular",
            lambda m, r: torch.linalg.solve_triangular(m.triu(), r, upper=True),
            plain.solve_upper,
        ),
        ("solve", torch.linalg.solve, plain.solve),
        ("inverse", lambda m, r: torch.linalg.inv(m), plain.solve),
        ("determinant", lambda m, r: torch.linalg.slogdet(m), None),
    ],
)
def test_factorizations_count_the_leading_terms(name, ours, algorithm):
    size = 48
    noise = torch.randn(size, size, generator=torch.Generator().manual_seed(1))
    matrix, right = noise @ noise.T + size * torch.eye(size), noise[:, :9]
    if name == "inverse":
        # Columns of the identity have leading zeros, of which elimination makes no use here.
        flops, _ = plain.counted(plain.solve, matrix.tolist(), torch.eye(size).tolist())
        flops *= 2 / (2 / 3 + 2)
    elif algorithm is None:
        flops = plain.counted(plain.solve, matrix.tolist(), [[]] * size)[0]
    else:
        matrices = (matrix,) if name == "cholesky" else (matrix, right)
        flops, _ = plain.counted(algorithm, *(m.tolist() for m in matrices))
    assert count_flops(lambda: ours(matrix, right)) == pytest.approx(flops, rel=0.06)


def test_a_nearest_neighbor_search_counts_all_distances_however_it_prunes():
    generator = torch.Generator().manual_seed(0)
    low_rank = torch.randn(600, 8, generator=generator) @ torch.randn(8, 64, generator=generator)
    queries = low_rank[:90] + 0.01
    bank = MemoryBank(64)
    bank.fill(low_rank)
    assert bank._basis is not None  # the search prunes
    pruned = count_flops(lambda: bank.nearest(queries))
    bank._basis = None
    bank._bank = Bank.of(Points.of(bank.patches, None))  # as on a GPU
    assert count_flops(lambda: bank.nearest(queries)) == pruned == 2 * 90 * 600 * 64


def test_declared_operations_replace_those_within():
    left, right = A, B.T

    def step():
        left @ right
        with counts_as(1000):
            left @ right
            with counts_as(50):
                left @ right
            torch.linalg.eigh(right @ right.T)  # has no formula, and needs none here
        left @ right

    assert count_flops(step) == 2 * (2 * 7 * 5 * 11) + 1000
    step()  # outside of a count nothing happens


def test_what_has_no_formula_is_an_error_that_names_it():
    with pytest.raises(UncountableFlopsError, match="_linalg_eigh"):
        count_flops(lambda: torch.linalg.eigh(SPD))


def test_parameters_all_and_trainable_shared_ones_once():
    frozen, head = nn.Linear(4, 5), nn.Linear(5, 2)
    frozen.requires_grad_(False)
    assert parameter_counts(nn.Sequential(frozen, head, head)) == ParameterCounts(
        all=4 * 5 + 5 + 5 * 2 + 2, trainable=5 * 2 + 2
    )


def test_numbers_kept_count_tensors_at_any_depth_and_nothing_else():
    checkpoint = {
        "weight": torch.zeros(2, 3),
        "parts": {"decoder": {"bias": torch.zeros(5), "epochs": 7}},
        "banks": [torch.zeros(11), (torch.zeros(()), "a name", None)],
    }
    assert numbers_kept(checkpoint) == 2 * 3 + 5 + 11 + 1
    assert numbers_kept({}) == 0


def test_parameter_as_a_modules_input_in_inference_mode():
    scale, activation = nn.Parameter(torch.ones(5, 1)), nn.Softplus()
    matrix = torch.ones(3, 5)

    def step():
        with torch.inference_mode():
            return matrix @ activation(scale)

    assert count_flops(step) == 2 * 3 * 5
