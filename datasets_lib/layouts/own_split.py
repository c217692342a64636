"""Sets without an official split: a fifth of the normal images is tested, with all defects."""

from collections.abc import Sequence
from pathlib import Path

from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.listing import IMAGE_SUFFIXES, in_words
from datasets_lib.layouts.split import split_test

NORMAL_NAMES = frozenset({"normal", "good", "ok"})
"""Names of folders of normal images, in lower case."""


def split_category(
    dataset: str, category: str, root: Path, samples: Sequence[Sample], has_masks: bool
) -> Category:
    """A category of these samples, normal ones split by `split_test`.

    Raises:
        DatasetError: There is no normal image, or nothing to test on.
    """
    train, normal = split_test([sample for sample in samples if not sample.defect])
    defects = tuple(sample for sample in samples if sample.defect)
    if not train or not (normal or defects):
        raise DatasetError(
            f"The category {category} of {root} has {len(train) + len(normal)} normal and "
            f"{len(defects)} defective images: wanted at least one normal image to train on and "
            f"one of either to test on, ending in {in_words(IMAGE_SUFFIXES)}. Add images."
        )
    return Category(dataset, category, train, normal + defects, has_masks)
