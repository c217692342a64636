"""Which rows of a table rank, at which ranks, and why the others do not."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from bench.aggregate.conditions import NOTHING, Conditions, deviations
from bench.aggregate.language import say
from bench.aggregate.markdown import EMPTY, p_text
from bench.aggregate.rows import Row
from bench.aggregate.significance import (
    PairTests,
    all_pairs,
    equal_pairs,
    fewest_blocks,
    friedman_p,
    over_blocks,
    over_images,
    over_intervals,
)
from bench.aggregate.statistics import SIGNIFICANCE, estimate
from bench.metrics.outcomes import KEPT_AS, Contributions, outcomes_of

MIN_REPLICATES = 3
"""Replicates that a model with randomness needs: of three STFPM runs the best was .80, the worst
.67, which one run alone does not show."""

_PAIRED = {
    "image_auroc": "DeLong's paired test on the same test images, with variation between seeds",
    "image_ap": "A paired jackknife test on the same test images, with variation between seeds",
    "top1": "A paired test on the same test images, with variation between seeds",
}
"""The test of rows whose images are paired, by the metric that ranks."""

_INTERVAL = 2 * NormalDist().inv_cdf(0.975)
"""Width of a 95 % interval in standard errors."""


@dataclass(frozen=True)
class RankedRow:
    """A row of a table with its rank.

    Attributes:
        rank: ``1``, ``1–3`` for a row that may be anything from first to third, or a dash.
        reasons: Why it has no rank; empty where it has one.
        p: Corrected p of no difference from the best ranked row; None for that row and for rows
            without a rank.
    """

    row: Row
    rank: str
    reasons: tuple[str, ...] = ()
    p: float | None = None

    @property
    def ranked(self) -> bool:
        """Return whether the row has a rank."""
        return not self.reasons


def like_the_best(rows: Iterable[RankedRow]) -> int:
    """Return how many ranked rows are not shown to differ from the best, itself included."""
    return sum(each.p is None or each.p >= SIGNIFICANCE for each in rows if each.ranked)


@dataclass(frozen=True)
class Ranking:
    """The rows of a table in order, and how the ranks came about.

    Attributes:
        rows: The ranked rows, best first, then the others, best first.
        method: The test in a sentence; empty where fewer than two rows rank.
    """

    rows: list[RankedRow]
    method: str = ""


def rank_rows(rows: Sequence[Row]) -> Ranking:
    """Rank the rows of one category, or of the mean over a dataset's categories.

    Rows rank against each other if they share images and test images, each at its model's own size
    or all at another, used their full budget, and have enough replicates to estimate their spread.
    The conditions are those that most rows of the table share. Within a category the test is over
    test images and seeds; across several categories it is over the categories, and with too few of
    them nothing is ranked.

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
    rest = [RankedRow(row, EMPTY, reasons) for row, reasons in whole if reasons]
    ranking = _rank(ranked)
    if any(each.reasons for each in ranking.rows):  # all of them, for lack of evidence
        rest = sorted([*ranking.rows, *rest], key=lambda each: _best_first(each.row))
        return replace(ranking, rows=rest)
    return replace(ranking, rows=[*ranking.rows, *rest])


def _rank(rows: Sequence[Row]) -> Ranking:
    if len(rows) < 2:
        return Ranking([RankedRow(row, "1") for row in rows])
    if len(rows[0].categories) > 1:
        return _over_categories(rows)
    return _over_images(rows)


def _over_images(rows: Sequence[Row]) -> Ranking:
    """Rank rows of one category by a test over its test images, seeds included."""
    means = [_signed_mean(row) for row in rows]
    seeds = [_seed_error(row) for row in rows]
    images = [_contributions(row) for row in rows]
    paired = [run for run in images if run is not None and run.labels == _labels(images)]
    if len(paired) == len(rows):
        p = over_images(means, [run.groups for run in paired], seeds)
        return _ranking(rows, all_pairs(p, means), say(_PAIRED[_ranking_name(rows[0])]))
    errors = [_image_error(row) for row in rows]
    known = [error for error in errors if error is not None]
    if len(known) < len(rows):
        p = over_intervals(means, [0.0] * len(rows), seeds)
        method = say("Welch's test over seeds alone: on other test images the order may differ")
        return _ranking(rows, all_pairs(p, means), method)
    p = over_intervals(means, known, seeds)
    method = say(
        "A test from each row's interval over test images and its spread over seeds (some of these "
        "records lack the results of single images, so rows cannot be paired image by image; this "
        "test is more conservative)"
    )
    return _ranking(rows, all_pairs(p, means), method)


def _labels(images: Sequence[Contributions | None]) -> bytes | None:
    return next((run.labels for run in images if run is not None), None)


def _over_categories(rows: Sequence[Row]) -> Ranking:
    """Rank rows of a mean by tests over its categories, each of which is one block."""
    blocks, count = len(rows[0].categories), len(rows)
    if blocks < (least := fewest_blocks(equal_pairs(count))):
        return _unranked(
            rows,
            say(
                "{blocks} categories, at least {least} needed to tell {count} rows apart",
                blocks=blocks,
                least=least,
                count=count,
            ),
        )
    sign = 1 if rows[0].study.ranking_metric.higher_is_better else -1
    values = sign * np.array([row.by_category for row in rows])
    tested = all_pairs(over_blocks(values), values.mean(1), equal_pairs(count))
    opening = ""
    if count > 2:
        p = friedman_p(values)
        opening = say("Friedman's test (p {p}), then ", p=p_text(p))
        if p >= SIGNIFICANCE:
            nothing = np.ones_like(tested.p)
            tested = replace(tested, p=nothing, better=nothing < 0)
    method = say("Wilcoxon's signed-rank test of all pairs over {blocks} categories", blocks=blocks)
    return _ranking(rows, tested, opening + method)


def _ranking(rows: Sequence[Row], tested: PairTests, method: str) -> Ranking:
    ranges = ["–".join(map(str, sorted(set(ends)))) for ends in tested.ranges()]
    p = [None, *(float(value) for value in tested.p[0, 1:])]
    pairs = len(rows) * (len(rows) - 1) // 2
    return Ranking(
        [RankedRow(row, rank, p=value) for row, rank, value in zip(rows, ranges, p, strict=True)],
        say(
            "{method}; corrected by Holm (comparisons: {count})"
            if tested.family == pairs
            else "{method}; corrected by Holm (comparisons: {count}, the pairs that may still be "
            "equal after Friedman's test)",
            method=method,
            count=tested.family,
        ),
    )


def _unranked(rows: Sequence[Row], reason: str) -> Ranking:
    return Ranking([RankedRow(row, EMPTY, (reason,)) for row in rows])


def _signed_mean(row: Row) -> float:
    """Return the mean of the metric that ranks; higher is better."""
    assert row.ranking is not None
    return row.study.ranking_metric.sort_key(row.ranking.mean)


def _seed_error(row: Row) -> tuple[float, int]:
    """Return the squared standard error over seeds, and their number."""
    values = row.ranking_values()
    spread = estimate(values) if row.has_randomness else None
    if spread is None or spread.n < 2:
        return 0.0, 1
    return float(np.var(values, ddof=1)) / spread.n, spread.n


def _contributions(row: Row) -> Contributions | None:
    """Return what each test image adds to the metric that ranks, averaged over seeds."""
    head, name = row.heads[0], _ranking_name(row)
    packed = [record.outcomes.get(head, {}).get(KEPT_AS.get(name, "")) for record in row.records]
    return outcomes_of([text for text in packed if text], name) if all(packed) else None


def _ranking_name(row: Row) -> str:
    return row.study.ranking_metric.name


def _image_error(row: Row) -> float | None:
    """Return the standard error over test images: the mean of those of its runs."""
    head, name = row.heads[0], row.study.ranking_metric.name
    errors: list[Any] = []
    for record in row.records:
        low, high = record.intervals.get(head, {}).get(name) or (None, None)
        if low is None or high is None:
            return None
        errors.append((high - low) / _INTERVAL)
    return float(np.mean(errors))


def _reasons(row: Row) -> tuple[str, ...]:
    """Return what keeps a row from ranking, whatever it is compared with."""
    metric = row.study.ranking_metric
    if row.ranking is None:
        return (say("no {metric}", metric=metric.heading),)
    reasons = deviations(row.records)
    count = len(row.ranking_values())
    if row.has_randomness and count < MIN_REPLICATES:
        reasons.append(say("{count} of {all} replicates", count=count, all=MIN_REPLICATES))
    return tuple(reasons)


def _usual(rows: Sequence[Row]) -> Conditions:
    """Return the conditions that most rows share; ties go to the most test images."""
    counts = Counter(row.conditions for row in rows)
    return max(counts, key=lambda c: (counts[c], c.tested, c.sizes, c.images), default=NOTHING)


def _best_first(row: Row) -> tuple[float, str]:
    value = row.ranking
    return -row.study.ranking_metric.sort_key(value.mean if value else None), row.name
