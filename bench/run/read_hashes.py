"""Hashes of what a case reads: runs with equal ones had the same data."""

import hashlib
from typing import NamedTuple

from bench.run.copies import equal_images
from bench.run.readers import read_dataset
from bench.run.recent import Recent
from bench.run.samples import Samples
from bench.settings import Settings
from datasets_lib.batches.textures import texture_samples
from datasets_lib.cache.content import ContentHashes
from datasets_lib.discover import FoundDataset
from datasets_lib.layouts.category import Sample


class _ReadImages(NamedTuple):
    """What images hold: their hash, and the names of those that are equal, in groups."""

    hash: str
    equal: tuple[tuple[str, ...], ...]


class ReadHashes:
    """Hashes of data, shared for a moment by the cases that read the same.

    Attributes:
        files: Hashes of files.

    Args:
        settings: The folder of remembered hashes, and the options that change what is read.
    """

    def __init__(self, settings: Settings) -> None:
        self.files = ContentHashes(settings.cache_dir / "hashes")
        self._options = [f"{settings.bits} bits"] * (settings.bits != 16)
        self._options += [f"split by {settings.split_by}"] * bool(settings.split_by)
        self._images: Recent[Samples, _ReadImages] = Recent()
        self._textures: Recent[str, str] = Recent()

    def equal_images(self, samples: Samples) -> tuple[tuple[str, ...], ...]:
        """Return the names of images that are copies of each other, in groups."""
        return self._read_images(samples).equal

    def of_case(
        self,
        samples: Samples,
        *,
        supervised: bool,
        auxiliary: bool,
        textures: FoundDataset | None,
    ) -> dict[str, str]:
        """Return the hash of what a model reads, and that without the set of textures.

        Args:
            samples: Images that the case reads.
            supervised: Whether labels of its training images are read, too.
            auxiliary: Whether the model trains with a set of textures where there is one.
            textures: That set; None if there is none.
        """
        images = self.with_options(self._read_images(samples).hash)
        if supervised:
            images = _sha256(f"{images} labeled")
        data = images
        if auxiliary:
            beside = f"{textures.name} {self._texture_hash(textures)}" if textures else None
            data = _sha256(f"{images} beside {beside}")
        return {"data_sha256": data, "images_sha256": images}

    def with_options(self, data_hash: str) -> str:
        """Return a hash of data that also depends on the options that change what is read."""
        return _sha256(", ".join([data_hash, *self._options])) if self._options else data_hash

    def _read_images(self, samples: Samples) -> _ReadImages:
        def compute() -> _ReadImages:
            found = self.files.contents(samples)
            names = (sample.name for sample in samples)
            return _ReadImages(found.hash, equal_images(names, found.images))

        return self._images.get(samples, compute)

    def _texture_hash(self, textures: FoundDataset) -> str:
        """Return the hash of the images of a texture set that training draws from."""

        def compute() -> str:
            samples: tuple[Sample, ...] = read_dataset(texture_samples, textures.name, textures)
            return self.files.data_hash(samples)

        return self._textures.get(textures.name, compute)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
