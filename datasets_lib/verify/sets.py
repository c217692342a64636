"""Verify datasets on disk: decode everything, pair masks, check labels, find leaked test images."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datasets_lib.entry import Counts, Reader
from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.classification import Classification, FileSplit, Labeled, PixelSplit
from datasets_lib.layouts.data_info import read_only
from datasets_lib.layouts.folders import relative_name
from datasets_lib.layouts.masks import MissingMasksError
from datasets_lib.resolve import resolve_callable
from datasets_lib.verify.duplicates import near_duplicates
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
        notes: Remarks that are not problems, such as images of many sizes.
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


_SHOWN = 2
"""Number of pairs of near-duplicates that are named."""


@dataclass(frozen=True)
class Check:
    """What to verify a set against.

    Attributes:
        expected: Counts stated by the publisher, if known.
        bits: Number of bits that a camera fills in 16-bit files.
        progress: Called after every image, or once for stored pixels.
    """

    expected: Counts | None = None
    bits: int = 16
    progress: Progress | None = None

    def after(self, done: int, total: int) -> "Check":
        """Return the check of a part of a set, whose progress goes on from the parts before it.

        Args:
            done: Number of images in the parts before it.
            total: Number of images in the whole set.
        """
        progress = self.progress
        if progress is None:
            return self
        return replace(self, progress=lambda part, _: progress(done + part, total))

    def files(self, splits: Mapping[str, Sequence[Sample]]) -> list[Checked]:
        """Return what `check_files` reports about the files of all splits."""
        return check_files(splits, self.progress, self.bits)

    def report(
        self,
        name: str,
        counts: Counts,
        checked: Sequence[Checked],
        problems: Iterable[Problem] = (),
        notes: Iterable[str] = (),
    ) -> Report:
        """Return a report of a set that was read, with the problems that all sets share."""
        shared = (*_count_problems(counts, self.expected), *image_problems(checked, self.bits))
        return Report(
            name, counts, (*shared, *problems), (*image_notes(checked), *filter(None, notes))
        )


def verify_category(
    dataset: str, category: str, path: Path, reader: Reader, check: Check = Check()
) -> Report:
    """Read a category and decode all of it.

    Args:
        dataset: Id of the dataset.
        category: Id of the category.
        path: Path that the reader receives.
        reader: Import path or callable, see `datasets_lib.entry.DatasetEntry`.
        check: Options.
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
    splits = {"train": contents.train, "validation": contents.validation, "test": contents.test}
    checked = check.files(splits)
    counts = Counts(
        train=len(contents.train),
        test=len(contents.test),
        defective=sum(sample.defect is not None for sample in contents.test),
        validation=len(contents.validation),
    )
    unused = Unused(path, [sample for samples in splits.values() for sample in samples], category)
    # A set without any mask is complete; single missing masks are problems.
    is_bare = not contents.has_masks and not lacking and counts.defective
    return check.report(
        name,
        counts,
        checked,
        (*lacking, *unused.images(), *unused.masks()),
        ("no masks" if is_bare else "", _near_duplicates(checked), *unused.notes()),
    )


def verify_labeled(dataset: str, root: Path, reader: Reader, check: Check = Check()) -> Report:
    """Read a classification set, decode all of it and check its labels.

    Args:
        dataset: Id of the dataset.
        root: Folder of the dataset.
        reader: Import path or callable, see `datasets_lib.entry.DatasetEntry`.
        check: Options.
    """
    try:
        contents: Classification = resolve_callable(reader)(root)
    except DatasetError as error:
        return Report(dataset, None, (Problem(str(error)),))
    counts = Counts(train=len(contents.train), test=len(contents.test))
    total = counts.train + counts.test
    checked = [
        *_checked("train", contents.train, check.after(0, total)),
        *_checked("test", contents.test, check.after(counts.train, total)),
    ]
    classes = f"{len(contents.classes):,} classes"
    files = [split for split in (contents.train, contents.test) if isinstance(split, FileSplit)]
    unused = Unused(root, [sample for split in files for sample in split.samples])
    return check.report(
        dataset,
        counts,
        checked,
        (*_label_problems(contents), *unused.images()),
        (classes, *unused.notes()),
    )


def verify_textures(dataset: str, root: Path, reader: Reader, check: Check = Check()) -> Report:
    """Decode a folder of textures; the arguments are those of `verify_labeled`."""
    try:
        files: list[Path] = list(resolve_callable(reader)(root))
    except DatasetError as error:
        return Report(dataset, None, (Problem(str(error)),))
    samples = [Sample(relative_name(file, root), file) for file in files]
    counts = Counts(train=len(samples), test=0)
    return check.report(dataset, counts, check.files({"train": samples}))


def _near_duplicates(checked: Sequence[Checked]) -> str:
    """Return how many normal test images nearly equal a training image; empty if none does."""
    by_split: dict[str, list[Checked]] = {"train": [], "validation": [], "test": []}
    for item in checked:
        if item.label == "normal" and item.image.thumbnail:
            by_split[item.split].append(item)
    train, test = by_split["train"], by_split["test"]
    pairs = near_duplicates(
        [item.image.thumbnail for item in train], [item.image.thumbnail for item in test]
    )
    if not pairs:
        return ""
    first = "; ".join(f"{test[one].name} and {train[other].name}" for one, other in pairs[:_SHOWN])
    return (
        f"{len(pairs):,} normal test images nearly equal a training image, such as {first} "
        "(--split-by keeps shots of one part together)"
    )


def _count_problems(counts: Counts, expected: Counts | None) -> Iterable[Problem]:
    """Yield differences from the counts that the publisher states."""
    if expected is None:
        return
    for what in ("train", "validation", "test", "defective"):
        count, published = getattr(counts, what), getattr(expected, what)
        if count != published:
            yield Problem(f"{count:,} {what} images, the publisher says {published:,}")


def _checked(split: str, labeled: Labeled, check: Check) -> Iterable[Checked]:
    labels = [_class_name(labeled, int(label)) for label in labeled.labels]
    if isinstance(labeled, FileSplit):
        checked = check.files({split: labeled.samples})
        return [replace(image, label=label) for image, label in zip(checked, labels, strict=True)]
    images = _stored(labeled)
    if check.progress:
        check.progress(len(labeled), len(labeled))
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
