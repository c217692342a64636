"""Checks that scores and labels go through before any metric."""

import torch
from torch import Tensor


def comparable(scores: Tensor) -> Tensor:
    """Return scores detached and flat, half precision widened so that comparisons are exact.

    Raises:
        ValueError: The scores are not floating point.
    """
    if not scores.is_floating_point():
        raise ValueError(f"wanted floating-point scores, found {scores.dtype}: convert them first")
    scores = scores.detach().reshape(-1)
    return scores.float() if scores.dtype in {torch.float16, torch.bfloat16} else scores


def defective(labels: Tensor) -> Tensor:
    """Return labels as flat booleans; any nonzero integer is defective.

    Raises:
        ValueError: The labels are floating point, where "nonzero" may not be what was meant.
    """
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(
            f"wanted boolean or integer labels, found {labels.dtype}: threshold soft masks first"
        )
    return labels.reshape(-1) if labels.dtype == torch.bool else labels.reshape(-1) != 0


def matched(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return `comparable` scores and `defective` labels, both on the scores' device.

    Raises:
        ValueError: The shapes differ, or a dtype does not fit.
    """
    if scores.shape != labels.shape:
        raise ValueError(
            "wanted one label for each score, found scores of shape "
            f"{tuple(scores.shape)} and labels of shape {tuple(labels.shape)}"
        )
    return comparable(scores), defective(labels.to(scores.device))


def one_class_reason(normal: int, defective: int) -> str:
    """Return why images of one class cannot be ranked; empty where there are both classes."""
    if normal and defective:
        return ""
    return f"one class only: {normal} normal and {defective} defective images"
