"""Write a category as large as MVTec AD's bottle: ``python -m bench.perf.mvtec_like DIR``.

209 flawless training images, 20 flawless test images and 63 defects of three kinds with masks, RGB
PNGs of 900×900. They are enlarged images of `surface` with sensor noise added, so that a file
takes about 1.1 MB and decodes as slowly as a photograph.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_lib.surface.generate import write_images
from datasets_lib.surface.render import render

DATASET, CATEGORY = "mvtec_like", "grained"
"""Folder names below a data folder; also the ids of the dataset and the category."""

NATIVE = 900
COUNTS = {
    "train/good": 209,
    "test/good": 20,
    "test/scratch": 22,
    "test/stain": 21,
    "test/missing_part": 20,
}
"""Images by folder: the split of MVTec AD's bottle."""

NOISE = 1.0
"""Standard deviation of the sensor noise in gray levels."""

_STREAM = 1_618_033  # Separates these seeds from small integers used elsewhere.


def write_mvtec_like(data_dir: Path, counts: Mapping[str, int] = COUNTS) -> Path:
    """Write the category below a data folder atomically, unless it exists.

    Args:
        data_dir: Folder to write to.
        counts: Images by folder, whose names are those of `COUNTS`.

    Returns:
        ``data_dir/mvtec_like/grained``; its bytes depend only on the version of Pillow.
    """
    final = data_dir / DATASET / CATEGORY
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=final.parent) as temporary:
        fresh = Path(temporary, CATEGORY)
        # Level 3 takes a quarter of the default's time; files are an eighth larger.
        write_images(fresh, counts, photograph, level=3, workers=os.cpu_count() or 1)
        fresh.rename(final)
    return final


def photograph(place: str, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return an image, ``(900, 900, 3)``, and its mask, ``(900, 900)``.

    Args:
        place: Folder, a key of `COUNTS`.
        index: Index of the image in its folder.
    """
    split, _, kind = place.partition("/")
    small, small_mask = render(CATEGORY, split, kind, index)
    size = NATIVE, NATIVE
    large = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
    mask = np.asarray(Image.fromarray(small_mask).resize(size, Image.Resampling.NEAREST))
    rng = np.random.default_rng([_STREAM, list(COUNTS).index(place), index])
    noisy = large + NOISE * rng.standard_normal(large.shape, np.float32)
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8), mask


def main() -> None:
    """Write the category and print its folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("dir", type=Path, help="data folder")
    print(write_mvtec_like(parser.parse_args().dir))


if __name__ == "__main__":
    main()
