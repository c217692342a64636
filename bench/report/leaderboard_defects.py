"""The defect table: which sizes and kinds a model finds, and AUPRO at few false positives."""

from collections.abc import Iterator, Mapping, Sequence

from bench.aggregate.language import say
from bench.aggregate.markdown import EMPTY, bold, metric_text, table
from bench.aggregate.rows import Row
from bench.aggregate.statistics import Estimate, estimate
from bench.metrics.catalog import METRICS
from bench.report import glossary
from bench.report.footnotes import Footnotes
from bench.report.leaderboard_cost import name_of, seeds_of
from bench.report.leaderboard_tables import why_empty

_AUROC, _AUPRO = METRICS["image_auroc"], METRICS["aupro_05"]
_QUARTILES = ("smallest quarter", "second", "third", "largest quarter")


def defect_table(rows: Sequence[Row], notes: Footnotes) -> Iterator[str]:
    """Yield image AUROC by size and kind of defect, for the head that ranks."""
    by_size = [_means(row, "sizes") for row in rows]
    by_kind = [_means(row, "kinds") for row in rows]
    overlap = any(row.metric(row.heads[0], _AUPRO.name) for row in rows)
    sizes = sorted({name for own in by_size for name in own})
    kinds = sorted({name for own in by_kind for name in own})
    if not sizes and len(kinds) < 2:
        return
    lines = [
        [
            name_of(row),
            *([_overlap(row, notes)] if overlap else []),
            *(_text(own.get(name)) for name in sizes),
            *(_text(of_kind.get(name)) for name in kinds),
            seeds_of(row),
        ]
        for row, own, of_kind in zip(rows, by_size, by_kind, strict=True)
    ]
    headings = [say("Model")]
    headings += [notes.term(say(_AUPRO.heading), glossary.of_metric(_AUPRO))] if overlap else []
    area = notes.mark(_areas(rows))
    headings += [say(_QUARTILES[int(name[1:]) - 1]) + area for name in sizes]
    about = say(
        "Image AUROC of the defective images of one size or kind against all normal ones: 50 "
        "is chance. Sizes are quarters of the defective images by the area of their defects."
    )
    yield bold(notes.term(say("Defects"), about))
    yield table([*headings, *kinds, say("Seeds")], lines, words=(0,))
    if any(EMPTY in line for line in lines):
        yield say("A cell is empty where a run recorded no value for that size or kind.")


def _means(row: Row, field: str) -> dict[str, Estimate]:
    """Return the mean over replicates of each size or kind that every record has."""
    recorded: list[Mapping[str, float | None]] = [
        getattr(record, field).get(row.heads[0], {}) for record in row.records
    ]
    means = {
        name: estimate((own.get(name) for own in recorded), share=True) for name in recorded[0]
    }
    return {
        name: mean if row.has_randomness else Estimate(mean.mean, None, 1)
        for name, mean in means.items()
        if mean is not None and mean.n == len(recorded)
    }


def _areas(rows: Sequence[Row]) -> str:
    """Return the upper limits of the quarters as shares of the image."""
    for row in rows:
        limits = row.records[0].fingerprints.get("defect_areas", [])
        if limits and all(isinstance(limit, float) for limit in limits):
            texts = ", ".join(f"{100 * limit:.3g} %" for limit in limits)
            return say("Quarters end at {limits} of the image.", limits=texts)
    return ""


def _overlap(row: Row, notes: Footnotes) -> str:
    """Return a row's AUPRO as text; an empty cell is marked with why it is empty."""
    value = row.metric(row.heads[0], _AUPRO.name)
    why = why_empty(row, row.heads[0], _AUPRO) if value is None else ""
    return metric_text(value, _AUPRO) + notes.mark(why)


def _text(value: Estimate | None) -> str:
    return EMPTY if value is None else metric_text(value, _AUROC)
