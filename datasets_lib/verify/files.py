"""Verify anomaly sets: decode everything, pair masks, look for leaks into the test split.

A damaged file is one line of the report and never ends the search. Pixels are compared as models
see them, in 8-bit RGB: two files of different bytes may hold the same image.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets_lib.entry import Counts, Reader
from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.data_info import read_only
from datasets_lib.layouts.masks import MissingMasksError
from datasets_lib.resolve import resolve_callable
from datasets_lib.verify.inspect_image import inspect
from datasets_lib.verify.report import (
    Checked,
    Problem,
    Progress,
    Report,
    count_problems,
    image_notes,
    image_problems,
)
from datasets_lib.verify.unused import Unused


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
        with read_only():
            contents = read(dataset, category, path)
    except MissingMasksError as error:
        contents = error.category
        lacking = [
            _lacking(sample) for sample in contents.test if sample.defect and not sample.masks
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
    masks = [] if contents.has_masks or lacking or not counts.defective else ["no masks"]
    return Report(
        name,
        counts,
        (*count_problems(counts, expected), *image_problems(checked), *lacking, *unused.problems()),
        (*image_notes(checked), *masks, *unused.notes()),
    )


def _lacking(sample: Sample) -> Problem:
    return Problem("defect without a mask", sample.name)


def check_files(
    splits: Mapping[str, Sequence[Sample]], progress: Progress | None = None
) -> list[Checked]:
    """Decode the files of all splits in threads; results in order."""
    jobs = [(split, sample) for split, samples in splits.items() for sample in samples]
    checked = []
    # Pillow and hashlib release the GIL.
    with ThreadPoolExecutor() as pool:
        images = pool.map(inspect, (sample for _, sample in jobs))
        try:
            for (split, sample), image in zip(jobs, images, strict=True):
                label = "normal" if sample.defect is None else "defective"
                checked.append(Checked(split, sample.name, label, image))
                if progress:
                    progress(len(checked), len(jobs))
        except BaseException:  # interrupted: do not decode the rest first
            pool.shutdown(cancel_futures=True)
            raise
    return checked
