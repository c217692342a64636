"""Verify classification sets and folders of textures."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from datasets_lib.entry import Counts, Reader
from datasets_lib.layouts.category import DatasetError, Sample
from datasets_lib.layouts.classification import Classification, FileSplit, Labeled, PixelSplit
from datasets_lib.resolve import resolve_callable
from datasets_lib.verify.files import check_files
from datasets_lib.verify.inspect_image import Inspected
from datasets_lib.verify.report import (
    Checked,
    Problem,
    Progress,
    Report,
    count_problems,
    image_notes,
    image_problems,
)


def verify_labeled(
    dataset: str,
    root: Path,
    reader: Reader,
    expected: Counts | None = None,
    progress: Progress | None = None,
) -> Report:
    """Read a classification set, decode all of it and check its labels.

    Args:
        dataset: Id of the dataset.
        root: Folder of the dataset.
        reader: Import path or callable, see `datasets_lib.entry.DatasetEntry`.
        expected: Counts stated by the publisher, if known.
        progress: Called after every image, or once for stored pixels.
    """
    try:
        found: Classification = resolve_callable(reader)(root)
    except DatasetError as error:
        return Report(dataset, None, (Problem(str(error)),))
    checked = [
        one
        for split, labeled in (("train", found.train), ("test", found.test))
        for one in _checked(split, labeled, progress)
    ]
    counts = Counts(train=len(found.train), test=len(found.test))
    problems = [
        *count_problems(counts, expected),
        *_label_problems(found),
        *image_problems(checked),
    ]
    notes = (f"{len(found.classes):,} classes", *image_notes(checked))
    return Report(dataset, counts, tuple(problems), notes)


def verify_textures(
    dataset: str,
    root: Path,
    reader: Reader,
    expected: Counts | None = None,
    progress: Progress | None = None,
) -> Report:
    """Decode a folder of textures; the arguments are those of `verify_labeled`."""
    try:
        files: list[Path] = list(resolve_callable(reader)(root))
    except DatasetError as error:
        return Report(dataset, None, (Problem(str(error)),))
    samples = [Sample(file.relative_to(root).as_posix(), file) for file in files]
    checked = check_files({"train": samples}, progress)
    counts = Counts(train=len(samples), test=0)
    problems = (*count_problems(counts, expected), *image_problems(checked))
    return Report(dataset, counts, problems, tuple(image_notes(checked)))


def _checked(split: str, labeled: Labeled, progress: Progress | None) -> Iterable[Checked]:
    labels = [_class_name(labeled, int(label)) for label in labeled.labels]
    if isinstance(labeled, FileSplit):
        checked = check_files({split: labeled.samples}, progress)
        return [replace(one, label=label) for one, label in zip(checked, labels, strict=True)]
    images = _stored(labeled)
    if progress:
        progress(len(labeled), len(labeled))
    return [
        Checked(split, name, label, image)
        for name, label, image in zip(labeled.names, labels, images, strict=True)
    ]


def _stored(split: PixelSplit) -> list[Inspected]:
    height, width = split.images.shape[1:3]
    return [
        Inspected(pixels_sha256=hashlib.sha256(image.tobytes()).hexdigest(), size=(width, height))
        for image in split.images
    ]


def _class_name(split: Labeled, label: int) -> str:
    return split.classes[label] if 0 <= label < len(split.classes) else f"label {label}"


def _label_problems(found: Classification) -> Iterable[Problem]:
    if found.train.classes != found.test.classes:
        yield Problem("train and test do not have the same classes")
    for name, split in (("train", found.train), ("test", found.test)):
        of_class = Counter(int(label) for label in split.labels)
        outside = [label for label in of_class if not 0 <= label < len(split.classes)]
        for label in sorted(outside):
            yield Problem(
                "label outside the classes", f"{label} ({of_class[label]:,} {name} images)"
            )
        for place, class_name in enumerate(split.classes):
            if not of_class[place]:
                yield Problem(f"class without {name} images", class_name)
