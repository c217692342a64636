"""Compare two runs' pixel metrics by their stored anomaly maps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.report.finished_run import (
    ArraysError,
    ComparisonError,
    FinishedRun,
    load_arrays,
    unpacked_masks,
)

if TYPE_CHECKING:
    from bench.metrics.comparison import Comparison


def compare_maps(
    metric: str, runs: Sequence[FinishedRun], heads: Sequence[str], names: Any, labels: Any
) -> "Comparison":
    """Compare a pixel metric of two runs on the same images.

    Args:
        metric: One of `bench.metrics.pixel_jackknife.JACKKNIFED`.
        runs: Two runs.
        heads: Head of each run.
        names: Names of the test images, in the order of the labels.
        labels: ``(N,)``; nonzero is defective.

    Raises:
        ComparisonError: Maps or masks are missing, damaged, or of different images or sizes; or too
            few images have defective pixels.
    """
    from bench.metrics.comparison import compare_jackknifed
    from bench.metrics.pixel_jackknife import leave_out

    pairs = [_maps(run, head, names) for run, head in zip(runs, heads, strict=True)]
    (first, masks), (second, others) = pairs
    if masks.shape != others.shape or (masks != others).any():
        raise ComparisonError(
            f"{runs[0].name} and {runs[1].name} have maps of {_size(masks)} and {_size(others)} "
            "with other masks: run both with the same --image-size, so that they are evaluated on "
            "the same pixels."
        )
    try:
        return compare_jackknifed(
            metric, *(leave_out(metric, maps, masks, labels) for maps in (first, second))
        )
    except ValueError as error:
        raise ComparisonError(
            f"{metric} of {runs[0].record.case.data} cannot be compared: {error}."
        ) from None


def _maps(run: FinishedRun, head: str, names: Any) -> tuple[Any, Any]:
    """Return ``(N, H, W)`` maps of a head and masks of a run's test images."""
    path, wanted = run.path_of("maps"), ("names", f"maps.{head}", "masks")
    try:
        arrays = load_arrays(path, *wanted)
    except ArraysError as error:
        raise ComparisonError(
            f"Wanted {', '.join(wanted)} in {path}, found that they cannot be read ({error}): "
            "datasets without masks have no pixel metrics; otherwise run the case again with "
            "--rerun."
        ) from None
    if arrays is None:
        raise ComparisonError(
            f"Wanted the anomaly maps of {run.name}, found none: a run keeps them up to 100 MB, "
            "more with --keep-maps, and records copied alone come without them. Run the case "
            "again with --rerun --keep-maps, or compare an image metric."
        )
    kept_names, maps, bits = arrays.values()
    if kept_names.tolist() != names.tolist() or len(maps) != len(names):
        raise ComparisonError(
            f"The maps of {run.name} in {path} are of other images than its scores: run the case "
            "again with --rerun."
        )
    return maps, unpacked_masks(bits, maps.shape)


def _size(masks: Any) -> str:
    return f"{masks.shape[1]} × {masks.shape[2]} px"
