"""Verify datasets on disk: decode everything, pair masks, check labels, find leaked test images."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from datasets_lib.entry import Counts, Reader
from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.classification import Classification, FileSplit, Labeled, PixelSplit
from datasets_lib.layouts.data_info import read_only
from datasets_lib.layouts.masks import MissingMasksError
from datasets_lib.resolve import resolve_callable
from datasets_lib.verify.images import (
    Checked,
    Inspected,
    Problem,
    Progress,
    check_files,
    image_notes,
    image_problems,
)
from datasets_lib.verify.unused import Unused


@dataclass(frozen=True)
class Report:
    """Result for one category, or for a set without categories.

    Attributes:
        name: ``dataset.category`` or ``dataset``.
        counts: Images it holds; None if it could not be read.
        problems: What is wrong; empty if it verifies.
        notes: Remarks that are no problems, such as images of many sizes.
    """

    name: str
    counts: Counts | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()


def excusing(report: Report, known: Mapping[str, int]) -> Report:
    """Return the report with known flaws as notes, if their number is exactly the known one.

    Args:
        report: Report of the set.
        known: Number of problems in the published set, by kind.
    """
    numbers = Counter(problem.kind for problem in report.problems)
    # A known number that differs in either direction is reported: the files have changed.
    excused = {kind for kind, count in known.items() if numbers[kind] == count}
    problems = tuple(problem for problem in report.problems if problem.kind not in excused)
    notes = (f"{known[kind]} with {kind}, as published" for kind in sorted(excused))
    return replace(report, problems=problems, notes=(*report.notes, *notes))


def verify_category(
    dataset: str,
    category: str,
    path: Path,
    reader: Reader,
    expected: Counts | None = None,
    progress: Progress | None = None,
) -> Report:
    """Read a category and decode all of it.

    Args:
        dataset: Id of the dataset.
        category: Id of the category.
        path: Path that the reader receives.
        reader: Import path or callable, see `datasets_lib.entry.DatasetEntry`.
        expected: Counts stated by the publisher, if known.
        progress: Called after every image.
    """
    name = f"{dataset}.{category}"
    read: Callable[[str, str, Path], Category] = resolve_callable(reader)
    lacking: list[Problem] = []
    try:
        # Readers may write a table on first use; verification leaves the folder as it is.
        with read_only():
            contents = read(dataset, category, path)
    except MissingMasksError as error:
        contents = error.category
        lacking = [
            Problem("defect without a mask", sample.name)
            for sample in contents.test
            if sample.defect and not sample.masks
        ]
    except DatasetError as error:
        return Report(name, None, (Problem(str(error)),))
    checked = check_files(
        {"train": contents.train, "validation": contents.validation, "test": contents.test},
        progress,
    )
    counts = Counts(
        train=len(contents.train),
        test=len(contents.test),
        defective=sum(sample.defect is not None for sample in contents.test),
        validation=len(contents.validation),
    )
    unused = Unused(path, contents)
    # A set without any mask is complete; single missing masks are problems.
    masks = [] if contents.has_masks or lacking or not counts.defective else ["no masks"]
    return Report(
        name,
        counts,
        (
            *_count_problems(counts, expected),
            *image_problems(checked),
            *lacking,
            *unused.problems(),
        ),
        (*image_notes(checked), *masks, *unused.notes()),
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
        contents: Classification = resolve_callable(reader)(root)
    except DatasetError as error:
        return Report(dataset, None, (Problem(str(error)),))
    checked = [
        image
        for split, labeled in (("train", contents.train), ("test", contents.test))
        for image in _checked(split, labeled, progress)
    ]
    counts = Counts(train=len(contents.train), test=len(contents.test))
    problems = [
        *_count_problems(counts, expected),
        *_label_problems(contents),
        *image_problems(checked),
    ]
    notes = (f"{len(contents.classes):,} classes", *image_notes(checked))
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
    problems = (*_count_problems(counts, expected), *image_problems(checked))
    return Report(dataset, counts, problems, tuple(image_notes(checked)))


def _count_problems(counts: Counts, expected: Counts | None) -> Iterable[Problem]:
    """Yield differences from the counts that the publisher states."""
    if expected is None:
        return
    for what in ("train", "validation", "test", "defective"):
        count, published = getattr(counts, what), getattr(expected, what)
        if count != published:
            yield Problem(f"{count:,} {what} images, the publisher says {published:,}")


def _checked(split: str, labeled: Labeled, progress: Progress | None) -> Iterable[Checked]:
    labels = [_class_name(labeled, int(label)) for label in labeled.labels]
    if isinstance(labeled, FileSplit):
        checked = check_files({split: labeled.samples}, progress)
        return [replace(image, label=label) for image, label in zip(checked, labels, strict=True)]
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


def _label_problems(contents: Classification) -> Iterable[Problem]:
    if contents.train.classes != contents.test.classes:
        yield Problem("train and test do not have the same classes")
    for name, split in (("train", contents.train), ("test", contents.test)):
        of_class = Counter(int(label) for label in split.labels)
        outside = [label for label in of_class if not 0 <= label < len(split.classes)]
        for label in sorted(outside):
            yield Problem(
                "label outside the classes", f"{label} ({of_class[label]:,} {name} images)"
            )
        for place, class_name in enumerate(split.classes):
            if not of_class[place]:
                yield Problem(f"class without {name} images", class_name)
