"""Digits with mirrored test images: a plugin whose classifier needs its augmentation.

A classifier that saw no mirrored digits in training misclassifies a mirrored 2, 5 or 7.
"""

from dataclasses import replace
from pathlib import Path

from bench.studies import register_study
from bench.study import Study
from datasets_lib.catalog import register_dataset
from datasets_lib.layouts.classification import Classification, PixelSplit
from datasets_lib.sets import digits


def read(_: Path | None = None) -> Classification:
    """Return the digits; the test images are mirrored left to right."""
    plain = digits.read()
    test = plain.test
    assert isinstance(test, PixelSplit)
    return replace(plain, test=replace(test, images=test.images[:, :, ::-1].copy()))


_TITLE = "Digits, tested on mirrored ones"
register_dataset(replace(digits.ENTRY, name="mirrored_digits", title=_TITLE, reader=read))
register_study(
    Study(
        name="mirrored",
        task="classification",
        about="Does training with flips read mirrored digits?",
        datasets=("mirrored_digits",),
        models=("resnet18",),
        augmentations=("flip_crop",),
        heads=("last_epoch",),
    )
)
