"""Splits and subsets of samples by stable hash, independent of seed and order."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.folders import IMAGE_SUFFIXES, composed, in_words

Samples = tuple[Sample, ...]

NORMAL_NAMES = frozenset({"normal", "good", "ok"})
"""Names of folders of normal images, in lower case."""


_PREFIX = ContextVar("_PREFIX", default="")
_TESTED = 0.2


@contextmanager
def grouped_by(prefix: str) -> Iterator[None]:
    """Return a context in which images with the same prefix stay on one side of every split.

    Args:
        prefix: Regular expression that matches the start of a file name; the matched text is the
            group. Names that it does not match, or of which it matches the empty text, are in
            groups of their own, as is every name if it is empty.
    """
    token = _PREFIX.set(prefix)
    try:
        yield
    finally:
        _PREFIX.reset(token)


def is_grouped() -> bool:
    """Return whether a split depends on a prefix."""
    return bool(_PREFIX.get())


def split_calibration(train: Sequence[Sample], fraction: float = 0.1) -> tuple[Samples, Samples]:
    """Split normal images into training images and images that calibrate the threshold.

    ``round(fraction * N)`` of N images calibrate, at least one if there are two, and at least one
    image trains. The order is kept. Of the groups of `grouped_by`, those that fit into this number
    calibrate, in the order of their hashes; if none fits, the smallest does.

    Returns:
        ``(fit, calibration)``.

    Raises:
        ValueError: The fraction is not in (0, 1).
    """
    return _held_out(train, fraction)


def split_test(normal: Sequence[Sample]) -> tuple[Samples, Samples]:
    """Split the normal images of a set without an official split into train and a fifth for test.

    Counts and order are those of `split_calibration`.

    Returns:
        ``(train, test)``.

    Raises:
        DatasetError: No name matches the prefix of `grouped_by`, or all have the same prefix.
    """
    _check_prefix(normal)
    return _held_out(normal, _TESTED)


def split_labeled(test: Sequence[Sample]) -> tuple[Samples, Samples]:
    """Move half of each kind of defect, rounded down, from the test images to training.

    The groups of `grouped_by` move whole, with the normal images in them, in the order of their
    hashes, as long as half of each kind stays. Other normal images stay in the test set.

    Returns:
        ``(labeled, test)``; kinds with one image stay in the test set.

    Raises:
        DatasetError: Images are grouped, and each group with a defect has more than half of a kind.
    """
    half = {kind: n // 2 for kind, n in Counter(sample.defect for sample in test).items()}
    left = dict(half)
    moved: set[str] = set()
    for group in _groups(test):
        counts = Counter(sample.defect for sample in group)
        if counts.keys() == {None} or any(n > left[kind] for kind, n in counts.items()):
            continue
        left = {kind: n - counts[kind] for kind, n in left.items()}
        moved |= {sample.name for sample in group}
    if is_grouped() and not moved and any(n for kind, n in half.items() if kind is not None):
        raise DatasetError(
            f"Of {len(test)} test images, such as {test[0].name}, --split-by {_PREFIX.get()!r} "
            "leaves no defect to train on: wanted defects in two groups or more, one with at most "
            "half of each kind in it. Give another expression."
        )
    return _apart(test, moved)


def split_category(
    dataset: str, category: str, root: Path, samples: Sequence[Sample], has_masks: bool
) -> Category:
    """Return a category of these samples, testing a fifth of the normal images and all defects.

    Normal images in the group of a defect are tested too, see `grouped_by`, unless every normal
    image is in one. If the others are a single group, all of it is trained on.

    Raises:
        DatasetError: There is no normal image, there are no test images, or normal images cannot be
            grouped, see `split_test`.
    """
    defects = tuple(sample for sample in samples if sample.defect)
    normals = tuple(sample for sample in samples if not sample.defect)
    _check_prefix(normals)
    tested = {_group(sample) for sample in defects} - {None}
    beside, others = _apart(normals, {s.name for s in normals if _group(s) in tested})
    if not others:  # each group has a defect: only the normal images can be kept apart
        beside, others = (), normals
    is_one_group = bool(beside) and len(_groups(others)) == 1
    train, held_out = (others, ()) if is_one_group else _held_out(others, _TESTED)
    normal, _ = _apart(normals, {sample.name for sample in (*beside, *held_out)})
    if not train or not (normal or defects):
        raise DatasetError(
            f"The category {category} of {root} has {len(train) + len(normal)} normal and "
            f"{len(defects)} defective images: wanted at least one normal image to train on and "
            f"one of either kind to test on, ending in {in_words(IMAGE_SUFFIXES)}. Add images."
        )
    return Category(dataset, category, train, normal + defects, has_masks)


def limit(samples: Sequence[Sample], count: int, choice: int = 0) -> Samples:
    """Return at most ``count`` samples in their order, keeping the proportions of kinds.

    Each kind, including normal, gets one sample first, normal before the largest; the remaining
    ones are assigned by the Sainte-Laguë method. A smaller count gives a subset of a larger count.

    Args:
        samples: Samples to choose from.
        count: Maximum number of samples.
        choice: Which of the possible subsets, from 0.
    """
    strata: dict[str | None, list[Sample]] = {}
    for sample in _by_hash(samples, choice):
        strata.setdefault(sample.defect, []).append(sample)
    order = sorted(strata, key=lambda kind: (kind is not None, -len(strata[kind]), kind or ""))
    taken = dict.fromkeys(order, 0)
    for _ in range(min(count, len(samples))):
        open_kinds = [kind for kind in order if taken[kind] < len(strata[kind])]
        first = [kind for kind in open_kinds if taken[kind] == 0]
        kind = (
            first[0]
            if first
            # Sainte-Laguë: the next sample goes to the largest size / (2 · samples + 1).
            else max(open_kinds, key=lambda kind: len(strata[kind]) / (2 * taken[kind] + 1))
        )
        taken[kind] += 1
    chosen = {sample.name for kind in order for sample in strata[kind][: taken[kind]]}
    return tuple(sample for sample in samples if sample.name in chosen)


def _held_out(samples: Sequence[Sample], fraction: float) -> tuple[Samples, Samples]:
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be in (0, 1), found {fraction}")
    count = min(max(1, round(fraction * len(samples))), max(0, len(samples) - 1))
    groups = _groups(samples)
    if len(groups) == 1:
        groups = [[sample] for sample in _by_hash(samples)]
    held_out: set[str] = set()
    for group in groups:
        if len(held_out) + len(group) <= count:
            held_out |= {sample.name for sample in group}
    if count and not held_out:
        held_out = {sample.name for sample in min(groups, key=len)}
    held, kept = _apart(samples, held_out)
    return kept, held


def _apart(samples: Sequence[Sample], names: set[str]) -> tuple[Samples, Samples]:
    """Return the samples of these names, and the others, in their order."""
    return (
        tuple(sample for sample in samples if sample.name in names),
        tuple(sample for sample in samples if sample.name not in names),
    )


def _groups(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Return the samples in groups that stay together, in the order of the groups' hashes."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(_group(sample) or sample.name, []).append(sample)
    return [groups[name] for name in sorted(groups, key=hash_key)]


def _group(sample: Sample) -> str | None:
    return prefix_of(composed(sample.image.name), _PREFIX.get())


def prefix_of(name: str, prefix: str) -> str | None:
    """Return the start of a file name that a regular expression matches; None if it is empty.

    An optional prefix does not put the names that lack it into one group.

    >>> prefix_of("part7_2.png", "(part[0-9]+_)?"), prefix_of("blank.png", "(part[0-9]+_)?")
    ('part7_', None)
    """
    match = re.match(prefix, name)
    return match[0] or None if match else None


def _check_prefix(samples: Sequence[Sample]) -> None:
    found = {_group(sample) for sample in samples}
    if is_grouped() and len(found) == 1 < len(samples):
        what = "none" if found == {None} else "the same text in all"
        raise DatasetError(
            f"Of {len(samples)} normal images, such as {samples[0].name}, --split-by "
            f"{_PREFIX.get()!r} matches {what}: wanted at least two prefixes, to train on one and "
            "test on another. Give another expression."
        )


def _by_hash(samples: Sequence[Sample], choice: int = 0) -> list[Sample]:
    prefix = f"{choice}\n" if choice else ""
    return sorted(samples, key=lambda sample: hash_key(prefix + sample.name))


@lru_cache(maxsize=1 << 16)  # cases of one category sort the same names
def hash_key(name: str) -> tuple[str, str]:
    """Return a sort key that orders names by their hash; equal hashes by name."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest(), name
