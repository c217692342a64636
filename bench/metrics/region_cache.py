"""Labeled regions kept on disk under the content of their masks.

What is kept are the runs, a few hundred kilobytes for a category; a damaged file is labeled anew.
"""

import hashlib
import os
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from torch import Tensor

from bench.metrics.inputs import defective
from bench.metrics.regions import Regions, Runs, assemble, connected_runs, mask_shape

_DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)


def cached_regions(masks: Tensor, folder: Path) -> Regions:
    """`label_regions`, read from the folder where these masks were labeled before.

    The file appears whole or not at all, so that several processes may share the folder. One that
    cannot be read or written costs time, not results.

    Args:
        masks: ``(N, H, W)`` booleans or integers; nonzero is defective.
        folder: Where to keep the file; made if missing.

    Raises:
        ValueError: The masks are floating point or not three-dimensional.
    """
    shape = mask_shape(masks)
    file = folder / f"{_content(masks)}.regions.npz"
    runs = _read(file)
    if runs is None:
        runs = connected_runs(masks)
        with suppress(OSError):
            _write(file, runs)
    return assemble(shape, runs)


def _content(masks: Tensor) -> str:
    digest = hashlib.sha256(repr(mask_shape(masks)).encode())
    digest.update(np.packbits(defective(masks.cpu()).numpy()).data)
    return digest.hexdigest()


def _read(file: Path) -> Runs | None:
    # The archive's own checksums (CRC-32) find damage inside the arrays.
    with suppress(*_DAMAGED), file.open("rb") as stream:
        arrays = np.load(stream, allow_pickle=False)
        return Runs(arrays["start"], arrays["length"], arrays["region"])
    return None


def _write(file: Path, runs: Runs) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
    half = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            np.savez(stream, start=runs.start, length=runs.length, region=runs.region)
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)
