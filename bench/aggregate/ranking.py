"""Which rows of a table rank, and why the others do not."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.aggregate.conditions import NOTHING, Conditions, changes_of
from bench.aggregate.markdown import EMPTY, percent
from bench.aggregate.rows import Row
from bench.aggregate.statistics import Estimate

MIN_REPLICATES = 3
"""Replicates that a model with randomness needs: of three STFPM runs the best was .80, the worst
.67, which one run alone does not show."""


@dataclass(frozen=True)
class Place:
    """A row with its place in the table.

    Attributes:
        rank: ``1``, ``1=`` for one of several that tie, or a dash.
        reasons: Why it has no rank; empty where it has one.
    """

    row: Row
    rank: str
    reasons: tuple[str, ...] = ()

    @property
    def ranked(self) -> bool:
        """Return whether the row has a rank."""
        return not self.reasons


def places(rows: Sequence[Row]) -> list[Place]:
    """Return the ranked rows, best first, then the others, best first.

    Rows rank against each other if they share images, size and test images, spent their own budget
    in full, and have replicates enough to know their spread. Most of a table's rows decide which
    conditions those are.

    Args:
        rows: Rows of one category or mean, in any order.
    """
    ordered = sorted(rows, key=_best_first)
    own = [_reasons(row) for row in ordered]
    able = [row for row, reasons in zip(ordered, own, strict=True) if not reasons]
    usual = _usual(able or ordered)
    whole = [
        (row, (*reasons, *row.conditions.differences(usual)))
        for row, reasons in zip(ordered, own, strict=True)
    ]
    ranked = [row for row, reasons in whole if not reasons]
    return [
        *map(Place, ranked, _ranks(ranked)),
        *(Place(row, EMPTY, reasons) for row, reasons in whole if reasons),
    ]


def _reasons(row: Row) -> tuple[str, ...]:
    """Return what keeps a row from ranking, whatever it is compared with."""
    metric = row.study.ranking_metric
    if row.ranking is None:
        return (f"no {metric.heading}",)
    reasons = []
    share = row.budget_share
    if share is None:
        reasons.append("budget not recorded")
    elif share != 1:
        reasons.append(f"{percent(share)} of its own budget")
    if changes := sorted({name for record in row.records for name in changes_of(record)}):
        reasons.append(f"its recipe was changed: {', '.join(changes)}")
    count = len(row.ranking_values())
    if row.has_randomness and count < MIN_REPLICATES:
        reasons.append(f"{count} of {MIN_REPLICATES} replicates")
    return tuple(reasons)


def _usual(rows: Sequence[Row]) -> Conditions:
    """Return the conditions that most rows share, of equally many the most test images."""
    counts = Counter(row.conditions for row in rows)
    return max(counts, key=lambda c: (counts[c], c.tested, c.sizes, c.images), default=NOTHING)


def _ranks(rows: Sequence[Row]) -> list[str]:
    """Return a rank for each of some rows, the best first.

    A row ties with the best of its rank while their intervals overlap (``1=``); the first whose
    interval lies wholly on the worse side starts the next rank.
    """
    leads: list[int] = []
    leader: Estimate | None = None
    for position, row in enumerate(rows, start=1):
        value = row.ranking
        assert value is not None
        if leader is None or _worse(value, leader, row.study.ranking_metric.higher_is_better):
            leader = value
            leads.append(position)
        else:
            leads.append(leads[-1])
    return [f"{lead}=" if leads.count(lead) > 1 else f"{lead}" for lead in leads]


def _worse(value: Estimate, leader: Estimate, higher_is_better: bool) -> bool:
    return value.high < leader.low if higher_is_better else value.low > leader.high


def _best_first(row: Row) -> tuple[float, str]:
    value = row.ranking
    return -row.study.ranking_metric.sort_key(value.mean if value else None), row.name
