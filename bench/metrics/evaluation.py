"""Compute every registered metric of a prediction: each a number, or ``nan`` with its reason."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from bench.metrics.catalog import Level, Metric, UndefinedMetricError, Value, metrics_of
from bench.metrics.classes import ClassInputs
from bench.metrics.image import ImageInputs
from bench.metrics.pixels import Method, PixelInputs, SaturatedRegions
from bench.metrics.regions import Regions, label_regions
from bench.metrics.thresholds import Threshold


@dataclass
class MetricValues:
    """Values by name of metric.

    Attributes:
        metrics: Values; ``nan`` where there is none.
        reasons: Why a value is ``nan``.
        notes: How an inexact value was computed, or how a value differs from the usual.
        thresholds: Thresholds on raw scores of images and, where they exist, of pixels.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    thresholds: tuple[Threshold, ...] = ()


class MetricInputs(Protocol):
    """Inputs of the metrics of one level."""

    @property
    def level(self) -> Level:
        """Level of the metrics that take them."""


@dataclass(frozen=True)
class MissingInputs:
    """Stand in for the inputs of a level that a prediction does not have, and say why."""

    level: Level
    reason: str


def compute_metrics(*inputs: MetricInputs) -> MetricValues:
    """Compute the registered metrics of the inputs' levels, in the order of registration.

    Args:
        *inputs: ``ImageInputs``, ``PixelInputs`` or ``ClassInputs``, at most one per level.

    Example:
        >>> import torch
        >>> inputs = ImageInputs(torch.tensor([0.1, 0.4, 0.4, 0.9]), torch.tensor([0, 0, 1, 1]))
        >>> values = compute_metrics(inputs)
        >>> values.metrics["image_auroc"], values.reasons["accuracy"]
        (0.875, 'no calibration split')
    """
    by_level = {each.level: each for each in inputs}
    values = MetricValues()
    for metric in metrics_of(*by_level):
        own = by_level[metric.level]
        if metric.requires and getattr(own, metric.requires, None) is None:
            continue
        value, reason = _compute(metric, own)
        values.metrics[metric.name] = value.value
        if reason:
            values.reasons[metric.name] = reason
        if value.note:
            values.notes[metric.name] = value.note
    return values


def anomaly_metrics(
    scores: Tensor,
    maps: Tensor | None,
    labels: Tensor,
    masks: Tensor | None,
    calibration_scores: Tensor | None,
    calibration_maps: Tensor | None = None,
    regions: Regions | None = None,
    method: Method = "exact",
    saturated: SaturatedRegions | None = None,
) -> MetricValues:
    """Evaluate an anomaly detector's predictions of a test set.

    Labels and masks may disagree: image metrics go by labels alone, pixel metrics by masks. AUPIMO
    counts false positives in images that are normal both by label and by mask.

    Args:
        scores: ``(N,)`` raw image scores.
        maps: ``(N, H, W)`` raw maps, or None.
        labels: ``(N,)`` booleans or integers; nonzero is defective.
        masks: ``(N, H, W)`` booleans or integers at the maps' size, or None.
        calibration_scores: ``(M,)`` scores of normal images neither fitted nor tested, or None.
        calibration_maps: ``(M, H, W)`` maps of these images, or None.
        regions: The masks' connected components if known already; labeled if None.
        method: ``histogram`` counts the maps' scores by bin instead of sorting them; so does
            ``exact`` where memory would not suffice. The notes say so.
        saturated: Annotated regions with saturations, for datasets that have them.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    pixels: PixelInputs | MissingInputs
    if maps is None:
        pixels = MissingInputs("pixel", "the model gives no maps")
    elif regions is None and masks is None:
        pixels = MissingInputs("pixel", "the dataset has no masks")
    else:
        if regions is None:
            assert masks is not None
            regions = label_regions(masks)
        pixels = PixelInputs(maps, regions, calibration_maps, method, saturated, labels)
    images = ImageInputs(scores, labels, calibration_scores)
    values = compute_metrics(pixels, images)
    values.thresholds = images.thresholds()
    if isinstance(pixels, PixelInputs):
        values.thresholds += pixels.thresholds()
    return values


def classification_metrics(
    logits: Tensor, labels: Tensor, epochs: Sequence[float] | None = None
) -> MetricValues:
    """Evaluate a classifier's logits of a test set; see `ClassInputs` for the arguments."""
    return compute_metrics(ClassInputs(logits, labels, epochs))


def _compute(metric: Metric, inputs: MetricInputs) -> tuple[Value, str]:
    """Return a metric's value, and why it is ``nan``."""
    if isinstance(inputs, MissingInputs):
        return Value(math.nan), inputs.reason
    try:
        computed = metric.compute(inputs)
        value = computed if isinstance(computed, Value) else Value(float(computed))
    except UndefinedMetricError as reason:
        return Value(math.nan), str(reason)
    except Exception as error:
        if isinstance(metric.function, str):
            raise
        # A plugin's metric that fails loses its own cell, not the case.
        return Value(math.nan), f"its function failed with {type(error).__name__}: {error}"
    return value, "" if math.isfinite(value.value) else f"its function returned {value.value}"
