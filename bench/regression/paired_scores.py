"""Compare two runs on the same test images by their stored scores."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.regression.baselines import run_of
from bench.regression.fresh import FreshRun
from bench.regression.paired import (
    PairedResult,
    paired_auroc,
    paired_pixels,
    paired_resampled,
    paired_top1,
)
from bench.report.finished_run import load_arrays, unpacked_masks

if TYPE_CHECKING:
    from torch import Tensor


def paired_finding(quantity: str, base: FreshRun, head: FreshRun) -> PairedResult | None:
    """Return the paired test of a quality; None if it has none or the images differ.

    Image AUROC uses DeLong's test, top-1 McNemar's, image AP a BCa interval, and pixel metrics the
    jackknife. The outcome is ``ok`` if the scores or maps are equal.
    """
    from torch import from_numpy

    from bench.metrics.pixel_jackknife import JACKKNIFED

    name, _, metric = quantity.rpartition(".")
    if metric in JACKKNIFED:
        return _by_maps(name, metric, base, head)
    artifact = "predictions" if metric == "top1" else "scores"
    arrays = [_arrays(run, artifact) for run in (base, head)]
    if any(not a for a in arrays) or not _same_images(arrays[0], arrays[1]):
        return None
    if metric == "top1":
        right = [from_numpy(a["predicted"] == a["labels"]) for a in arrays]
        return paired_top1(right[0], right[1])
    column = f"scores.{name}"
    if column not in arrays[0] or column not in arrays[1]:
        return None
    labels, scores = from_numpy(arrays[0]["labels"]), [from_numpy(a[column]) for a in arrays]
    if metric == "image_auroc":
        return paired_auroc(scores[0], scores[1], labels)
    if metric == "image_ap":
        return paired_resampled(_average_precision, scores[0], scores[1], labels, resamples=2000)
    return None


def same_results(quantity: str, one: FreshRun, other: FreshRun) -> bool:
    """Return whether two runs have the same value of a quality and equal results for every image.

    False if either stored no per-image results: equal values alone may be coincidence.
    """
    values = [run_of(run.record).values.get(quantity) for run in (one, other) if run.record]
    if len(values) < 2 or None in values or values[0] != values[1]:
        return False
    for artifact in ("scores", "predictions"):
        arrays = [_arrays(run, artifact) for run in (one, other)]
        shared = arrays[0].keys() & arrays[1].keys()
        if shared:
            return all(np.array_equal(arrays[0][name], arrays[1][name]) for name in shared)
    return False


def _by_maps(name: str, metric: str, base: FreshRun, head: FreshRun) -> PairedResult | None:
    before, after = (_arrays(run, "maps") for run in (base, head))
    labels = _arrays(base, "scores").get("labels")
    wanted = f"maps.{name}"
    if labels is None or any(wanted not in side or "masks" not in side for side in (before, after)):
        return None
    if not all(np.array_equal(before[key], after[key]) for key in ("names", "masks")):
        return None
    old, new = before[wanted], after[wanted]
    masks = unpacked_masks(before["masks"], old.shape)
    try:
        return paired_pixels(metric, old, new, masks, labels)
    except ValueError:  # maps of other sizes, or too few images to say how much others would differ
        return None


def _average_precision(scores: "Tensor", labels: "Tensor") -> float:
    from bench.metrics.ranking import average_precision, rank_positives

    return average_precision(rank_positives(scores, labels))


def _arrays(run: FreshRun, artifact: str) -> dict[str, Any]:
    recorded = run.record.artifacts.get(artifact) if run.record else None
    return load_arrays(run.folder / recorded if recorded else None) or {}


def _same_images(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(
        name in one and name in other and np.array_equal(one[name], other[name])
        for name in ("names", "labels")
    )
