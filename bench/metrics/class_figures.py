"""A classifier's figures from its counts: exact, in float64, each a number or a reason.

Macro figures are means over the classes that the test set has. They are not taken from torchmetrics
because its quotients are float32, which shows "macro recall equals top-1" to seven digits only, and
because its macro mean counts a class that was predicted but has no test image as 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

FIGURES = ("top1", "top5", "macro_precision", "macro_recall", "macro_f1", "ece")


@dataclass
class Classification:
    """Figures by name, higher is better but for ``ece``.

    Attributes:
        metrics: ``top1``, ``top5``, ``macro_precision``, ``macro_recall``, ``macro_f1``, ``ece``.
        reasons: Why a figure is ``nan``, by its name.
        notes: What a figure that exists does not mean as usual, by its name.
        confusion: ``(C, C)`` int64: images by true class (row) and predicted class (column).
        absent: Classes without a test image.
        tied: Images whose truth shared the highest score with another class; all count as wrong.
    """

    confusion: Tensor
    absent: tuple[int, ...]
    tied: int
    metrics: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def summarize(confusion: Tensor, in_top5: int, tied: int, bins: Tensor) -> Classification:
    """All figures of the counts.

    Args:
        confusion: ``(C, C)`` int64, rows are true classes.
        in_top5: Images whose truth is among the five highest classes.
        tied: Images whose truth shares the highest score.
        bins: ``(3, K)`` float64 by confidence: images, right ones, sum of their confidence.
    """
    classes, support = len(confusion), confusion.sum(1)
    images, absent = int(support.sum()), (support == 0).nonzero()[:, 0].tolist()
    found = Classification(confusion, tuple(absent), tied)
    if not images:
        found.metrics = dict.fromkeys(FIGURES, math.nan)
        found.reasons = dict.fromkeys(FIGURES, "nothing to judge")
        return found
    found.metrics = {
        "top1": int(confusion.diagonal().sum()) / images,
        "top5": in_top5 / images,
        **_macro(confusion),
        "ece": float((bins[1] - bins[2]).abs().sum() / images),
    }
    if classes <= 5:
        found.notes["top5"] = f"{classes} classes only: top-{classes}, always right"
    if absent:
        note = f"{len(absent)} of {classes} classes have no test image; the mean is over the others"
        found.notes |= {name: note for name in FIGURES if name.startswith("macro_")}
    return found


def check_balanced(
    top1: float, macro_recall: float, support: Sequence[int] | Tensor, tolerance: float = 1e-9
) -> str:
    """On a class-balanced test set macro recall equals top-1: the reason where it does not.

    Args:
        top1: Share of right images.
        macro_recall: Mean recall over the classes that have images.
        support: ``(C,)`` test images a class.
        tolerance: How far apart rounding may have brought them.

    Returns:
        The contradiction; empty where there is none or the set is not balanced.
    """
    present = {int(count) for count in support} - {0}
    if len(present) != 1 or abs(top1 - macro_recall) <= tolerance:
        return ""
    return (
        f"top-1 is {top1:.6g} and macro recall {macro_recall:.6g}, but every class has "
        f"{present.pop()} test images, so they must be equal: one of the two is wrong"
    )


def _macro(confusion: Tensor) -> dict[str, float]:
    """Means over the classes that have images; precision of a class never predicted is 0."""
    hits, support, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    present = support > 0
    quotients = {
        "macro_precision": hits.double() / predicted.clamp(min=1),
        "macro_recall": hits.double() / support.clamp(min=1),
        "macro_f1": 2 * hits.double() / (support + predicted).clamp(min=1),
    }
    return {name: float(values[present].mean()) for name, values in quotients.items()}
