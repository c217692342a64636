"""The cards above the table: best, fastest near it, what moved, what is wrong, what is covered."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from bench.aggregate.frame import recency_key
from bench.aggregate.markdown import quantity
from bench.aggregate.ranking import RankedRow, like_the_best
from bench.metrics.catalog import Metric
from bench.page.charts.quality import SPEED
from bench.page.markup import breakable, element, elided
from bench.page.source import Question, Source
from bench.page.words import t
from bench.record import Record
from bench.regression.baselines import MAIN
from bench.regression.finding import FINISHES
from bench.regression.ledger import Alarm
from bench.regression.series import Quantity
from bench.studies import ranking_of

_NEAR = 1.0
"""Points of a metric in percent within which a faster row counts as near the best."""

_OTHERS = 2
"""Maximum number of other studies whose best row is named."""

_ALARMS = 2
"""Maximum number of alarms that are named."""


@dataclass(frozen=True)
class Move:
    """The change between the last two runs of a case.

    Attributes:
        old: The run before.
        new: The newest run.
        change: Difference of the metric that ranks, positive for better.
    """

    old: Record
    new: Record
    change: float

    @property
    def metric(self) -> Metric:
        """Return the metric that ranks the case."""
        return ranking_of(self.new)[1]

    def texts(self) -> tuple[str, str]:
        """Return both values as text."""
        old, new = (ranking_value(record) for record in (self.old, self.new))
        assert old is not None
        assert new is not None
        return self.metric.text(old), self.metric.text(new)


def ranking_value(record: Record) -> float | None:
    """Return the one number that represents a run; None where it has none."""
    head, metric = ranking_of(record)
    return record.metrics.get(head, {}).get(metric.name)


def moves(source: Source) -> list[Move]:
    """Return the change of each case that ran more than once, the biggest first."""
    changes = []
    for series in source.repeated:
        old, new = sorted(series, key=recency_key)[-2:]
        before, after = ranking_value(old), ranking_value(new)
        if before is None or after is None:
            continue
        change = (after - before) * (1 if ranking_of(new)[1].higher_is_better else -1)
        changes.append(Move(old, new, change))
    return sorted(changes, key=lambda move: (-abs(move.change), move.new.key.id))


def cards(source: Source) -> Element:
    """Return the section of cards."""
    return element(
        "section",
        _card(t("Best"), *_best(source)),
        _card(t("Fastest within 1 point of the best"), *_fastest(source)),
        _card(t("Biggest mover"), *_mover(moves(source))),
        _card(t("Open alarms"), *_alarms(source.alarms)),
        _card(t("Coverage"), *_coverage(source)),
        class_="cards",
    )


def fastest_near_best(question: Question) -> RankedRow | None:
    """Return the fastest ranked row within a point of the best; None if none has a speed."""
    ranked = [each for each in question.main.rows if each.ranked and each.row.ranking]
    if not ranked:
        return None
    metric = ranked[0].row.study.ranking_metric
    best = ranked[0].row.ranking
    assert best is not None
    near = [
        (speed.mean, each)
        for each in ranked
        if each.row.ranking
        and abs(each.row.ranking.mean - best.mean) * metric.scale <= _NEAR
        and (speed := each.row.measurement(SPEED))
    ]
    return max(near, key=lambda pair: pair[0])[1] if near else None


def _card(title: str, big: str, *notes: str) -> Element:
    return element(
        "article",
        element("h3", title),
        element("p", *breakable(big), class_="big"),
        *(element("p", note) for note in notes),
    )


def _best(source: Source) -> tuple[str, ...]:
    answers = [(q, q.main.rows[0]) for q in source.questions if _has_rank(q)]
    if not answers:
        return "–", t("No row has a rank yet.")
    others = []
    studies = {answers[0][0].main.table.study.name}
    for question, ranked_row in answers[1:]:
        if (name := question.main.table.study.name) not in studies:
            studies.add(name)
            others.append(f"{elided(ranked_row.row.name, 40)}: {_sentence(question, ranked_row)}")
    question, ranked_row = answers[0]
    notes = [_sentence(question, ranked_row)]
    if ranked_row.rank != "1" and (tied := like_the_best(question.main.rows) - 1):
        notes.append(
            t(
                "Rank {rank}: not shown to differ from {count} more.",
                rank=ranked_row.rank,
                count=tied,
            )
        )
    return elided(ranked_row.row.name, 40), *notes, *others[:_OTHERS]


def _fastest(source: Source) -> tuple[str, ...]:
    for question in source.questions:
        if ranked_row := fastest_near_best(question):
            speed = ranked_row.row.measurement(SPEED)
            assert speed is not None
            fast = t("{speed} images/s", speed=quantity(speed))
            return elided(ranked_row.row.name, 40), f"{fast}; {_sentence(question, ranked_row)}"
    return "–", t("No ranked row has a speed.")


def _sentence(question: Question, ranked_row: RankedRow) -> str:
    """Return a row's value and table, marked if it is the only ranked row."""
    metric = ranked_row.row.study.ranking_metric
    assert ranked_row.row.ranking is not None
    value = f"{metric.heading} {metric.text(ranked_row.row.ranking.mean)}"
    alone = sum(each.ranked for each in question.main.rows) == 1
    only = f" · {t('the only row with a rank')}" if alone else ""
    return f"{value} · {elided(question.main.title, 90)}{only}"


def _mover(moved: list[Move]) -> tuple[str, ...]:
    if not moved:
        return "–", t("No case has run twice.")
    old, new = moved[0].texts()
    change = f"{moved[0].metric.scale * moved[0].change:+.2f}".replace("-", "−")
    return change, f"{moved[0].metric.heading} {old} → {new}", elided(moved[0].new.key.id, 60)


def _alarms(alarms: Sequence[Alarm]) -> Iterator[str]:
    """Yield the alarms in the ledger that have no verdict, the newest first."""
    waiting = [alarm for alarm in alarms if not alarm.verdict]
    yield str(len(waiting)) if waiting else t("none")
    if alarms:
        yield t(
            "confirmed regressions without a verdict: {open} of {all}",
            open=len(waiting),
            all=len(alarms),
        )
    else:
        yield t("No nightly run has confirmed a regression here.")
    for alarm in waiting[: -_ALARMS - 1 : -1]:
        name = f"{alarm.raised[:10]}: {elided(alarm.configuration, 60)}, {alarm.quantity}"
        if alarm.baseline != MAIN:
            name += f" ({t('baseline {name}', name=alarm.baseline)})"
        yield name if alarm.quantity == FINISHES else f"{name} {_worse(alarm)}"


def _worse(alarm: Alarm) -> str:
    loss = Quantity(alarm.quantity).loss_text(alarm.loss).removeprefix("+")
    return t("worse by {loss}", loss=loss)


def _coverage(source: Source) -> Iterator[str]:
    known = {record.key.id for record in source.records}
    finished = [record for record in source.records if record.status == "ok"]
    yield t(
        "{finished} of {known} cases", finished=len({r.key.id for r in finished}), known=len(known)
    )
    done = {record.key.id for record in finished}
    skipped = {r.key.id for r in source.records if r.status == "skipped"} - done
    if source.failed:
        yield t("failed in their last run: {count}", count=len(source.failed))
    yield t(
        "models: {models}, datasets: {datasets}, skipped: {skipped}",
        models=len({record.case.model for record in finished}),
        datasets=len({record.case.dataset for record in finished}),
        skipped=len(skipped),
    )


def _has_rank(question: Question) -> bool:
    return bool(question.main.rows) and question.main.rows[0].ranked
