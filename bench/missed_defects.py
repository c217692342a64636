"""Finished cases whose threshold misses most defects although the scores tell them apart."""

from collections.abc import Iterator, Sequence

from bench.metrics.outcomes import unpack
from bench.predict.decision import MIN_HELD_OUT, how_to_move
from bench.record import Record
from bench.studies import ranking_of
from datasets_lib.catalog import DATASETS

_FEW_FOUND = 0.5
_SHOWN = 3

_GOOD_AUROC = 0.9
"""With normal scores of equal spread, an AUROC of 0.88 finds half of the defects at 5 % false
alarms: from 0.9 on, a threshold that finds less is too high."""

_FAIR_AUROC = 0.7
"""The same for a threshold from few images, which may lie anywhere: below this AUROC no threshold
separates well, and moving it does not help."""

_GOOD_IMAGES = 240
"""Good images in a folder of one's own that hold out `MIN_HELD_OUT`: a fifth is tested, and a tenth
of the rest sets the threshold."""


def missed_defects(records: Sequence[Record]) -> Iterator[str]:
    """Yield a line for each case whose threshold finds less than half of the defective images.

    Args:
        records: Finished records; those of one model for several categories are left out.
    """
    lines = [line for record in records if (line := _line(record))]
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"… and {len(lines) - _SHOWN} more cases whose threshold misses most defects"


def _line(record: Record) -> str:
    """Return what a case's threshold misses, and what to do; empty if it is not to blame."""
    head, _ = ranking_of(record)
    metrics = record.metrics.get(head, {})
    recall, auroc = metrics.get("recall"), metrics.get("image_auroc")
    held_out = record.fingerprints.get("images", {}).get("calibration", 0)
    if recall is None or auroc is None or record.categories or not held_out:
        return ""
    is_rough = held_out < MIN_HELD_OUT
    if recall >= _FEW_FOUND or auroc < (_FAIR_AUROC if is_rough else _GOOD_AUROC):
        return ""
    more = _more_images(record) if is_rough else ""
    return (
        f"{record.case.id}: its threshold, set by {held_out} held-out "
        f"image{'s' if held_out > 1 else ''}, finds {_found(record, head, recall)} defective "
        f"images: predict {how_to_move(held_out)} moves it{more}"
    )


def _found(record: Record, head: str, recall: float) -> str:
    """Return how many defective images are found, as ``2 of 13``; a share in older records."""
    try:
        defective, _ = unpack("image_auroc", record.outcomes[head]["image_auroc"]).groups
    except (KeyError, ValueError):
        return f"{100 * recall:.0f} % of the"
    return f"{round(recall * len(defective))} of {len(defective)}"


def _more_images(record: Record) -> str:
    """Return how a case would hold out more images; empty where there is no way."""
    profile = "--profile standard" if record.protocol.get("train_limit") else ""
    if record.case.dataset in DATASETS:
        return profile and f"; or use more of its images with {profile}"
    under = profile and f" under {profile}"
    return f"; or add good images (about {_GOOD_IMAGES} hold out {MIN_HELD_OUT}{under})"
