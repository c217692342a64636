"""Pixel metrics of a set's maps: exact if they fit into memory, with a proven bound if not."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from bench.metrics.catalog import Level, UndefinedMetricError, Value
from bench.metrics.histogram import BITS, Bounded, ScoreHistogram
from bench.metrics.inputs import comparable
from bench.metrics.overlap import aupro, auspro
from bench.metrics.pimo import aupimo, undefined_reason
from bench.metrics.ranking import Ranks, auroc_of, average_precision, f1_max, rank_regions
from bench.metrics.regions import Regions
from bench.metrics.thresholds import Threshold, calibrated_threshold
from datasets_lib.free_memory import free_bytes

Method = Literal["exact", "histogram"]

_LIMITS = (0.3, 0.05, 0.01)
_SATURATED_LIMITS = (0.3, 0.05)
_INFINITE = "every defective pixel scores −inf, which no threshold flags"
_NO_OVERLAP = "the annotations leave no defective pixel, or no normal one"
_PIECE = 1 << 22  # comparing in pieces keeps the flags in the cache: half the time of one pass

# Bytes for each defective pixel, measured as peak resident memory with and without ties: while it
# is ranked (its score, its region, two counts, sort buffers), and while average precision and F1
# hold temporaries of its counts.
_RANK_BYTES, _METRIC_BYTES = 36, 46
# On CUDA, counted while it is sorted: copies of its position and region, three int64 indices (the
# order and two buffers), and as many scores. Its search among the negatives takes no more.
_CUDA_RANK_BYTES, _CUDA_SCORES = 36, 3
_SORT_BUFFERS = 1 << 29  # bytes of one piece's sort on CUDA


@dataclass(frozen=True)
class SaturatedRegions:
    """Regions as annotated, and the ``(R,)`` pixels after which each counts as found (sPRO)."""

    regions: Regions
    saturation: Tensor


@dataclass(frozen=True)
class PixelInputs:
    """What a pixel metric is computed from; shared parts are computed on first use and kept.

    Attributes:
        maps: ``(N, H, W)`` raw maps.
        regions: Connected components of the masks.
        calibration_maps: ``(M, H, W)`` maps of normal images neither fitted nor tested, or None.
        method: ``histogram`` counts scores by bin; so does ``exact`` where memory would not
            suffice.
        saturated: Regions with saturations, for datasets that have them.
        labels: ``(N,)`` booleans or integers, nonzero is defective: they say which images are
            normal in AUPIMO. Without them, those with an empty mask are.
    """

    maps: Tensor
    regions: Regions
    calibration_maps: Tensor | None = None
    method: Method = "exact"
    saturated: SaturatedRegions | None = None
    labels: Tensor | None = None
    level: Level = "pixel"

    @cached_property
    def exact(self) -> bool:
        """Whether the exact metrics were asked for and have enough memory."""
        return self.method == "exact" and fits(self.maps, self.regions)

    @cached_property
    def ranks(self) -> Ranks:
        """Every defective pixel ranked among the normal ones."""
        return rank_regions(self.maps, self.regions)

    @cached_property
    def histogram(self) -> ScoreHistogram:
        """The maps' scores by bin."""
        counts = ScoreHistogram(device=self.maps.device)
        counts.update(self.maps, self.regions, self.normal)
        return counts

    @cached_property
    def normal(self) -> Tensor:
        """``(N,)`` booleans: normal images without a defective pixel."""
        empty = self.regions.offsets.diff() == 0
        return empty if self.labels is None else empty & (self.labels.to(empty.device) == 0)

    @property
    def one_class(self) -> str:
        """Why pixels of one class cannot be ranked; empty where there are both."""
        positives = len(self.regions.positions)
        only = "every" if positives else "no"
        one = positives in {0, math.prod(self.regions.shape)}
        return f"one class only: {only} pixel is defective" if one else ""

    @cached_property
    def best_f1(self) -> tuple[float, float]:
        """The highest F1 of any threshold, and that threshold; by exact ranks."""
        return f1_max(self.ranks)

    @cached_property
    def overlap_areas(self) -> list[Value]:
        """AUPRO up to 30, 5 and 1 % false positives; together, as they share most of the work."""
        if self.exact:
            return [Value(area) for area in aupro(self.ranks, self.regions, _LIMITS)]
        return [_bounded(area) for area in self.histogram.aupro(_LIMITS)]

    @cached_property
    def saturated_areas(self) -> list[float]:
        """AU-sPRO up to 30 and 5 % false positives."""
        if self.saturated is None:
            raise UndefinedMetricError("the dataset has no saturations")
        regions, saturation = self.saturated.regions, self.saturated.saturation
        ranks = rank_regions(self.maps, regions)
        return auspro(ranks, regions, saturation, _SATURATED_LIMITS)

    @cached_property
    def calibrated(self) -> float | None:
        """The threshold calibrated on normal images; None without calibration maps."""
        if self.calibration_maps is None or not self.calibration_maps.numel():
            return None
        return pixel_threshold(self.calibration_maps)

    def thresholds(self) -> tuple[Threshold, ...]:
        """Return the thresholds on pixel scores that exist; the histogram has no best one."""
        thresholds = []
        if self.exact and not math.isnan(self.best_f1[1]):
            about = "highest F1 over pixels of all possible thresholds"
            thresholds.append(Threshold("pixel_best_f1", self.best_f1[1], True, about))
        if self.calibrated is not None:
            about = "conformal 95 % quantile of the calibration maps' maxima"
            thresholds.append(Threshold("pixel_calibrated_p95", self.calibrated, False, about))
        return tuple(thresholds)

    def defined(self, value: Value) -> Value:
        """Return a value, or raise `UndefinedMetricError` where it is not a number."""
        if math.isnan(value.value):
            raise UndefinedMetricError(self.one_class or _INFINITE)
        return value


def _ranked(
    exact: Callable[[Ranks], float], histogram: Callable[[ScoreHistogram], Bounded]
) -> Callable[[PixelInputs], Value]:
    """Return a pixel metric from the exact ranks or from the histogram."""
    return lambda inputs: inputs.defined(
        Value(exact(inputs.ranks)) if inputs.exact else _bounded(histogram(inputs.histogram))
    )


def _overlap_area(place: int) -> Callable[[PixelInputs], Value]:
    return lambda inputs: inputs.defined(inputs.overlap_areas[place])


pixel_auroc = _ranked(auroc_of, ScoreHistogram.auroc)
pixel_ap = _ranked(average_precision, ScoreHistogram.average_precision)
aupro_30, aupro_05, aupro_01 = map(_overlap_area, range(3))


def pixel_f1_best(inputs: PixelInputs) -> Value:
    """Return the highest F1 over pixels of any threshold; it *sees the test labels*.

    Example:
        >>> import torch
        >>> from bench.metrics.regions import label_regions
        >>> regions = label_regions(torch.tensor([[[1, 0, 1]]]))
        >>> inputs = PixelInputs(torch.tensor([[[3.0, 2, 1]]]), regions)
        >>> pixel_f1_best(inputs).value, pixel_auroc(inputs).value, pixel_ap(inputs).value
        (0.8, 0.5, 0.8333333333333333)
    """
    if inputs.exact:
        return inputs.defined(Value(inputs.best_f1[0]))
    return inputs.defined(_bounded(inputs.histogram.f1_max()))


def mean_aupimo(inputs: PixelInputs) -> Value:
    """Return the mean of `pimo.aupimo` over the defective images.

    Example:
        >>> import torch
        >>> from bench.metrics.regions import label_regions
        >>> masks = torch.zeros(2, 400, 400, dtype=torch.bool)
        >>> masks[1, 5:9, 5:9] = True
        >>> mean_aupimo(PixelInputs(masks.float(), label_regions(masks))).value
        1.0
    """
    if reason := undefined_reason(inputs.regions, inputs.normal):
        raise UndefinedMetricError(reason)
    if not inputs.exact:
        return inputs.defined(_bounded(inputs.histogram.aupimo()))
    return Value(float(aupimo(inputs.maps, inputs.regions, inputs.ranks, inputs.normal).mean()))


def iou_calibrated(inputs: PixelInputs) -> float:
    """Return the IoU at the threshold calibrated on normal images; see `iou`.

    Example:
        >>> import torch
        >>> from bench.metrics.regions import label_regions
        >>> regions, calibration = label_regions(torch.eye(2).int()[None]), torch.ones(1, 2, 2)
        >>> maps = torch.tensor([[[0.0, 2], [2, 2]]])
        >>> iou_calibrated(PixelInputs(maps, regions, calibration))
        0.25
    """
    if inputs.calibrated is None:
        raise UndefinedMetricError("no calibration maps")
    overlap = iou(inputs.maps, inputs.regions, inputs.calibrated)
    return inputs.defined(Value(overlap)).value


def _saturated_area(place: int) -> Callable[[PixelInputs], float]:
    def metric(inputs: PixelInputs) -> float:
        area = inputs.saturated_areas[place]
        if math.isnan(area):
            raise UndefinedMetricError(_NO_OVERLAP)
        return area

    return metric


auspro_30, auspro_05 = map(_saturated_area, range(2))


def pixel_threshold(calibration_maps: Tensor) -> float:
    """Return `calibrated_threshold` of the maps' maxima: above it, an image has a flagged pixel.

    Args:
        calibration_maps: ``(M, H, W)`` raw maps of normal images neither fitted nor tested.

    Raises:
        ValueError: There are no maps, or one holds NaN.
    """
    return calibrated_threshold(calibration_maps.flatten(1).amax(1))


def iou(maps: Tensor, regions: Regions, threshold: float) -> float:
    """Return pixels flagged and defective over pixels flagged or defective, all images together.

    Args:
        maps: ``(N, H, W)`` raw maps.
        regions: Connected components of their masks.
        threshold: ``score > threshold`` is flagged; rounded to the scores' precision.

    Returns:
        The intersection over union; ``nan`` where no pixel is defective.

    Example:
        >>> import torch
        >>> from bench.metrics.regions import label_regions
        >>> regions = label_regions(torch.tensor([[[1, 1], [0, 0]]]))
        >>> iou(torch.tensor([[[0.9, 0.2], [0.8, 0.1]]]), regions, 0.5)
        0.3333333333333333
    """
    scores = comparable(maps)
    defects = scores.index_select(0, regions.positions.to(scores.device))
    if not len(defects):
        return float("nan")
    limit = torch.tensor(threshold, dtype=scores.dtype, device=scores.device)
    flagged = sum(int((part > limit).count_nonzero()) for part in torch.split(scores, _PIECE))
    hits = int((defects > limit).count_nonzero())
    return hits / (flagged + len(defects) - hits)


def peak_bytes(maps: Tensor, regions: Regions) -> int:
    """Return the most bytes that the exact metrics hold at once on top of maps and regions.

    It is never less than what they actually use. Few defective pixels take little, 1.7 times the
    float32 maps at 5 %, because only the normal ones are copied and sorted; many need more for
    their counts: 6 times the maps at 50 %, 11 times at 95 %.

    Args:
        maps: ``(N, H, W)`` raw maps.
        regions: Regions of their masks.
    """
    pixels, defects = maps.numel(), len(regions.positions)
    width = max(4, maps.element_size())  # half precision is widened
    widened = width * pixels if maps.element_size() < 4 else 0
    rank_bytes = _CUDA_RANK_BYTES + _CUDA_SCORES * width if maps.is_cuda else _RANK_BYTES
    # AUPIMO copies the normal images alone and flags their ties, which never takes more.
    ranking = pixels + widened + width * max(0, pixels - defects) + rank_bytes * defects
    metrics = pixels + (_METRIC_BYTES + width - 4) * defects
    return max(ranking, metrics) + (_SORT_BUFFERS if maps.is_cuda else 0)


def fits(maps: Tensor, regions: Regions) -> bool:
    """Return whether memory suffices for the exact metrics; true where free memory is unknown."""
    free = free_bytes(maps.device)
    return not free or peak_bytes(maps, regions) < free


def _bounded(bounded: Bounded) -> Value:
    """Return a value from the histogram with a note of its error."""
    if math.isnan(bounded.value):
        return Value(bounded.value)
    error = _rounded_up(bounded.error)
    return Value(bounded.value, f"histogram of {1 << BITS:,} bins, error ≤ {error}")


def _rounded_up(bound: float) -> str:
    """Return two digits that are never less than the bound."""
    two_digits = Context(prec=2, rounding=ROUND_CEILING).create_decimal_from_float(bound)
    return f"{float(two_digits):.1e}"
