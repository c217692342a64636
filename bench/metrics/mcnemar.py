"""McNemar's test: are two classifiers right equally often on the same images?

Only the images on which they disagree speak. If neither is better, each of those falls to either
side with a chance of one half (McNemar 1947).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

EXACT_LIMIT = 1000
"""Most disagreements for which p is binomial; beyond, chi-square differs by less than 1e-4."""


@dataclass(frozen=True)
class McNemar:
    """The test's outcome.

    Attributes:
        only_first: Images that only the first gets right.
        only_second: Images that only the second gets right.
        p: Two-sided.
        method: ``exact`` or ``chi-square``.
    """

    only_first: int
    only_second: int
    p: float
    method: str


def mcnemar_test(first_right: Tensor, second_right: Tensor) -> McNemar:
    """Test two models on the same images.

    Args:
        first_right: ``(N,)`` booleans: whether the first model is right.
        second_right: ``(N,)`` booleans of the same images in the same order.

    Raises:
        ValueError: They are not booleans of one shape.
    """
    booleans = first_right.dtype == second_right.dtype == torch.bool
    if not booleans or first_right.shape != second_right.shape:
        raise ValueError(
            "wanted two boolean tensors of one shape, true where the model is right, found "
            f"{first_right.dtype} {tuple(first_right.shape)} and "
            f"{second_right.dtype} {tuple(second_right.shape)}"
        )
    second_right = second_right.to(first_right.device)
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    return mcnemar(only_first, only_second)


def mcnemar(only_first: int, only_second: int, exact_limit: int = EXACT_LIMIT) -> McNemar:
    """Test two counts of disagreements.

    Exact binomial up to ``exact_limit`` disagreements, chi-square with continuity correction above.
    Without a disagreement p is 1.

    Args:
        only_first: Images that only the first gets right.
        only_second: Images that only the second gets right.
        exact_limit: Most disagreements for the exact p.
    """
    total = only_first + only_second
    if total <= exact_limit:
        return McNemar(only_first, only_second, _exact_p(only_first, only_second), "exact")
    # Corrected by one, but never past no difference at all.
    distance = max(0, abs(only_first - only_second) - 1)
    p = math.erfc(distance / math.sqrt(2 * total))
    return McNemar(only_first, only_second, p, "chi-square")


def _exact_p(first: int, second: int) -> float:
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(first, second), first + second, 0.5)))
