"""Compare two runs' pixel metrics by the anomaly maps that they kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

if TYPE_CHECKING:
    from bench.metrics.comparison import Comparison


class MapsError(Exception):
    """The maps of two runs cannot be compared; the message says why and what to do."""


@dataclass(frozen=True)
class KeptMaps:
    """Where the maps of a run are.

    Attributes:
        run: Name of the run.
        path: File of its maps; None where its record names none.
        head: Head to compare.
    """

    run: str
    path: Path | None
    head: str


def compare_maps(
    metric: str, first: KeptMaps, second: KeptMaps, names: Any, labels: Any
) -> "Comparison":
    """Compare a pixel metric of two runs on the same images.

    Args:
        metric: One of `bench.metrics.pixel_jackknife.JACKKNIFED`.
        first: Maps of one run.
        second: Maps of the other.
        names: Names of the test images, in the order of the labels.
        labels: ``(N,)``; nonzero is defective.

    Raises:
        MapsError: Maps or masks are missing, damaged, of other images or of two sizes, or too
            few images have defective pixels.
    """
    from bench.metrics.comparison import compare_jackknifed
    from bench.metrics.pixel_jackknife import leave_out

    (one, masks), (another, others) = (_maps(kept, names) for kept in (first, second))
    if masks.shape != others.shape or (masks != others).any():
        raise MapsError(
            f"{first.run} and {second.run} have maps of {_size(masks)} and {_size(others)} "
            "with other masks: run both with --image-size of one size, so that they are evaluated "
            "on the same pixels."
        )
    try:
        return compare_jackknifed(
            metric, *(leave_out(metric, maps, masks, labels) for maps in (one, another))
        )
    except ValueError as error:
        raise MapsError(f"{metric} of these runs cannot be compared: {error}.") from None


def _maps(kept: KeptMaps, names: Any) -> tuple[Any, Any]:
    """Return ``(N, H, W)`` maps and masks of a run's test images."""
    path = kept.path
    if path is None or not path.is_file():
        raise MapsError(
            f"Wanted the anomaly maps of {kept.run}, found none: a run keeps them up to 100 MB, "
            "more with --keep-maps, and records that travel alone come without. Run the case "
            "again with --rerun --keep-maps, or compare an image metric."
        )
    wanted = "names", f"maps.{kept.head}", "masks"
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            found, maps, bits = (file[name] for name in wanted)
    except (KeyError, ValueError, OSError, EOFError, BadZipFile) as error:
        raise MapsError(
            f"Wanted {', '.join(wanted)} in {path}, found that they cannot be read ({error}): "
            "datasets without masks have no pixel metrics; otherwise run the case again with "
            "--rerun."
        ) from None
    if found.tolist() != names.tolist() or len(maps) != len(names):
        raise MapsError(
            f"The maps of {kept.run} in {path} are of other images than its scores: run the case "
            "again with --rerun."
        )
    masks = np.unpackbits(bits, axis=1, count=int(np.prod(maps.shape[1:])))
    return maps, masks.reshape(maps.shape).astype(bool)


def _size(masks: Any) -> str:
    return f"{masks.shape[1]} × {masks.shape[2]} px"
