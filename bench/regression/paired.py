"""Paired tests of models without randomness: one run of each side on the same test images.

There is no noise between runs, so any difference is real on these images: *changed*. It is
*regressed* if it exceeds 0.4 delta and would also be a loss on other such images. Where the test
images cannot say what others would show, as when every image's rank moves by the same share or a
class has one image, the size of the difference decides.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.regression.detectable import RELEVANT
from bench.regression.measures import QUALITY
from bench.regression.outcomes import Outcome

if TYPE_CHECKING:
    from torch import Tensor

PAIRED_LEVEL = 1e-3
"""One-sided p value below which the choice of test images does not explain a loss."""

_RESAMPLES = 5000  # about five of them lie beyond each end of an interval at `PAIRED_LEVEL`


@dataclass(frozen=True)
class PairedResult:
    """The same model before and after a change, on the same images.

    Attributes:
        outcome: ``ok`` (identical), ``changed``, ``regressed`` or ``improved``.
        drop: Metric before minus after; positive is worse.
        low: Lower end of the drop's interval, 95 % unless ``method`` says otherwise; ``nan`` if
            there is none.
        high: Upper end.
        p: One-sided p value of no loss; ``nan`` if the method has none.
        method: The test, and what was unusual about it.
    """

    outcome: Outcome
    drop: float
    low: float
    high: float
    p: float
    method: str


def paired_auroc(base: "Tensor", head: "Tensor", labels: "Tensor") -> PairedResult:
    """Test an AUROC with DeLong's paired test.

    Args:
        base: ``(N,)`` scores before.
        head: ``(N,)`` scores after, of the same images in the same order.
        labels: ``(N,)`` booleans or integers; nonzero is defective.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    from bench.metrics.delong import auroc_test

    gain, both = auroc_test(base, head, labels)
    one_sided = both / 2 if gain.value <= 0 else 1 - both / 2
    same = base.shape == head.shape and bool((base == head.to(base.device)).all())
    method = "DeLong's paired test" + (f" ({gain.reason})" if gain.reason else "")
    return _result(-gain.value, (-gain.high, -gain.low), one_sided, method, same)


def paired_top1(base_right: "Tensor", head_right: "Tensor") -> PairedResult:
    """Test top-1 with McNemar's exact test.

    Args:
        base_right: ``(N,)`` booleans: whether each image was classified correctly before.
        head_right: The same after, for the same images in the same order.

    Raises:
        ValueError: The shapes differ, or there are no images.
    """
    from scipy.stats import binomtest

    from bench.metrics.paired import paired_difference

    if base_right.shape != head_right.shape:
        raise ValueError(
            f"wanted the same images before and after, found {tuple(base_right.shape)} and "
            f"{tuple(head_right.shape)}"
        )
    lost = int((base_right & ~head_right).sum())
    won = int((head_right & ~base_right).sum())
    same = not lost + won
    loss, gain = (
        1.0 if same else float(binomtest(count, lost + won, alternative="greater").pvalue)
        for count in (lost, won)
    )
    images = len(base_right)
    ends = paired_difference(won, lost, images)
    method = f"McNemar's exact test: {lost} images lost, {won} won"
    return _result((lost - won) / images, ends, loss, method, same, gain)


def paired_resampled(
    metric: Callable[["Tensor", "Tensor"], float],
    base: "Tensor",
    head: "Tensor",
    labels: "Tensor",
    *,
    resamples: int = _RESAMPLES,
) -> PairedResult:
    """Test any other metric by its BCa interval (Efron 1987), resampling each class of images.

    The loss is significant if the interval with `PAIRED_LEVEL` in each tail lies above 0. A class
    of one image cannot be resampled: then there is no interval.

    Args:
        metric: Function of scores ``(n,)`` and labels ``(n,)``; higher is better.
        base: ``(N,)`` scores before.
        head: ``(N,)`` scores after, of the same images in the same order.
        labels: ``(N,)`` booleans or integers; nonzero is defective.
        resamples: Number of resamples.
    """
    defective = labels.bool().cpu().numpy()
    classes = [np.flatnonzero(defective), np.flatnonzero(~defective)]

    def drop(*indices: Any, axis: int = -1) -> float:
        chosen = np.concatenate(indices)
        return metric(base[chosen], labels[chosen]) - metric(head[chosen], labels[chosen])

    value = float(drop(*classes))
    method = f"{100 * (1 - 2 * PAIRED_LEVEL):.1f} % BCa interval of {resamples} resamples"
    if bool((base == head).all()):
        return PairedResult("ok", 0.0, 0.0, 0.0, math.nan, method)
    ends = _resampled_ends(drop, classes, resamples)
    if math.isnan(ends[0]):
        method += " (no interval: all resamples agree, or a class has one image)"
    outcome = _outcome(value, ends, lost=ends[0] > 0, won=ends[1] < 0)
    return PairedResult(outcome, value, *ends, math.nan, method)


def _resampled_ends(
    drop: Callable[..., float], classes: Sequence[Any], resamples: int
) -> tuple[float, float]:
    """Return the ends of a drop's interval, both ``nan`` where it has none.

    Args:
        drop: Function of the indices of each class.
        classes: Indices of the images of each class.
        resamples: Number of resamples.
    """
    import warnings

    from scipy.stats import bootstrap

    if min(map(len, classes)) < 2:
        return math.nan, math.nan
    with warnings.catch_warnings():
        # A difference that is the same in every resample has no interval; its ends are then nan.
        warnings.simplefilter("ignore")
        interval = bootstrap(
            tuple(classes),
            drop,
            n_resamples=resamples,
            vectorized=False,
            confidence_level=1 - 2 * PAIRED_LEVEL,
            rng=np.random.default_rng(0),
        ).confidence_interval
    return float(interval.low), float(interval.high)


def paired_pixels(metric: str, base: Any, head: Any, masks: Any, labels: Any) -> PairedResult:
    """Test a pixel metric by the jackknife over images.

    Args:
        metric: One of `bench.metrics.pixel_jackknife.JACKKNIFED`.
        base: ``(N, H, W)`` float16 maps before, as runs keep them.
        head: The maps after, of the same images in the same order.
        masks: ``(N, H, W)`` booleans.
        labels: ``(N,)``; nonzero is defective.

    Raises:
        ValueError: Shapes do not fit, or there are fewer than two normal images or two images with
            defective pixels.
    """
    from bench.metrics.comparison import compare_jackknifed
    from bench.metrics.pixel_jackknife import leave_out

    sides = [leave_out(metric, maps, masks, labels) for maps in (base, head)]
    comparison = compare_jackknifed(metric, *sides)
    gain = comparison.difference
    one_sided = comparison.p / 2 if gain.value <= 0 else 1 - comparison.p / 2
    ends = -gain.high, -gain.low
    return _result(-gain.value, ends, one_sided, comparison.method, same=np.array_equal(base, head))


def _result(
    drop: float,
    ends: tuple[float, float],
    p: float,
    method: str,
    same: bool,
    gain_p: float | None = None,
) -> PairedResult:
    """Return the result of a test.

    Args:
        drop: Metric before minus after.
        ends: Ends of its interval.
        p: One-sided p value of no loss.
        method: The test.
        same: Whether nothing differs.
        gain_p: One-sided p value of no gain; ``1 - p`` by default, which is wrong for counts: their
            p values overlap.
    """
    won = (1 - p if gain_p is None else gain_p) < PAIRED_LEVEL
    outcome = "ok" if same else _outcome(drop, ends, lost=p < PAIRED_LEVEL, won=won)
    return PairedResult(outcome, drop, *ends, p, method)


def _outcome(drop: float, ends: tuple[float, float], *, lost: bool, won: bool) -> Outcome:
    """Return the outcome of a difference.

    Args:
        drop: Metric before minus after.
        ends: Ends of its interval; without one, the size of the drop decides.
        lost: Whether the test shows a loss.
        won: Whether it shows a gain.
    """
    limit = RELEVANT * QUALITY.delta
    if any(map(math.isnan, ends)):
        lost, won = drop > limit, drop < -limit
    if lost and drop > limit:
        return "regressed"
    return "improved" if won else "changed"
