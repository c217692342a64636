"""Formulas for operations that torch's counter of floating-point operations does not know.

A multiply-add counts as two, as in that counter. For factorizations, only the leading terms count
(LAPACK Working Note 41, appendix C).
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch

_aten: Any = torch.ops.aten
Shape = tuple[int, ...]


def _matrix_vector(matrix: Shape, vector: Shape, **_: Any) -> int:
    return 2 * prod(matrix)


def _added_matrix_vector(added: Shape, matrix: Shape, vector: Shape, **_: Any) -> int:
    return 2 * prod(matrix)


def _dot(left: Shape, right: Shape, **_: Any) -> int:
    return 2 * prod(left)


def _added_products(added: Shape, left: Shape, right: Shape, **_: Any) -> int:
    return 2 * prod(left) * right[-1]


def _distances(left: Shape, right: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    """Count all pairs of points as their inner products, however they are computed."""
    return 2 * prod(out_shape) * left[-1]


def _distances_backward(
    gradient: Shape, left: Shape, right: Shape, *_: Any, out_shape: Shape, **__: Any
) -> int:
    return 2 * prod(gradient) * left[-1]


def _embedding_bag(
    weight: Shape, indices: Shape, offsets: Shape, *rest: Any, out_shape: Any, **_: Any
) -> int:
    return 2 * prod(indices) * weight[-1]


def _triangular_solve(matrix: Shape, right: Shape, *_: Any, left: bool = True, **__: Any) -> int:
    return prod(right) * matrix[-1]


def _older_triangular_solve(right: Shape, matrix: Shape, *_: Any, **__: Any) -> int:
    return prod(right) * matrix[-1]


def _cholesky(matrix: Shape, **_: Any) -> int:
    return _matrices(matrix) * matrix[-1] ** 3 // 3


def _cholesky_solve(right: Shape, factor: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(right) * factor[-1]


def _cholesky_inverse(factor: Shape, *_: Any, **__: Any) -> int:
    return _matrices(factor) * 2 * factor[-1] ** 3 // 3


def _lu(matrix: Shape, *_: Any, **__: Any) -> int:
    return _matrices(matrix) * 2 * matrix[-1] ** 3 // 3


def _solve(matrix: Shape, right: Shape, *_: Any, **__: Any) -> int:
    return _lu(matrix) + 2 * prod(right) * matrix[-1]


def _inverse(matrix: Shape, **_: Any) -> int:
    return _matrices(matrix) * 2 * matrix[-1] ** 3


def _qr(matrix: Shape, *_: Any, **__: Any) -> int:
    """Count Householder's factorization and the forming of Q."""
    rows, columns = max(matrix[-2:]), min(matrix[-2:])
    return _matrices(matrix) * (4 * rows * columns**2 - 4 * columns**3 // 3)


def _matrices(shape: Shape) -> int:
    return prod(shape[:-2])


_BY_NAME: Mapping[str, Callable[..., int]] = {
    "mv": _matrix_vector,
    "addmv": _added_matrix_vector,
    "dot": _dot,
    "vdot": _dot,
    "addbmm": _added_products,
    "_cdist_forward": _distances,
    "_cdist_backward": _distances_backward,
    "_euclidean_dist": _distances,
    "_embedding_bag": _embedding_bag,
    "_embedding_bag_forward_only": _embedding_bag,
    "linalg_solve_triangular": _triangular_solve,
    "triangular_solve": _older_triangular_solve,
    "linalg_cholesky_ex": _cholesky,
    "cholesky_solve": _cholesky_solve,
    "cholesky_inverse": _cholesky_inverse,
    "linalg_lu_factor_ex": _lu,
    "_linalg_det": _lu,
    "_linalg_slogdet": _lu,
    "_linalg_solve_ex": _solve,
    "linalg_inv_ex": _inverse,
    "linalg_qr": _qr,
}

_UNCOUNTABLE_NAMES = (
    # The number of iterations depends on the matrix.
    *("_linalg_eigh", "linalg_eig", "_linalg_svd", "linalg_lstsq", "linalg_matrix_exp"),
    *("_fft_r2c", "_fft_c2r", "_fft_c2c", "_trilinear", "sparse_sampled_addmm", "_sparse_mm"),
    *("_cudnn_rnn", "mkldnn_rnn_layer", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell"),
    *("_native_multi_head_attention", "_transformer_encoder_layer_fwd"),
)

# Versions of torch differ in the operations they have.
FORMULAS = {getattr(_aten, name): f for name, f in _BY_NAME.items() if hasattr(_aten, name)}
"""Formulas by operation; they take the shapes of its tensors."""

UNCOUNTABLE = [getattr(_aten, name) for name in _UNCOUNTABLE_NAMES if hasattr(_aten, name)]
"""Operations that matter and have no formula here."""
