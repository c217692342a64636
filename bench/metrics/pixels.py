"""All figures of a set's maps, exact if they fit into memory, with a bound if not."""

import math
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context
from typing import Literal

from torch import Tensor

from bench.metrics.histogram import BITS, ScoreHistogram
from bench.metrics.iou import iou, pixel_threshold
from bench.metrics.pimo import aupimo, too_few
from bench.metrics.precision_recall import average_precision, f1_max
from bench.metrics.pro import aupro
from bench.metrics.ranking import auroc_of, rank_regions
from bench.metrics.ranking_memory import fits
from bench.metrics.regions import Regions

Method = Literal["exact", "histogram"]
LIMITS = {"aupro_30": 0.3, "aupro_05": 0.05, "aupro_01": 0.01}
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "pixel_f1_best", "iou_calibrated", *LIMITS, "aupimo")
PERCENTILE = 95.0
_INFINITE = "every defective pixel scores −inf, which no threshold flags"


@dataclass
class PixelMetrics:
    """Figures by name; ``nan`` has its reason.

    Attributes:
        metrics: Every one of `PIXEL_METRICS`.
        reasons: Why a figure is ``nan``.
        thresholds: ``pixel_calibrated_p95`` and ``pixel_best_f1`` on raw scores, where they exist;
            the histogram has no ``pixel_best_f1``.
        methods: How a figure was computed that is not exact, with the bound of its error.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, value: float, reason: str) -> None:
        """Keep a figure; the reason only if it is ``nan``."""
        self.metrics[name] = value
        if math.isnan(value):
            self.reasons[name] = reason


def pixel_metrics(
    maps: Tensor,
    regions: Regions,
    calibration_maps: Tensor | None = None,
    method: Method = "exact",
) -> PixelMetrics:
    """Judge maps.

    Args:
        maps: ``(N, H, W)`` raw maps.
        regions: Connected components of the masks.
        calibration_maps: ``(M, H, W)`` maps of normal images neither fitted nor tested.
        method: ``histogram`` counts scores by bin; so does ``exact`` where memory would not
            suffice.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    result = PixelMetrics()
    positives = len(regions.positions)
    only = "every" if positives else "no"
    one_class = (
        f"one class only: {only} pixel is defective"
        if positives in {0, math.prod(regions.shape)}
        else ""
    )
    if method == "exact" and fits(maps, regions):
        _exactly(result, maps, regions, one_class)
    else:
        _by_histogram(result, maps, regions, one_class)
    overlap, missing = float("nan"), "no calibration maps"
    if calibration_maps is not None and calibration_maps.numel():
        threshold = pixel_threshold(calibration_maps, PERCENTILE)
        result.thresholds["pixel_calibrated_p95"] = threshold
        overlap, missing = iou(maps, regions, threshold), one_class
    result.put("iou_calibrated", overlap, missing)
    return result


def no_pixel_metrics(reason: str) -> PixelMetrics:
    """Every figure ``nan`` for one reason."""
    result = PixelMetrics()
    for name in PIXEL_METRICS:
        result.put(name, float("nan"), reason)
    return result


def _exactly(result: PixelMetrics, maps: Tensor, regions: Regions, one_class: str) -> None:
    ranks = rank_regions(maps, regions)
    result.put("pixel_auroc", auroc_of(ranks), one_class)
    result.put("pixel_ap", average_precision(ranks), one_class)
    best, threshold = f1_max(ranks)
    result.put("pixel_f1_best", best, one_class or _INFINITE)
    if not math.isnan(threshold):
        result.thresholds["pixel_best_f1"] = threshold
    for name, value in zip(LIMITS, aupro(ranks, regions, tuple(LIMITS.values())), strict=True):
        result.put(name, value, one_class)
    few = too_few(regions)
    value = float("nan") if few else float(aupimo(maps, regions, ranks).mean())
    result.put("aupimo", value, few)


def _by_histogram(result: PixelMetrics, maps: Tensor, regions: Regions, one_class: str) -> None:
    counts = ScoreHistogram(device=maps.device)
    counts.update(maps, regions)
    bounded = {
        "pixel_auroc": counts.auroc(),
        "pixel_ap": counts.average_precision(),
        "pixel_f1_best": counts.f1_max(),
        **dict(zip(LIMITS, counts.aupro(tuple(LIMITS.values())), strict=True)),
    }
    if few := too_few(regions):
        result.put("aupimo", float("nan"), few)
    else:
        bounded["aupimo"] = counts.aupimo()
    for name, found in bounded.items():
        result.put(name, found.value, one_class or _INFINITE)
        if not math.isnan(found.value):
            result.methods[name] = (
                f"histogram of {1 << BITS:,} bins, error ≤ {_rounded_up(found.error)}"
            )


def _rounded_up(bound: float) -> str:
    """Two digits, never less than the bound."""
    two_digits = Context(prec=2, rounding=ROUND_CEILING).create_decimal_from_float(bound)
    return f"{float(two_digits):.1e}"
