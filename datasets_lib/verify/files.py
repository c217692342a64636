"""Whether an anomaly set on disk is whole: all decoded, masks paired, no leak into the test.

A finding never ends the search: a damaged file is one line of a report. Pixels are those that
models see, 8-bit RGB, so two files of other bytes and the same pixels are told for the same image.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets_lib.entry import Counts
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
    reader: str,
    expected: Counts | None = None,
    progress: Progress | None = None,
) -> Report:
    """Read a category and decode all of it.

    Args:
        dataset: Its id.
        category: Its id.
        path: What its reader reads.
        reader: Import path, see `datasets_lib.entry.DatasetEntry`.
        expected: What the publisher says it holds, if that is known.
        progress: Told of every image.
    """
    name = f"{dataset}.{category}"
    read: Callable[[str, str, Path], Category] = resolve_callable(reader)
    lacking: list[Problem] = []
    try:
        with read_only():
            found = read(dataset, category, path)
    except MissingMasksError as error:
        found = error.category
        lacking = [_lacking(sample) for sample in found.test if sample.defect and not sample.masks]
    except DatasetError as error:
        return Report(name, None, (Problem(str(error)),))
    checked = check_files(
        {"train": found.train, "validation": found.validation, "test": found.test}, progress
    )
    counts = Counts(
        train=len(found.train),
        test=len(found.test),
        defective=sum(sample.defect is not None for sample in found.test),
        validation=len(found.validation),
    )
    unused = Unused(path, found)
    masks = [] if found.has_masks or lacking or not counts.defective else ["no masks"]
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
    """Decode the files of all splits, by as many threads as there are cores, in their order."""
    jobs = [(split, sample) for split, samples in splits.items() for sample in samples]
    checked = []
    # Pillow and hashlib let go of the interpreter while they work.
    with ThreadPoolExecutor() as pool:
        images = pool.map(inspect, (sample for _, sample in jobs))
        try:
            for (split, sample), image in zip(jobs, images, strict=True):
                label = "normal" if sample.defect is None else "defective"
                checked.append(Checked(split, sample.name, label, image))
                if progress:
                    progress(len(checked), len(jobs))
        except BaseException:  # interrupted: the rest need not be decoded first
            pool.shutdown(cancel_futures=True)
            raise
    return checked
