"""What readers of results must know: where they mean less than they seem, and what to do."""

from collections.abc import Iterator, Mapping, Sequence

from bench.missed_defects import missed_defects
from bench.predict.decision import MIN_HELD_OUT
from bench.record import Record
from models.catalog import MODELS


def caveats(records: Sequence[Record], skips: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield what weakens these results.

    Args:
        records: Finished records.
        skips: Ids of skipped cases by reason.
    """
    random = any(_could_be_pretrained(record) for record in records)
    missing = any("-pretrained-" in case for cases in skips.values() for case in cases)
    if random and missing and not any(record.case.pretrained for record in records):
        yield (
            "random weights, because no file of pretrained weights was found: these figures show "
            "that the harness works, not what the models can do"
        )
    held_out = [record.fingerprints.get("images", {}).get("calibration", 0) for record in records]
    few = sorted(count for count in held_out if 0 < count < MIN_HELD_OUT)
    if few:
        images = f"{few[0]} held-out image{'s' if few[0] > 1 else ''}"
        yield (
            f"thresholds of {len(few)} case{'s' if len(few) > 1 else ''} come from as few as "
            f"{images}, fewer than {MIN_HELD_OUT}: F1 and accuracy at them are rough; AUROC needs "
            "no threshold"
        )
    yield from missed_defects(records)


def _could_be_pretrained(record: Record) -> bool:
    entry = MODELS.get(record.case.model)
    return not record.case.pretrained and entry is not None and entry.weights is not None
