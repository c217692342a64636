"""Handwritten 8×8 digits from scikit-learn, for studies without a download."""

import hashlib
from pathlib import Path
from types import MappingProxyType

from datasets_lib.entry import Counts, DatasetEntry
from datasets_lib.layouts.classification import Classification, PixelSplit

ENTRY = DatasetEntry(
    name="digits",
    title="Digits (scikit-learn)",
    task="classification",
    categories=(),
    license="CC BY 4.0 (UCI Machine Learning Repository)",
    citation="Alpaydin, Kaynak: Optical Recognition of Handwritten Digits, UCI, 1998",
    homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    reader="datasets_lib.sets.digits:read",
    embedded=True,
    counts=MappingProxyType({"": Counts(train=1_438, test=359)}),
    image_size=32,
    unverified=("The license's wording.",),
)

TEST_SHARE = 0.2
BRIGHTEST = 16


def read(_: Path | None = None) -> Classification:
    """Return all 1,797 images as 8×8 RGB; a fifth of each class, by hash, is the test split.

    The split is this project's own, since scikit-learn has none.

    Args:
        _: Folder that readers receive; unused, since there are no files.
    """
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    # The pixels are counts from 0 to 16.
    gray = np.rint(digits.images * (255 / BRIGHTEST)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    classes = tuple(str(name) for name in digits.target_names)
    by_class = [np.flatnonzero(labels == label).tolist() for label in range(len(classes))]
    held_out = {place for places in by_class for place in _test_places(places)}

    def split(places: list[int]) -> PixelSplit:
        names = tuple(f"{place:04d}" for place in places)
        images = np.repeat(gray[places][..., None], 3, axis=3)
        return PixelSplit(classes, names, labels[places], images)

    everything = range(len(labels))
    return Classification(
        ENTRY.name,
        train=split([place for place in everything if place not in held_out]),
        test=split([place for place in everything if place in held_out]),
    )


def _test_places(places: list[int]) -> list[int]:
    by_hash = sorted(places, key=lambda place: hashlib.sha256(str(place).encode()).digest())
    return by_hash[: round(TEST_SHARE * len(places))]
