"""Metrics of a classifier from its logits, counted on the device.

**Ties are pessimistic.** The true class has rank 1 + the number of *other* classes whose score is
at least its own, so that a constant output is never right: its top-1 is 0, not the share of the
class that happens to have index 0.

Macro metrics are means over the classes that the test set has. scikit-learn's
``precision_recall_fscore_support`` gives the same to 2e-16 from labels on the host, but takes 10
times as long (4.0 ms against 0.4 ms for 10,000 images of 100 classes). torchmetrics counts in
float32 and includes a class that was predicted but has no test image in the average, as 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bench.metrics.catalog import Level, UndefinedMetricError, Value

BINS = 15
"""Equal-width bins of the calibration error, as Guo et al. 2017 (section 2)."""

# Confidence is summed in integer steps, exact to 1.5e-11 per image and without overflow below 1.3e8
# images per bin, so that the order of images and of atomic additions on CUDA changes no digit.
_STEPS = 2**36


@dataclass(frozen=True)
class ClassInputs:
    """What a class metric is computed from; shared parts are computed on first use and kept.

    Attributes:
        logits: ``(N, C)`` scores, float32 or float64. Half precision ties more often than the
            model does: keep the last layer's output in float32.
        labels: ``(N,)`` integers in [0, C).
        epochs: Top-1 on these images after every epoch, or None.

    Raises:
        ValueError: A row's highest logit is not finite, a label is out of range, or shapes or
            dtypes do not fit.

    Example:
        >>> logits = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
        >>> inputs = ClassInputs(logits, torch.tensor([0, 1, 1]))
        >>> [metric(inputs).value for metric in (macro_precision, macro_recall, macro_f1)]
        [0.75, 0.75, 0.6666666666666666]
    """

    logits: Tensor
    labels: Tensor
    epochs: Sequence[float] | None = None
    level: Level = "class"

    def __post_init__(self) -> None:
        """Check the inputs."""
        _check(self.logits, self.labels)

    @property
    def classes(self) -> int:
        """C."""
        return self.logits.shape[1]

    @cached_property
    def truth(self) -> Tensor:
        """``(N,)`` int64 labels on the logits' device."""
        return self.labels.to(self.logits.device, torch.int64)

    @cached_property
    def own(self) -> Tensor:
        """``(N, 1)`` logits of the true classes."""
        return self.logits.gather(1, self.truth[:, None])

    @cached_property
    def rank(self) -> Tensor:
        """``(N,)`` number of other classes that score at least as high as the true class."""
        return (self.logits >= self.own).sum(1) - 1

    @cached_property
    def top(self) -> Tensor:
        """``(N, 1)`` highest logits."""
        return self.logits.amax(1, keepdim=True)

    @cached_property
    def predicted(self) -> Tensor:
        """``(N,)`` int64, the true class or, where it does not win, the lowest best other class."""
        index = torch.arange(self.classes, device=self.logits.device)
        other = index != self.truth[:, None]
        best = self.logits.masked_fill(~other, -math.inf).amax(1, keepdim=True)
        # C where a class is not the best other one; clamped, because a single class has no other.
        lowest = torch.where(other & (self.logits == best), index, self.classes).amin(1)
        return torch.where(self.rank == 0, self.truth, lowest.clamp(max=self.classes - 1))

    @cached_property
    def confusion(self) -> Tensor:
        """``(C, C)`` int64: images by true class (row) and predicted class (column)."""
        cell = self.truth * self.classes + self.predicted  # flat position of (true, predicted)
        cells = self.truth.new_zeros(self.classes**2)
        return cells.index_add_(0, cell, torch.ones_like(cell)).view(self.classes, self.classes)

    @cached_property
    def tied(self) -> int:
        """Images whose true class shares the highest score with another; all count as wrong."""
        return int(((self.own == self.top)[:, 0] & (self.rank > 0)).sum())

    @cached_property
    def absent(self) -> tuple[int, ...]:
        """Classes without a test image."""
        return tuple((self.confusion.sum(1) == 0).nonzero()[:, 0].tolist())

    @cached_property
    def bins(self) -> Tensor:
        """``(3, BINS)`` float64 by confidence: images, right ones, sum of their confidence."""
        odds = (self.logits.double() - self.top.double()).exp()
        confidence = odds.sum(1).reciprocal()
        # (a, b] bins: the inner edges alone, so that 1 falls into the last one.
        edges = torch.arange(1, BINS, dtype=torch.float64, device=confidence.device) / BINS
        place = torch.bucketize(confidence, edges)
        steps = (confidence * _STEPS).round().to(torch.int64)
        rows = torch.stack((torch.ones_like(steps), (self.rank == 0).long(), steps))
        images, right, total = rows.new_zeros(3, BINS).index_add_(1, place, rows).double()
        return torch.stack((images, right, total / _STEPS))

    def require_images(self) -> None:
        """Check that there is an image.

        Raises:
            UndefinedMetricError: There is none.
        """
        if not len(self.labels):
            raise UndefinedMetricError("nothing to judge")


def top1(inputs: ClassInputs) -> Value:
    """Return the share of images whose true class scores higher than every other.

    Example:
        >>> logits = torch.tensor([[3.0, 1.0], [2.0, 2.0]])
        >>> top1(ClassInputs(logits, torch.tensor([0, 1])))  # a tie is wrong
        Value(value=0.5, note='1 of 2 images count as wrong because another class ties with the \
truth for the highest score')
    """
    inputs.require_images()
    images = len(inputs.labels)
    note = (
        f"{inputs.tied} of {images} images count as wrong because another class ties with the "
        "truth for the highest score"
    )
    return Value(int(inputs.confusion.diagonal().sum()) / images, note if inputs.tied else "")


def top5(inputs: ClassInputs) -> Value:
    """Return the share of images whose true class is among the five highest.

    Example:
        >>> top5(ClassInputs(torch.arange(6.0).repeat(2, 1), torch.tensor([0, 1]))).value
        0.5
    """
    inputs.require_images()
    classes = inputs.classes
    note = f"{classes} classes only: top-{classes}, always right" if classes <= 5 else ""
    return Value(int((inputs.rank < min(5, classes)).sum()) / len(inputs.labels), note)


def _macro(
    numerators: Callable[[Tensor], Tensor], denominators: Callable[[Tensor], Tensor]
) -> Callable[[ClassInputs], Value]:
    """Return a metric: the quotient of two functions of the confusion matrix, mean over classes."""

    def metric(inputs: ClassInputs) -> Value:
        inputs.require_images()
        confusion, absent = inputs.confusion, len(inputs.absent)
        quotients = numerators(confusion).double() / denominators(confusion).clamp(min=1)
        note = (
            f"{absent} of {inputs.classes} classes have no test image; the mean is over the others"
        )
        present = confusion.sum(1) > 0
        return Value(float(quotients[present].mean()), note if absent else "")

    return metric


# TP / predicted, which is 0 for a class never predicted; TP / images of the class, which is top-1
# if classes are balanced; and 2 TP / (images of the class + predicted).
macro_precision = _macro(Tensor.diagonal, lambda confusion: confusion.sum(0))
macro_recall = _macro(Tensor.diagonal, lambda confusion: confusion.sum(1))
macro_f1 = _macro(
    lambda confusion: 2 * confusion.diagonal(),
    lambda confusion: confusion.sum(1) + confusion.sum(0),
)


def ece(inputs: ClassInputs) -> float:
    """Return the expected calibration error (Guo et al. 2017, equation 3).

    Σ over bins of |right − sum of confidence| / images, in 15 bins (a, b] of the highest softmax
    probability. torchmetrics' ``multiclass_calibration_error`` sums in float32, which moves the
    eighth digit, and counts a tie as right if the true class has the lower index: for constant
    logits of three classes it gives 0 where no image is right and this function gives 1/3.

    Example:
        >>> logits = torch.tensor([[99.0, 0], [0, 99.0], [99.0, 0], [99.0, 0]])
        >>> ece(ClassInputs(logits, torch.tensor([0, 1, 1, 0])))
        0.25
    """
    inputs.require_images()
    return float((inputs.bins[1] - inputs.bins[2]).abs().sum() / len(inputs.labels))


def top1_best_epoch(inputs: ClassInputs) -> float:
    """Return the highest top-1 after any epoch; it *sees the test labels*, which chose the epoch.

    Example:
        >>> top1_best_epoch(ClassInputs(torch.eye(2), torch.tensor([0, 1]), epochs=[0.5, 0.7]))
        0.7
    """
    if not inputs.epochs:
        raise UndefinedMetricError("no epoch was evaluated")
    return max(inputs.epochs)


def predicted_classes(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``(N,)`` int64, the class each image counts as, by the metrics' rule for ties.

    An image whose true class ties with others counts as the lowest of those others.

    Args:
        logits: ``(N, C)`` scores.
        labels: ``(N,)`` integers in [0, C).

    Example:
        >>> predicted_classes(torch.tensor([[3.0, 1.0], [2.0, 2.0]]), torch.tensor([0, 1])).tolist()
        [0, 0]
    """
    return ClassInputs(logits, labels).predicted


def check_balanced(
    top1: float, macro_recall: float, support: Sequence[int] | Tensor, tolerance: float = 1e-9
) -> str:
    """Return why top-1 and macro recall, which are equal if balanced, contradict each other.

    Args:
        top1: Share of right images.
        macro_recall: Mean recall over the classes that have images.
        support: ``(C,)`` test images of each class.
        tolerance: Largest difference that rounding may have made.

    Returns:
        The contradiction; empty where there is none or the test set is not balanced.

    Example:
        >>> check_balanced(0.5, 0.5, [10, 10]), check_balanced(0.5, 0.4, [10, 20])
        ('', '')
    """
    present = {int(count) for count in support} - {0}
    if len(present) != 1 or abs(top1 - macro_recall) <= tolerance:
        return ""
    return (
        f"top-1 is {top1:.6g} and macro recall {macro_recall:.6g}, but every class has "
        f"{present.pop()} test images, so they must be equal: one of the two is wrong"
    )


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or not logits.shape[1] or labels.shape != logits.shape[:1]:
        raise ValueError(
            "wanted scores of shape (N, C) and one label per row, found "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    integers = not (labels.is_floating_point() or labels.is_complex())
    if not logits.is_floating_point() or not integers or labels.dtype == torch.bool:
        raise ValueError(
            f"wanted floating-point scores and integer labels, found {logits.dtype} and "
            f"{labels.dtype}: mixed (soft) labels are for training, not evaluation"
        )
    if broken := int((~logits.amax(1).isfinite()).sum()):
        raise ValueError(
            f"wanted logits without NaN and with a finite maximum; {broken} images have others: "
            "the model diverged"
        )
    classes = logits.shape[1]
    if misplaced := int(((labels < 0) | (labels >= classes)).sum()):
        raise ValueError(
            f"wanted labels in [0, {classes}), found {misplaced} outside, between "
            f"{int(labels.min())} and {int(labels.max())}: count classes from 0, and give the "
            "model one output for each"
        )
