"""One model for all categories: evaluated category by category, and the mean over them.

Scores of two categories have no common scale, so metrics over all images together would measure
something else.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from torch import Tensor

from bench.record import CROP_SUFFIX
from bench.run.predict import HeadPredictions
from bench.run.task import Evaluation
from datasets_lib.batches.image_set import ImageSet
from datasets_lib.layouts.category import Sample

Predictions = Mapping[str, HeadPredictions]

_UNKNOWN = "without masks, it is unknown which defects the crop shows"


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Inputs of an evaluation: images, samples and predictions, of one category or of all.

    Attributes:
        test: Test images, cropped where the model crops.
        frame_masks: Their masks before the crop.
        fit: Training samples.
        tested: Test samples.
        results: Predictions of the test images by head.
        calibration: Predictions of held-out normal images by head.
        calibrated: Samples of these images.
    """

    test: ImageSet
    frame_masks: Tensor | None
    fit: Sequence[Sample]
    tested: Sequence[Sample]
    results: dict[str, HeadPredictions]
    calibration: dict[str, HeadPredictions] | None
    calibrated: Sequence[Sample] = ()

    def of(self, category: str, *, has_masks: bool) -> "Evaluated":
        """Return the part of one category.

        Args:
            category: The category.
            has_masks: Whether it has masks; where it has none, those of its images are left out.
        """
        rows = rows_of(self.test.names, category)
        held_out = rows_of([sample.name for sample in self.calibrated], category)
        return Evaluated(
            test=images_of(self.test, category, has_masks=has_masks),
            frame_masks=self.frame_masks[rows]
            if self.frame_masks is not None and has_masks
            else None,
            fit=[sample for sample in self.fit if _within(sample.name, category)],
            tested=[self.tested[row] for row in rows],
            results=at_rows(self.results, rows),
            calibration=at_rows(self.calibration, held_out)
            if self.calibration and held_out
            else None,
            calibrated=[self.calibrated[row] for row in held_out],
        )


def rows_of(names: Iterable[str], category: str) -> list[int]:
    """Return the positions of the names of a category's samples."""
    return [row for row, name in enumerate(names) if _within(name, category)]


def images_of(images: ImageSet, category: str, *, has_masks: bool) -> ImageSet:
    """Return the images of a category, with their masks where it has some.

    Other categories of the set may have masks: those of a category without any are empty.
    """
    own = images.rows(rows_of(images.names, category))
    return own if has_masks else replace(own, masks=None)


def at_rows(predictions: Predictions, rows: Sequence[int]) -> dict[str, HeadPredictions]:
    """Return predictions of the images at these positions."""
    rows = list(rows)
    return {
        head: HeadPredictions(own.scores[rows], None if own.maps is None else own.maps[rows])
        for head, own in predictions.items()
    }


def mean_over(parts: Mapping[str, Evaluation]) -> Evaluation:
    """Return the evaluation of a model for all categories from those of each.

    Metrics are means over the categories, and ``nan`` where one lacks a value. Intervals, outcomes,
    kinds, sizes and thresholds stay each category's own, as ``category.name``.

    Args:
        parts: Evaluations by category.
    """
    first = next(iter(parts.values()))
    whole = Evaluation({})
    for head in first.metrics:
        by_category = {name: part.metrics[head] for name, part in parts.items()}
        names = dict.fromkeys(metric for own in by_category.values() for metric in own)
        whole.metrics[head] = {
            metric: fmean(own.get(metric, math.nan) for own in by_category.values())
            for metric in names
        }
        whole.categories[head] = by_category
        whole.reasons.update(
            {
                f"{head}.{metric}": _lacking(parts, head, metric)
                for metric, value in whole.metrics[head].items()
                if math.isnan(value)
            }
        )
        for field in ("intervals", "outcomes", "kinds", "sizes", "thresholds"):
            getattr(whole, field)[head] = _prefixed(
                {name: getattr(part, field).get(head, {}) for name, part in parts.items()}
            )
    for name, part in parts.items():
        whole.reasons.update({_placed(key, name): why for key, why in part.reasons.items()})
        whole.notes.update({_placed(key, name): note for key, note in part.notes.items()})
    return replace(whole, fingerprints=_fingerprints(parts))


def unknown_in_crop(whole: Evaluation) -> Evaluation:
    """Return the evaluation within the crop of a category without masks: it has no value.

    Args:
        whole: Its evaluation over the full frame.
    """
    crop = {head + CROP_SUFFIX: values for head, values in whole.metrics.items()}
    return Evaluation(
        {head: dict.fromkeys(values, math.nan) for head, values in crop.items()},
        reasons={f"{head}.{metric}": _UNKNOWN for head, own in crop.items() for metric in own},
    )


def _lacking(parts: Mapping[str, Evaluation], head: str, metric: str) -> str:
    """Return which categories have no value of a metric, and why the first has none."""
    missing = [
        name for name, part in parts.items() if math.isnan(part.metrics[head].get(metric, math.nan))
    ]
    why = parts[missing[0]].reasons.get(f"{head}.{metric}", "") if missing else ""
    where = "" if len(missing) == len(parts) else f" in {', '.join(missing)}"
    return f"{why or 'not computed'}{where}"


def _prefixed(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{name}.{key}": value for name, own in parts.items() for key, value in own.items()}


def _placed(key: str, category: str) -> str:
    """Return the name of a category's number under ``reasons``, from its name in the category.

    >>> _placed("score.pixel_auroc", "bottle"), _placed("score.kind.hole", "bottle")
    ('score.category.bottle.pixel_auroc', 'score.kind.bottle.hole')
    """
    head, _, name = key.partition(".")
    part, dot, rest = name.partition(".")
    return f"{head}.{part}.{category}.{rest}" if dot else f"{head}.category.{category}.{name}"


def _fingerprints(parts: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Return the first category's values, with counts added up and lists of thresholds joined."""
    found: dict[str, Any] = {}
    for name, part in parts.items():
        for key, value in part.fingerprints.items():
            if isinstance(value, int):
                found[key] = found.get(key, 0) + value
            elif isinstance(value, list):
                found[key] = [*found.get(key, []), *(f"{name}.{item}" for item in value)]
            else:
                found.setdefault(key, value)
    return found


def _within(name: str, category: str) -> bool:
    return name.partition("/")[0] == category
