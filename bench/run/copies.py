"""Test images that are copies, byte for byte, of images that a model trains or calibrates on."""

from collections.abc import Iterable, Sequence

from datasets_lib.layouts.category import Sample


def equal_images(names: Iterable[str], hashes: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return the names of images with equal hashes, in groups of two or more.

    >>> equal_images(["a", "b", "c"], ["1", "2", "1"])
    (('a', 'c'),)
    """
    groups: dict[str, list[str]] = {}
    for name, image_hash in zip(names, hashes, strict=True):
        groups.setdefault(image_hash, []).append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def copied_samples(
    equal: Iterable[Sequence[str]], used: Iterable[Sample], test: Iterable[Sample]
) -> tuple[Sample, ...]:
    """Return the test images that equal an image to train or calibrate on.

    Args:
        equal: What `equal_images` returned for all of them.
        used: Images to train or calibrate on.
        test: Test images.
    """
    names = {sample.name for sample in used}
    copies = {name for group in equal if not names.isdisjoint(group) for name in group}
    return tuple(sample for sample in test if sample.name in copies)


def copied_names(train: Iterable[str], names: Sequence[str], test: Sequence[str]) -> list[str]:
    """Return the names of a classification set's test images that are copies.

    Args:
        train: Hashes of the training images; empty where they are stored as pixels.
        names: Names of the test images.
        test: Their hashes; empty where they are stored as pixels.

    >>> copied_names(["1", "2"], ["a", "b"], ["3", "1"])
    ['b']
    """
    seen = set(train)
    return [name for name, image_hash in zip(names, test, strict=False) if image_hash in seen]


def copies_remark(data: str, copied: Sequence[Sample], test: Sequence[Sample]) -> str:
    """Return how many test images of each kind are copies, and what to do; empty if none is.

    Args:
        data: Dataset and category.
        copied: What `copied_samples` returned.
        test: Test images.
    """
    if not copied:
        return ""
    counts = []
    for kind, is_defective in (("normal", False), ("defective", True)):
        some, every = (
            sum((sample.defect is not None) == is_defective for sample in samples)
            for samples in (copied, test)
        )
        counts += [f"{some:,} of {every:,} {kind}"] if some else []
    return _remark(data, f"{' and '.join(counts)} test images", copied[0].name)


def labeled_copies_remark(data: str, copied: Sequence[str], tested: int) -> str:
    """Return how many of a classification set's test images are copies; empty if none is.

    Args:
        data: Dataset.
        copied: Names of the test images that are copies.
        tested: Number of test images.
    """
    if not copied:
        return ""
    return _remark(data, f"{len(copied):,} of {tested:,} test images", copied[0])


def _remark(data: str, which: str, example: str) -> str:
    return (
        f"{data}: {which} are copies, byte for byte, of images to train or calibrate on, such as "
        f"{example}: results on them say nothing about new images, so these runs get no rank. "
        "Remove the copies"
    )
