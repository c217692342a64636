"""Labeled regions kept on disk under the content of their masks.

A file holds the runs, a few hundred kilobytes for a category; a damaged file is replaced.
"""

import hashlib
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from torch import Tensor

from bench.metrics.inputs import defective
from bench.metrics.regions import Regions, Runs, assemble, connected_runs, mask_shape
from datasets_lib.atomic import atomic_path

_DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)


def cached_regions(masks: Tensor, folder: Path) -> Regions:
    """Return `label_regions`, read from the folder where these masks were labeled before.

    The file appears whole or not at all, so that several processes may share the folder. One that
    cannot be read or written costs time, not results.

    Args:
        masks: ``(N, H, W)`` booleans or integers; nonzero is defective.
        folder: Folder of the file; made if missing.

    Raises:
        ValueError: The masks are floating point or not three-dimensional.
    """
    shape = mask_shape(masks)
    content = hashlib.sha256(repr(shape).encode())
    content.update(np.packbits(defective(masks.cpu()).numpy()).data)
    file = folder / f"{content.hexdigest()}.regions.npz"
    runs = _read(file)
    if runs is None:
        runs = connected_runs(masks)
        with suppress(OSError), atomic_path(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, start=runs.start, length=runs.length, region=runs.region)
    return assemble(shape, runs)


def _read(file: Path) -> Runs | None:
    # The archive's own checksums (CRC-32) find damage inside the arrays.
    with suppress(*_DAMAGED), file.open("rb") as stream:
        arrays = np.load(stream, allow_pickle=False)
        return Runs(arrays["start"], arrays["length"], arrays["region"])
    return None
