"""What a raw score stands for: a share of normal images, a label, and regions of the map."""

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.checkpoint.metadata import Calibration, Metadata, Preprocessing
from bench.near_names import near_names
from bench.predict.preprocessing import Floats, over_whole_image
from bench.rounding import at_most

DEFAULT_RULE = "calibrated_p95"

MIN_HELD_OUT = 19
"""Minimum number of normal images whose largest score bounds 95 % of others: 1 / (n + 1) ≤ 5 %."""


class RuleError(ValueError):
    """A checkpoint lacks a head, category or threshold; the message says which it has."""


@dataclass(frozen=True)
class Rule:
    """When an image, or a pixel of its map, counts as defective: above a threshold.

    Attributes:
        threshold: On raw scores; None where there is none, and then nothing has a label.
        map_threshold: On values of maps; None where there is none, and then there are no regions.
        about: How the threshold was chosen, or why there is none.
    """

    threshold: float | None
    map_threshold: float | None
    about: str

    def label(self, score: float) -> str | None:
        """Return ``defective`` or ``normal``, or None without a threshold."""
        if self.threshold is None:
            return None
        return "defective" if score > self.threshold else "normal"


@dataclass(frozen=True)
class Sensitivity:
    """A quantile of normal images, and a margin on its distance from their median.

    Attributes:
        quantile: Share of normal images that pass, such as 0.99.
        margin: Factor on the distance between median and quantile: 1.2 raises fewer alarms.
    """

    quantile: float
    margin: float = 1.0

    def of(self, ascending: tuple[float, ...]) -> float:
        """Return the threshold from scores of held-out normal images.

        The quantile is conformal: the ⌈(n + 1) · quantile⌉-th smallest of n scores, at most the
        largest. The margin stretches its distance from the median, so that it means the same for
        scores below zero.

        >>> Sensitivity(0.5).of((1.0, 2.0, 3.0)), Sensitivity(0.9, 1.5).of((1.0, 2.0, 3.0))
        (2.0, 3.5)
        """
        count = len(ascending)
        # Rounded first, so that (n + 1) · 0.95 of n = 199 is not a hair above 190.
        rank = min(count, math.ceil(round((count + 1) * self.quantile, 9)))
        median = float(np.median(ascending))
        return median + self.margin * (ascending[rank - 1] - median)


def calibration_of(metadata: Metadata, head: str | None, category: str | None) -> Calibration:
    """Return what the scores of a head, by default the ranking one, and a category mean.

    Raises:
        RuleError: There is no such head, or the category of a model of several was not named.
    """
    head = head or metadata.heads[0]
    if head not in metadata.heads:
        raise RuleError(
            f"The checkpoint has no head '{head}': wanted one of {', '.join(metadata.heads)}."
        )
    by_category = metadata.calibrations
    if not by_category:
        return Calibration()
    if "" in by_category:  # a model of one category, or of none
        if category and category != metadata.category:
            own = f"on {metadata.category} only" if metadata.category else "without categories"
            raise RuleError(
                f"--category {category}: wanted no category, because this model was trained {own}. "
                "Leave it out."
            )
        category = ""
    if category is None or category not in by_category:
        names = ", ".join(by_category)
        given = f"found '{category}'" if category else "found none"
        raise RuleError(
            f"What a score means depends on the category: wanted --category with one of {names}, "
            f"{given}."
        )
    return by_category[category].get(head, Calibration())


def choose_rule(
    own: Calibration, threshold: str | None = None, sensitivity: Sensitivity | None = None
) -> Rule:
    """Return the rule that decides labels: the calibrated one unless asked otherwise.

    Args:
        own: What scores mean.
        threshold: A number, or the name of one of the checkpoint's thresholds.
        sensitivity: A quantile of held-out normal images.

    Raises:
        RuleError: The checkpoint has no such threshold, or no held-out images for a quantile.
    """
    pixels = own.thresholds.get("pixel_calibrated_p95")
    if pixels is None and own.peaks:  # no masks, so the case measured no pixels
        pixels = Sensitivity(0.95).of(own.peaks)
    if sensitivity is not None:
        if not own.scores:
            raise RuleError(
                "--sensitivity needs scores of held-out normal images, but the checkpoint has "
                "none: its case held none out. Give --threshold with a number instead."
            )
        level = f"{sensitivity.quantile:g} quantile of {len(own.scores)} held-out normal images"
        about = f"{level}, margin {sensitivity.margin:g}"
        peaks = sensitivity.of(own.peaks) if own.peaks else None
        return Rule(sensitivity.of(own.scores), peaks, about)
    name = threshold or DEFAULT_RULE
    if (number := _number(name)) is not None:
        return Rule(number, pixels, "given with --threshold")
    rules = {**own.test_thresholds, **own.thresholds}
    rules = {each: value for each, value in rules.items() if not each.startswith("pixel_")}
    if name in rules:
        if name in own.test_thresholds:
            # Chosen on the same labels as the threshold itself.
            pixels = own.test_thresholds.get("pixel_best_f1", pixels)
            return Rule(rules[name], pixels, f"{name}, which was chosen on test labels")
        count = len(own.scores)
        about = f"{name} of {count} held-out normal images"
        if name == DEFAULT_RULE and count < MIN_HELD_OUT:
            about += f", the largest score: expect up to {at_most(1 / (count + 1))} false alarms"
        return Rule(rules[name], pixels, about)
    offered = ", ".join(rules) or "none"
    if threshold is None:
        about = (
            f"no threshold: no normal image was held out. --threshold takes a number or {offered}"
        )
        return Rule(None, None, about)
    close = near_names(name, rules)
    hint = f"did you mean {close[0]}? It has" if close else "it has"
    raise RuleError(
        f"--threshold {name}: wanted a number or a rule of the checkpoint; {hint} {offered}."
    )


def how_to_move(count: int) -> str:
    """Return the options of ``predict`` that lower a calibrated threshold, with their effect.

    Args:
        count: Number of held-out normal images.

    >>> how_to_move(5)
    '--sensitivity 0.66 (leaves their highest score out) or --threshold N'
    """
    if count < 2:
        return "--threshold N"
    if count >= MIN_HELD_OUT:
        return "--sensitivity 0.9 (one false alarm in ten) or --threshold N"
    # Rounded down, so that the rank of `Sensitivity.of` is that of the second highest.
    quantile = math.floor(100 * (count - 1) / (count + 1)) / 100
    return f"--sensitivity {quantile:g} (leaves their highest score out) or --threshold N"


def score01(own: Calibration, score: float) -> float | None:
    """Return the share of held-out normal images that score below; None without such images.

    >>> score01(Calibration(scores=(1.0, 2.0, 2.0, 3.0)), 2.0)
    0.25
    """
    return bisect_left(own.scores, score) / len(own.scores) if own.scores else None


def regions(
    values: Floats, threshold: float, preprocessing: Preprocessing, size: tuple[int, int]
) -> list[dict[str, Any]]:
    """Return the connected parts of a map above a threshold, the highest peak first.

    Pixels touch by an edge or a corner. Positions and sizes are in pixels of the whole image.

    Args:
        values: ``(h, w)`` map of what the model sees.
        threshold: On the map's values.
        preprocessing: The checkpoint's preprocessing.
        size: Width and height of the image in pixels.

    Returns:
        ``x``, ``y``, ``width``, ``height``, ``area`` and the map's ``peak`` by region.
    """
    from scipy import ndimage

    whole = over_whole_image(values, preprocessing, size)
    labels, _ = ndimage.label(whole > threshold, np.ones((3, 3)))
    tall, wide = size[1] / whole.shape[0], size[0] / whole.shape[1]
    parts = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[rows, columns] == number
        # Enlarged to whole pixels: an image smaller than the frame has no others.
        y, height = _pixels(rows, tall)
        x, width = _pixels(columns, wide)
        parts.append(
            {
                "x": x,
                "y": y,
                "width": width,
                "height": height,
                "area": max(1, round(int(inside.sum()) * tall * wide)),
                "peak": float(whole[rows, columns][inside].max()),
            }
        )
    return sorted(parts, key=lambda part: -part["peak"])


def _pixels(part: slice, scale: float) -> tuple[int, int]:
    """Return the first pixel of an image in a part of a map, and the number of pixels there."""
    # Rounded first: 3 · (10 / 3) is a little over 10.
    first = math.floor(round(part.start * scale, 6))
    return first, math.ceil(round(part.stop * scale, 6)) - first


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
