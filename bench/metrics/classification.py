"""Figures of a classifier from its logits, counted on the device batch by batch.

**Ties are pessimistic.** The truth counts as found at rank 1 + the number of *other* classes whose
score is at least its own, so that a constant output is never right: its top-1 is 0, not the share
of the class that happens to have index 0. How many images such a tie cost is told (``tied``).

Everything is counted in integers, confidence in steps of 2⁻³⁶, so that neither the batch size nor
the order changes a digit.
"""

import math

import torch
from torch import Tensor

from bench.metrics.class_figures import Classification, summarize

BINS = 15
"""Equal-width bins of the calibration error, as Guo et al. 2017 (section 2)."""

_STEPS = 2**36  # of confidence: exact to 1.5e-11 an image, no overflow below 1.3e8 images a bin


class ClassificationCounts:
    """Takes batches, stays on the device; only `result` waits for it."""

    def __init__(
        self, classes: int, device: torch.device | str = "cpu", probabilities: bool = False
    ) -> None:
        """Start from nothing.

        Args:
            classes: C.
            device: Where the batches lie.
            probabilities: Whether the scores are probabilities already; never guessed from them.
        """
        self.classes, self.probabilities = classes, probabilities

        def zeros(count: int) -> Tensor:
            return torch.zeros(count, dtype=torch.int64, device=device)

        self._confusion = zeros(classes * classes)
        self._bins = zeros(3 * BINS)  # images, right ones, steps of confidence
        self._in_top5, self._tied = zeros(1), zeros(1)
        self._faults = zeros(2)  # rows of broken scores, labels out of range
        self._label_range = zeros(2)  # lowest and highest label, or 0

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch, without waiting for the device.

        Args:
            logits: ``(B, C)`` scores, or probabilities if the counter was told so. Half precision
                ties more often than the model does: keep the last layer's output in float32.
            labels: ``(B,)`` integers in [0, C).

        Raises:
            ValueError: The shapes or dtypes do not fit.
        """
        self._check(logits, labels)
        logits, labels = logits.detach(), labels.to(logits.device, torch.int64)
        if logits.dtype != torch.float64:
            logits = logits.float()
        if not len(logits):
            return
        truth = labels.clamp(0, self.classes - 1)
        own = logits.gather(1, truth[:, None])
        top = logits.amax(1, keepdim=True)  # of a row with a NaN: NaN
        rank = (logits >= own).sum(1) - 1
        right = rank == 0
        predicted = _predicted(logits, truth, right)
        self._confusion.index_add_(0, truth * self.classes + predicted, torch.ones_like(truth))
        self._in_top5 += (rank < min(5, self.classes)).sum()
        self._tied += ((own == top)[:, 0] & ~right).sum()
        self._count_confidence(_confidence(logits, top, self.probabilities), right)

        broken = _broken(logits, top, self.probabilities)
        self._faults += torch.stack((broken.sum(), (labels != truth).sum()))
        low, high = labels.aminmax()
        self._label_range = torch.stack(
            (self._label_range[0].minimum(low), self._label_range[1].maximum(high))
        )

    def result(self) -> Classification:
        """All figures of the batches so far.

        Raises:
            ValueError: A score was NaN or otherwise broken, or a label was out of range.
        """
        self._check_faults()
        images, right, steps = self._bins.view(3, BINS).double()
        return summarize(
            self._confusion.view(self.classes, self.classes).clone(),
            int(self._in_top5),
            int(self._tied),
            torch.stack((images, right, steps / _STEPS)),
        )

    def _count_confidence(self, confidence: Tensor, right: Tensor) -> None:
        # (a, b] bins: the inner edges alone, so that 1 falls into the last one.
        edges = torch.arange(1, BINS, dtype=torch.float64, device=confidence.device) / BINS
        place = torch.bucketize(confidence, edges)
        steps = (confidence * _STEPS).round().to(torch.int64)
        for kind, amounts in enumerate((torch.ones_like(steps), right.long(), steps)):
            self._bins.index_add_(0, place + kind * BINS, amounts)

    def _check(self, logits: Tensor, labels: Tensor) -> None:
        fits = logits.ndim == 2 and logits.shape[1] == self.classes
        if not fits or labels.shape != logits.shape[:1]:
            raise ValueError(
                f"wanted scores of shape (B, {self.classes}) and one label a row, found "
                f"{tuple(logits.shape)} and {tuple(labels.shape)}"
            )
        integers = not (labels.is_floating_point() or labels.is_complex())
        if not logits.is_floating_point() or not integers or labels.dtype == torch.bool:
            raise ValueError(
                f"wanted floating-point scores and integer labels, found {logits.dtype} and "
                f"{labels.dtype}: mixed (soft) labels train a model, they cannot judge it"
            )

    def _check_faults(self) -> None:
        broken, misplaced = self._faults.tolist()
        if broken:
            wanted = "probabilities that sum to 1" if self.probabilities else "logits"
            raise ValueError(
                f"wanted {wanted} without NaN, with a finite highest one; {broken} images have "
                "others: the model diverged, or logits and probabilities were mistaken"
            )
        if misplaced:
            low, high = self._label_range.tolist()
            raise ValueError(
                f"wanted labels in [0, {self.classes}), found {misplaced} outside, between {low} "
                f"and {high}: count classes from 0, and give the model one output for each"
            )


def classify(logits: Tensor, labels: Tensor, probabilities: bool = False) -> Classification:
    """All figures of a whole test set; see `ClassificationCounts`.

    Args:
        logits: ``(N, C)`` scores.
        labels: ``(N,)`` integers in [0, C).
        probabilities: Whether the scores are probabilities already.

    Raises:
        ValueError: A score is NaN, a label out of range, or shapes or dtypes do not fit.
    """
    if logits.ndim != 2 or not logits.shape[1]:
        raise ValueError(f"wanted scores of shape (N, C), found {tuple(logits.shape)}")
    counts = ClassificationCounts(logits.shape[1], logits.device, probabilities)
    counts.update(logits, labels)
    return counts.result()


def predicted_classes(logits: Tensor, labels: Tensor) -> Tensor:
    """``(N,)`` int64: the class each image counts as, by the rule for ties that the figures have.

    A truth that another class ties with is not found, so the image counts as the lowest such class.

    Args:
        logits: ``(N, C)`` scores.
        labels: ``(N,)`` integers in [0, C).
    """
    labels = labels.to(logits.device, torch.int64)
    own = logits.gather(1, labels[:, None])
    return _predicted(logits, labels, (logits >= own).sum(1) == 1)


def _predicted(logits: Tensor, truth: Tensor, right: Tensor) -> Tensor:
    return torch.where(right, truth, _best_other(logits, truth))


def _best_other(logits: Tensor, truth: Tensor) -> Tensor:
    """``(B,)`` the highest class that is not the truth, of tied ones the lowest; C if none."""
    index = torch.arange(logits.shape[1], device=logits.device)
    other = index != truth[:, None]
    best = logits.masked_fill(~other, -math.inf).amax(1, keepdim=True)
    tied = torch.where(other & (logits == best), index, logits.shape[1])
    return tied.amin(1).clamp(max=logits.shape[1] - 1)


def _confidence(logits: Tensor, top: Tensor, probabilities: bool) -> Tensor:
    """``(B,)`` float64 probability of the highest class; any number for a broken row."""
    if probabilities:
        highest = top[:, 0].double()
    else:
        highest = (logits.double() - top.double()).exp().sum(1).reciprocal()
    return highest.nan_to_num(0.0, 0.0, 0.0).clamp(0, 1)


def _broken(logits: Tensor, top: Tensor, probabilities: bool) -> Tensor:
    broken = ~top[:, 0].isfinite()
    if not probabilities:
        return broken
    # A softmax in bfloat16 sums to 1 within a few thousandths.
    off = (logits.double().sum(1) - 1).abs() > 1e-2
    return broken | off | (logits.amin(1) < 0) | (top[:, 0] > 1)
