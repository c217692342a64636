"""What each test image adds to a metric, packed into a record so that two runs can be paired.

AUROC and AP read only the order of scores, so that an image is its rank among all of them; top-1
reads whether an image is right. Two bytes per image, before compression, keep both exactly.

Pixel metrics are not here: what an image adds to them requires its whole map. They rank nothing;
`bench.metrics.pixel_jackknife` pairs two runs by the maps that they kept.
"""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_LEVEL = 9

KEPT_AS = {"image_auroc": "image_auroc", "image_ap": "image_auroc", "top1": "top1"}
"""Name of the outcomes in a record by the metric that they pair; other metrics have none."""


@dataclass(frozen=True)
class Contributions:
    """A run's test images in groups whose means vary independently.

    Attributes:
        groups: By group of images ``(N,)``: one number per image, whose spread is the metric's.
            AUROC has two, the defective and the normal ones (DeLong's placements, whose mean is
            the metric), and so has AP (the jackknife's pseudo-values); top-1 has one.
        labels: What must be equal for two runs to be paired, image by image.
    """

    groups: tuple[Floats, ...]
    labels: bytes = b""


def pack_scores(scores: Any, labels: Any) -> str:
    """Return the ranks of ``(N,)`` image scores with their labels, as text.

    Args:
        scores: Finite raw scores; equal ones share a rank.
        labels: Booleans or integers; nonzero is defective.

    Example:
        >>> packed = pack_scores([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1])
        >>> [group.tolist() for group in unpack("image_auroc", packed).groups]
        [[0.75, 1.0], [1.0, 0.75]]
    """
    _, ranks = np.unique(np.asarray(scores), return_inverse=True)
    # The label is the lowest bit: one array holds all.
    values = 2 * ranks.reshape(-1) + (np.asarray(labels).reshape(-1) != 0)
    return _packed(values.astype("<u2" if values.max(initial=0) < 2**16 else "<u4"))


def pack_right(right: Any) -> str:
    """Return which of ``(N,)`` images a classifier gets right, as text.

    Example:
        >>> unpack("top1", pack_right([True, False, True])).groups[0].tolist()
        [1.0, 0.0, 1.0]
    """
    flags = np.asarray(right, dtype=bool).reshape(-1)
    return _packed(np.frombuffer(len(flags).to_bytes(4, "little"), np.uint8), np.packbits(flags))


def unpack(metric: str, packed: str) -> Contributions:
    """Return the contributions of a run's images.

    Args:
        metric: One of `KEPT_AS`.
        packed: What `pack_scores` or `pack_right` returned.

    Raises:
        ValueError: The text is not theirs, or one of the classes is missing.
    """
    kind, _, text = packed.partition(":")
    try:
        data = zlib.decompress(base64.b64decode(text, validate=True))
        if metric == "top1":
            count = int.from_bytes(data[:4], "little")
            bits = np.unpackbits(np.frombuffer(data[4:], np.uint8), count=count)
            return Contributions((bits.astype(np.float64),))
        values = np.frombuffer(data, {"2": "<u2", "4": "<u4"}[kind])
    except (ValueError, KeyError, zlib.error) as error:
        raise ValueError(f"these are not outcomes of {metric}: {error}") from None
    defective = (values & 1).astype(bool)
    ranks = values >> 1
    if defective.all() or not defective.any():
        raise ValueError(f"{metric} needs normal and defective images, found one class")
    of_class = _pseudo_values if metric == "image_ap" else _placements
    return Contributions(of_class(ranks[defective], ranks[~defective]), defective.tobytes())


def _pseudo_values(positives: Any, negatives: Any) -> tuple[Floats, Floats]:
    """Return the jackknife's pseudo-values of average precision, n θ − (n − 1) θ without the image.

    Leaving an image out lowers the counts at its own and every lower score by one, so that sums
    up to a score and from it on give all of them at once.
    """
    length = 1 + int(max(positives.max(), negatives.max()))
    steps, others = (  # images of a class by score, the highest score first
        np.bincount(ranks, minlength=length)[::-1].astype(np.float64)
        for ranks in (positives, negatives)
    )
    hits: Floats = steps.cumsum()
    flagged = hits + others.cumsum()
    every = len(positives)

    def precise(left_out: int, right: Floats) -> Floats:
        """Return the precision at each score without images at or above it."""
        ratio: Floats = right / np.maximum(flagged - left_out, 1)
        return ratio

    before = np.concatenate([[0.0], (steps * precise(0, hits)).cumsum()])[:-1]
    ap = float((steps * precise(0, hits)).sum()) / every
    without_normal = _from_each(steps * precise(1, hits))
    normal = (before + without_normal) / every
    lowered = precise(1, hits - 1)
    # At its own score one defective image fewer counts.
    defective = (before + _from_each(steps * lowered) - lowered) / max(every - 1, 1)
    places = [length - 1 - ranks for ranks in (positives, negatives)]
    sides = zip((defective[places[0]], normal[places[1]]), places, strict=True)
    first, second = (len(at) * ap - (len(at) - 1) * left for left, at in sides)
    return first, second


def _from_each(values: Floats) -> Floats:
    """Return the sum of each value and all after it."""
    sums: Floats = values[::-1].cumsum()[::-1]
    return sums


def _placements(positives: Any, negatives: Any) -> tuple[Floats, Floats]:
    """Return the share of the other class that each image is on the right side of; ties half."""
    return _share_below(positives, negatives), 1 - _share_below(negatives, positives)


def _share_below(values: Any, others: Any) -> Floats:
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values) + np.searchsorted(ordered, values, side="right")
    shares: Floats = below / (2 * len(others))
    return shares


def _packed(*arrays: Any) -> str:
    data = b"".join(array.tobytes() for array in arrays)
    text = base64.b64encode(zlib.compress(data, _LEVEL)).decode("ascii")
    return f"{arrays[0].itemsize}:{text}"


def outcomes_of(parts: Sequence[str], metric: str) -> Contributions | None:
    """Return the mean contributions of several runs on the same images.

    Args:
        parts: Packed outcomes, one a run.
        metric: ``image_auroc`` or ``top1``.

    Returns:
        None where there is none, they cannot be read, or their images differ.
    """
    try:
        runs = [unpack(metric, part) for part in parts]
    except ValueError:
        return None
    if not runs or any(_shape(run) != _shape(runs[0]) for run in runs):
        return None
    columns = zip(*(run.groups for run in runs), strict=True)
    return Contributions(tuple(np.mean(column, axis=0) for column in columns), runs[0].labels)


def _shape(run: Contributions) -> tuple[Any, ...]:
    return run.labels, tuple(map(len, run.groups))
