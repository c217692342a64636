"""All figures of one anomaly prediction, each a number or ``nan`` with its reason."""

import math
from dataclasses import dataclass

from torch import Tensor

from bench.metrics.pixels import Method, PixelMetrics, no_pixel_metrics, pixel_metrics
from bench.metrics.precision_recall import average_precision
from bench.metrics.ranking import auroc_of, defective, rank_positives
from bench.metrics.regions import Regions, label_regions
from bench.metrics.thresholds import (
    Confusion,
    best_f1_threshold,
    calibrated_threshold,
    confusion,
)

PERCENTILE = 95.0


@dataclass
class AnomalyMetrics(PixelMetrics):
    """Figures by name.

    Attributes:
        metrics: ``image_auroc``, ``image_ap``; ``accuracy``, ``precision``, ``recall``, ``f1`` at
            the calibrated threshold; ``accuracy_best_f1``, ``precision_best_f1``,
            ``recall_best_f1``, ``f1_best`` at the one that saw test labels; and `PIXEL_METRICS`.
        reasons: Why a figure is ``nan``, by its name.
        thresholds: ``calibrated_p95`` and ``best_f1`` for images, ``pixel_calibrated_p95`` and
            ``pixel_best_f1`` for pixels where they exist, on raw scores.
        methods: How a figure was computed that is not exact, with the bound of its error.
    """


def anomaly_metrics(
    scores: Tensor,
    maps: Tensor | None,
    labels: Tensor,
    masks: Tensor | None,
    calibration_scores: Tensor | None,
    calibration_maps: Tensor | None = None,
    regions: Regions | None = None,
    method: Method = "exact",
) -> AnomalyMetrics:
    """Judge a model's predictions of a test set.

    Labels and masks may disagree: image figures go by labels alone, pixel figures by masks, and a
    defective image with an empty mask counts as normal in AUPIMO.

    Args:
        scores: ``(N,)`` raw image scores.
        maps: ``(N, H, W)`` raw maps, or None.
        labels: ``(N,)`` booleans or integers; nonzero is defective.
        masks: ``(N, H, W)`` booleans or integers at the maps' size, or None.
        calibration_scores: ``(M,)`` scores of normal images neither fitted nor tested, or None.
        calibration_maps: ``(M, H, W)`` maps of these images, or None.
        regions: The masks' connected components if they are known already; labeled if None.
        method: ``histogram`` counts the maps' scores by bin instead of sorting them; so does
            ``exact`` where memory would not suffice. The result says so.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    result = AnomalyMetrics(**vars(_pixels(maps, masks, calibration_maps, regions, method)))
    positives = int(defective(labels).sum())
    one_class = (
        f"one class only: {labels.numel() - positives} normal and {positives} defective images"
        if positives in {0, labels.numel()}
        else ""
    )
    ranks = rank_positives(scores, labels)
    result.put("image_auroc", auroc_of(ranks), one_class)
    result.put("image_ap", average_precision(ranks), one_class)

    missing = calibration_scores is None or not calibration_scores.numel()
    calibrated = (
        float("nan")
        if calibration_scores is None or missing
        else calibrated_threshold(calibration_scores, PERCENTILE)
    )
    _decide(result, scores, labels, calibrated, "", "no calibration split")
    result.thresholds["calibrated_p95"] = calibrated

    best = best_f1_threshold(scores, labels)
    _decide(result, scores, labels, best, "_best_f1", one_class)
    result.thresholds["best_f1"] = best
    return result


def _pixels(
    maps: Tensor | None,
    masks: Tensor | None,
    calibration_maps: Tensor | None,
    regions: Regions | None,
    method: Method,
) -> PixelMetrics:
    if maps is None:
        return no_pixel_metrics("the model gives no maps")
    if regions is None:
        if masks is None:
            return no_pixel_metrics("the dataset has no masks")
        regions = label_regions(masks)
    return pixel_metrics(maps, regions, calibration_maps, method)


def _decide(
    result: AnomalyMetrics,
    scores: Tensor,
    labels: Tensor,
    threshold: float,
    suffix: str,
    without_threshold: str,
) -> None:
    """Put the four figures of one threshold, or say why there is no threshold."""
    undecided = math.isnan(threshold)
    counts = Confusion(0, 0, 0, 0) if undecided else confusion(scores, labels, threshold)
    reasons = counts.reasons()
    for name in ("accuracy", "precision", "recall", "f1"):
        full = "f1_best" if suffix and name == "f1" else name + suffix
        reason = without_threshold if undecided else reasons.get(name, "")
        result.put(full, getattr(counts, name), reason)
