"""Study 2's report: its hypotheses, its experiments, and the original study's values."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from bench.aggregate.conditions import deviations
from bench.aggregate.frame import ComparableRuns
from bench.aggregate.language import say
from bench.aggregate.rows import category_rows
from bench.record import Record
from bench.studies.mixing.original import experiments, original_outcomes
from bench.studies.mixing.points import Outcomes, outcomes
from bench.studies.mixing.tables import (
    best_table,
    experiments_table,
    gains_table,
    hypothesis_sentences,
    hypothesis_tables,
    original_table,
    replication_table,
)
from bench.study import Study

_DIFFERENCES = (
    "Difference: by how many points of top-1 after the last epoch one model's gain exceeds the "
    "other's; in H3, how much that changes with pretraining. In brackets a 95 % interval: over "
    "seeds if there are several, and a verdict needs all of it on one side of zero; with one "
    "seed, over test images alone (binomial), without a verdict. Not corrected for the number "
    "of rows."
)


def answer(study: Study, runs: ComparableRuns) -> Iterator[str]:
    """Yield the conclusions about the hypotheses, by recipe, from runs that could rank."""
    recipes = sorted({record.case.recipe for record in runs.records})
    for recipe in recipes:
        own = [record for record in runs.records if record.case.recipe == recipe]
        sentences, answers = hypothesis_sentences(study.model_names, outcomes(own, recipe)[0])
        whole = [record for record in own if not deviations([record])]
        if answers and len(whole) < len(own):
            sentences, _ = hypothesis_sentences(study.model_names, outcomes(whole, recipe)[0])
            sentences.append(_left_out(own, len(whole)))
        if sentences and (answers or len(recipes) == 1):
            opening = say("Recipe `{recipe}`: ", recipe=recipe) if len(recipes) > 1 else ""
            yield from (opening + sentence for sentence in sentences)


def _left_out(records: Sequence[Record], whole: int) -> str:
    """Return how many runs the answer is without, and why."""
    return say(
        "Left out: {count} of {all} runs that cannot rank ({reasons}).",
        count=len(records) - whole,
        all=len(records),
        reasons="; ".join(deviations(records)),
    )


def report(study: Study, runs: ComparableRuns) -> Iterator[str]:
    """Yield the hypotheses, gains and experiments of a study of two classifiers."""
    records = runs.records
    recipes = sorted({record.case.recipe for record in records})
    yield f"#### {say('All experiments')}"
    by_dataset: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_dataset[record.case.dataset].append(record)
    rows = [row for name in sorted(by_dataset) for row in category_rows(by_dataset[name], study)]
    yield experiments_table(rows)
    for recipe in recipes:
        yield from _recipe(study, recipe, [r for r in records if r.case.recipe == recipe])
    if study.references:  # the study that replicates a published one
        full = [record for record in records if _full_budget(record)]
        by_full_recipe: dict[str, Outcomes] = {
            recipe: outcomes(full, recipe)[0] for recipe in recipes
        }
        yield from _replications(by_full_recipe, records)


def _recipe(study: Study, recipe: str, records: Sequence[Record]) -> Iterator[str]:
    """Yield the conclusions from a recipe's runs that could rank, and what was left out."""
    whole = [record for record in records if not deviations([record])]
    cells, left_out = outcomes(whole, recipe)
    if parts := list(hypothesis_tables(study.model_names, cells)):
        yield f"#### {say('Hypotheses, recipe `{recipe}`', recipe=recipe)}"
        yield from parts
        if len(parts) > 1:  # there is a table
            yield say(_DIFFERENCES)
    if parts := list(gains_table(cells)):
        yield f"#### {say('Pretrained against scratch, recipe `{recipe}`', recipe=recipe)}"
        yield from parts
    if left_out:
        noun = "run" if left_out == 1 else "runs"
        text = "Left out above: {count} {noun} on other images or under another budget."
        yield say(text, count=left_out, noun=say(noun))
    if len(whole) < len(records):
        yield _left_out(records, len(whole))
    if cells:
        heading = say("Best combination of each dataset, recipe `{recipe}`", recipe=recipe)
        yield f"#### {heading}"
        yield best_table(cells)


def _replications(by_recipe: dict[str, Outcomes], records: Sequence[Record]) -> Iterator[str]:
    """Yield our values next to the original's, for the datasets that were run here."""
    for dataset in _original_datasets(records):
        yield f"#### {say('{dataset}: against the original study', dataset=dataset)}"
        yield from replication_table(dataset, by_recipe)


def background(study: Study, records: Sequence[Record]) -> Iterator[str]:
    """Yield the original's own values for the datasets that were run here."""
    datasets = _original_datasets(records)
    for dataset in datasets:
        heading = say("{dataset}: the original's own table", dataset=dataset)
        yield f"#### {heading}"
        yield say(
            "One seed. Values are those of the epoch that is best on the test set, except where "
            "the column says otherwise. Its Top-1 Acc and Top-5 Acc are Top-1 and Top-5; its "
            "Recall, Precision and F1-score are means over classes."
        )
        yield from original_table(dataset)
    for name, last_epoch in (("best epoch (test-chosen)", False), ("last epoch", True)):
        chosen = original_outcomes(last_epoch=last_epoch)
        if datasets:
            heading = say("The hypotheses on the original's values: {name}", name=say(name))
            yield f"#### {heading}"
        yield from hypothesis_tables(
            study.model_names,
            {point: outcome for point, outcome in chosen.items() if point.dataset in datasets},
        )


def _original_datasets(records: Sequence[Record]) -> list[str]:
    own = {record.case.dataset for record in records}
    return [name for name in dict.fromkeys(p.dataset for p in experiments()) if name in own]


def _full_budget(record: Record) -> bool:
    """Return whether a run had the original's number of epochs."""
    epochs = {experiment.epochs for experiment in experiments().values()}
    own = record.protocol
    return own.get("images_seen") is None and own.get("recipe", {}).get("epochs") in epochs
