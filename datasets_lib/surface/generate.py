"""Write a category of `surface` to disk in MVTec AD's layout, atomically."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from datasets_lib.surface import CATEGORIES, COUNTS, VERSION
from datasets_lib.surface.render import render

MARKER = "surface_version.txt"
"""File with the version that wrote a category; written last."""

WORKERS = 4
"""Number of threads; NumPy and zlib release the GIL for most of an image."""


def generate(category: str, root: Path) -> Path:
    """Write one category below ``root`` unless it exists.

    The images are written to a hidden folder, which is then renamed: a folder of the final name is
    always complete. If several processes call it at once, one writes and the others wait. A folder
    of another `VERSION`, or with missing files, is replaced.

    Args:
        category: One of `CATEGORIES`.
        root: Folder of the dataset; created if missing.

    Returns:
        ``root/category``.

    Raises:
        ValueError: The category does not exist.
        FileExistsError: ``root/category`` was not written by this function.
    """
    if category not in CATEGORIES:
        raise ValueError(f"surface has no category '{category}'; it has {', '.join(CATEGORIES)}")
    final = root / category
    if is_complete(final):
        return final
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f".{category}.lock"):
        if not is_complete(final):
            _replace(final, category)
    return final


def is_complete(folder: Path) -> bool:
    """Return whether a folder holds every file of a category in this version."""
    marker = folder / MARKER
    if not marker.is_file() or marker.read_text(encoding="utf-8").strip() != VERSION:
        return False
    return all((folder / name).is_file() for name in _files())


def _files() -> Iterator[str]:
    for place, count in COUNTS.items():
        kind = place.partition("/")[2]
        for index in range(count):
            yield f"{place}/{index:03d}.png"
            if kind != "good":
                yield f"ground_truth/{kind}/{index:03d}_mask.png"


def write_images(
    folder: Path,
    counts: Mapping[str, int],
    draw: Callable[[str, int], tuple[NDArray[np.uint8], NDArray[np.bool_]]],
    level: int,
    workers: int,
) -> None:
    """Write images and the masks of defects into a new folder, in MVTec AD's layout.

    Args:
        folder: Folder of the category.
        counts: Number of images by folder below it, such as ``test/good``.
        draw: Returns image and mask, from its folder and its number there.
        level: Compression level of the images.
        workers: Number of threads.
    """
    for place in counts:
        kind = place.partition("/")[2]
        (folder / place).mkdir(parents=True)
        if kind != "good":
            (folder / "ground_truth" / kind).mkdir(parents=True)

    def write(job: tuple[str, int]) -> None:
        place, index = job
        kind = place.partition("/")[2]
        image, mask = draw(place, index)
        Image.fromarray(image).save(folder / place / f"{index:03d}.png", compress_level=level)
        if kind != "good":
            target = folder / "ground_truth" / kind / f"{index:03d}_mask.png"
            Image.fromarray(mask.astype(np.uint8) * 255).save(target)

    jobs = [(place, index) for place, count in counts.items() for index in range(count)]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(write, jobs))


def _write(category: str, folder: Path) -> None:
    def draw(place: str, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        split, _, kind = place.partition("/")
        return render(category, split, kind, index)

    # Level 1 takes about half the time of the default, for files an eighth larger.
    write_images(folder, COUNTS, draw, level=1, workers=min(WORKERS, os.cpu_count() or 1))
    (folder / MARKER).write_text(VERSION + "\n", encoding="utf-8")


def _replace(final: Path, category: str) -> None:
    if final.exists() and not (final / MARKER).is_file():
        raise FileExistsError(
            f"A category of surface should be written to {final}, but surface did not write that "
            f"folder (it has no {MARKER}). Move it away or choose another root."
        )
    with tempfile.TemporaryDirectory(prefix=f".{category}-", dir=final.parent) as temporary:
        fresh = Path(temporary, "fresh")
        _write(category, fresh)
        if final.exists():
            final.rename(Path(temporary, "outdated"))
        fresh.rename(final)
