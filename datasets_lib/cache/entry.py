"""An entry of the decode cache: its contents, its files, and whether it is complete."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import PIL

from datasets_lib.cache.content import ContentHashes
from datasets_lib.images.decode import INTERPOLATION, UInt8
from datasets_lib.layouts.category import Sample

FORMAT = 1
"""Changes whenever the files of an entry, or any pixel in them, would."""

IMAGES, MASKS, MANIFEST = "images.u8", "masks.u8", "entry.json"


@dataclass(frozen=True)
class CachedImages:
    """Decoded images, read-only and mapped from the cache's files.

    Attributes:
        images: uint8 RGB (N, size, size, 3).
        masks: uint8 (N, size, size), 1 on defects; None if no sample has a mask.
    """

    images: UInt8
    masks: UInt8 | None


@dataclass(frozen=True)
class Contents:
    """Contents of an entry.

    Attributes:
        rows: Sha256 of each image and of its masks, ``image:mask+mask``, in order; nothing after
            the colon where there is none.
        size: Height and width in pixels.
    """

    rows: tuple[str, ...]
    size: int

    @property
    def recipe(self) -> str:
        """How files become pixels; JPEG decoding depends on Pillow's version."""
        return f"format {FORMAT}; {INTERPOLATION}; {self.size} px; Pillow {PIL.__version__}"

    @property
    def key(self) -> str:
        """Name of the entry's folder."""
        text = "\n".join((self.recipe, *self.rows))
        return hashlib.sha256(text.encode()).hexdigest()[:40]

    @property
    def has_masks(self) -> bool:
        """Whether any row has a mask."""
        return any(not row.endswith(":") for row in self.rows)

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        """(N, size, size, 3)."""
        return len(self.rows), self.size, self.size, 3

    @property
    def bytes(self) -> int:
        """Size of the entry's pixels on disk."""
        return len(self.rows) * self.size**2 * (4 if self.has_masks else 3)


def contents_of(samples: Sequence[Sample], size: int, hashes: ContentHashes) -> Contents:
    """Return the contents of an entry for these samples."""
    files = [file for sample in samples for file in sample.files]
    of_file = hashes.of(files)
    rows = (f"{of_file[s.image]}:{'+'.join(of_file[mask] for mask in s.masks)}" for s in samples)
    return Contents(tuple(rows), size)


def contents_of_pixels(images: UInt8, size: int) -> Contents:
    """Return the contents of an entry for images that are already decoded."""
    native = "×".join(map(str, images.shape[1:3]))
    digests = (hashlib.sha256(image.tobytes()).hexdigest() for image in images)
    return Contents(tuple(f"{native} {digest}:" for digest in digests), size)


@dataclass(frozen=True)
class Manifest:
    """Description stored with an entry.

    Attributes:
        what: Description of its images for people.
        recipe: `Contents.recipe` it was built with.
        contents: Contents of the entry.
    """

    what: str
    recipe: str
    contents: Contents

    def write(self, folder: Path) -> None:
        """Write the manifest into an entry's folder."""
        data = {"what": self.what, "recipe": self.recipe, **asdict(self.contents)}
        (folder / MANIFEST).write_text(json.dumps(data), encoding="ascii")


def read_manifest(folder: Path) -> Manifest | None:
    """Return an entry's manifest; None if it is missing or damaged."""
    try:
        data = json.loads((folder / MANIFEST).read_bytes())
        contents = Contents(tuple(data["rows"]), int(data["size"]))
        return Manifest(str(data["what"]), str(data["recipe"]), contents)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def open_entry(folder: Path, contents: Contents) -> CachedImages | None:
    """Return an entry's images; None if it is missing, damaged or of another recipe."""
    manifest = read_manifest(folder)
    if manifest is None or manifest.contents != contents or manifest.recipe != contents.recipe:
        return None
    images = _map(folder / IMAGES, contents.image_shape)
    masks = _map(folder / MASKS, contents.image_shape[:3]) if contents.has_masks else None
    if images is None or (contents.has_masks and masks is None):
        return None
    return CachedImages(images, masks)


def _map(file: Path, shape: tuple[int, ...]) -> UInt8 | None:
    try:
        if file.stat().st_size != np.prod(shape):
            return None
        return np.memmap(file, np.uint8, "r", shape=shape)
    except OSError:
        return None
