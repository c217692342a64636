"""The first page of the leaderboard: each study's answer, its best rows, and what ran."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from bench.aggregate.language import say
from bench.aggregate.markdown import metric_text, p_text, table
from bench.aggregate.modes import by_category
from bench.aggregate.ranking import like_the_best
from bench.report import glossary
from bench.report.board import Board, RankedTable, StudyRuns
from bench.report.footnotes import Footnotes
from bench.report.leaderboard_cost import name_of, seeds_of
from bench.study import Study
from datasets_lib.catalog import DATASETS

_TOP = 3
_TABLES_SHOWN = 4


def overview(board: Board, notes: Footnotes) -> Iterator[str]:
    """Yield each study's answer in sentences made from the records, its best rows and gaps."""
    for name, group in groupby(board.studies, key=lambda own: own.study.name):
        own = list(group)
        study = own[0].study
        yield f"### `{name}`: {say(study.about)}"
        serious = [runs for runs in own if runs.runs.profile != "smoke"]
        if not serious:
            yield say(
                "No answer: these are smoke runs, which show that everything works but do not "
                "measure a model."
            )
        if sentences := list(_answers(serious)):
            yield "\n".join(f"- {line}" for line in sentences)
        yield from top_table(serious or own, notes)
        yield _missing(own)


def _answers(serious: Sequence[StudyRuns]) -> Iterator[str]:
    """Yield the study's own answers, or the best rows if it has none.

    If there are several profiles or machines, each line starts with those that it is about.
    """
    sections: dict[str, list[str]] = {}
    for runs in serious:
        study = runs.study
        if study.answer is None:
            own = list(_best_rows(runs.main))
        else:
            own = study.call(study.answer, study, runs.usual) if runs.usual.records else []
        for line in own:
            sections.setdefault(line, []).append(runs.section_title)
    for line, where in sections.items():
        yield f"{'; '.join(where)}: {line}" if len(serious) > 1 else line


def _best_rows(tables: Iterable[RankedTable]) -> Iterator[str]:
    for ranked in tables:
        rows = [each for each in ranked.rows if each.ranked]
        if not rows:
            yield _why_none(ranked)
            continue
        best = rows[0]
        metric = best.row.study.ranking_metric
        values = {
            "place": _where(ranked),
            "model": name_of(best.row),
            "value": metric_text(best.row.ranking, metric),
            "metric": metric.heading,
            "count": len(rows),
        }
        if len(rows) == 1:
            yield say("Only {model} ranks on {place}, with {metric} {value}.", **values)
        elif best.rank == "1":
            p = max(each.p or 0.0 for each in rows[1:])
            yield say(
                "{model} is the best of the {count} that rank on {place}, with {metric} {value} "
                "(corrected p {p} against each of the others).",
                **values,
                p=p_text(p),
            )
        else:
            tied = like_the_best(rows)
            yield say(
                "On {place}, {tied} of the {count} that rank are not shown to differ from the "
                "best; {model} has the highest mean, with {metric} {value}.",
                **values,
                tied=tied,
            )


def _where(ranked: RankedTable) -> str:
    """Return the title of a table's data as worded within a sentence."""
    table = ranked.table
    if not ranked.is_mean:
        return table.data_title
    name = ", ".join(filter(None, (table.dataset, table.mode)))
    return say("{name} (mean over {count} categories)", name=name, count=len(table.shared))


def _why_none(ranked: RankedTable) -> str:
    reasons = Counter(reason for each in ranked.rows for reason in each.reasons)
    why = reasons.most_common(1)[0][0] if reasons else say("no row has all categories")
    return say("Nothing ranks on {place}: {why}.", place=_where(ranked), why=why)


def top_table(studies: Sequence[StudyRuns], notes: Footnotes) -> Iterator[str]:
    """Yield the best rows of a study's own tables, whatever their profile and machine."""
    lines = []
    tables = [(runs, ranked) for runs in studies for ranked in runs.main if ranked.rows]
    for runs, ranked in tables[:_TABLES_SHOWN]:
        for best in ranked.rows[:_TOP]:
            row = best.row
            reason = say("No rank: {why}.", why="; ".join(best.reasons)) if best.reasons else ""
            lines.append(
                [
                    best.rank + notes.mark(reason),
                    name_of(row),
                    metric_text(row.ranking, row.study.ranking_metric),
                    seeds_of(row),
                    ranked.table.data_title,
                    runs.section_title,
                ]
            )
    if not lines:
        return
    study = studies[0].study
    heading = study.ranking_metric.heading
    names = ["Rank", "Model", heading, "Seeds", "Data", "Profile, machine"]
    headings = list(map(say, names))
    notes.term(headings[0], glossary.of_rank())
    yield table(headings, lines, words=(0, 1, 4, 5))
    yield _ranked_by(study)
    if len(tables) > _TABLES_SHOWN:
        yield say("{count} more tables are below.", count=len(tables) - _TABLES_SHOWN)


def _ranked_by(study: Study) -> str:
    """Return a sentence about which metric ranks."""
    metric = study.ranking_metric.heading
    if study.heads:
        return say("Ranks by {metric} of the `{head}` head.", head=study.heads[0], metric=metric)
    return say("Ranks by {metric} of each model's first head.", metric=metric)


def _missing(own: Sequence[StudyRuns]) -> str:
    """Return how many of the study's models ran and rank, and which data were not run."""
    study = own[0].study
    records = [record for runs in own for record in runs.runs.records]
    ran = {record.case.model for record in records}
    known = [name for name in study.model_names if name in ran]
    ranked = {
        each.row.case.model
        for runs in own
        for ranked_table in runs.tables
        for each in ranked_table.rows
        if each.ranked
    }
    parts = [
        say(
            "{ran} of {all} models ran and {ranked} rank",
            ran=len(known),
            all=len(study.model_names),
            ranked=len(ranked),
        )
    ]
    absent = []
    have = {(record.case.dataset, record.case.category) for record in by_category(records)}
    for name in study.datasets:
        categories = DATASETS[name].categories if name in DATASETS else ()
        ran_on = sum((name, category) in have for category in categories or (None,))
        if not ran_on:
            absent.append(name)
        elif categories and ran_on < len(categories):
            parts.append(
                say(
                    "{own} of {all} categories of {dataset}",
                    own=ran_on,
                    all=len(categories),
                    dataset=name,
                )
            )
    if absent:
        parts.append(say("no run on {datasets}", datasets=", ".join(absent)))
    return say("Coverage: {parts}.", parts="; ".join(parts))
