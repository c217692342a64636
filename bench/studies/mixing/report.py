"""Study 2's part of the leaderboard: its hypotheses, its experiments, the original beside them."""

from collections.abc import Iterator, Sequence

from bench.record import Record
from bench.aggregate.rows import by_data, category_rows
from bench.studies import STUDIES
from bench.studies.mixing.original import experiments, original_outcomes
from bench.studies.mixing.points import Outcomes, outcomes, recipe_of
from bench.studies.mixing.replication import replications
from bench.studies.mixing.tables import (
    best_table,
    experiments_table,
    gains_table,
    hypothesis_tables,
    original_table,
    replication_table,
)

_DIFFERENCES = (
    "Differences are of top-1 after the last epoch, in percentage points. With several seeds: mean "
    "[95 % CI over seeds], and a verdict needs an interval on one side of zero. With one seed: "
    "[95 % binomial interval], the sampling of test images alone. Not corrected for the number of "
    "rows."
)


def mixing_report(study: str, records: Sequence[Record]) -> Iterator[str]:
    """Every part of a classification study but its tables by dataset.

    Args:
        study: Its name.
        records: Finished records of one section and study.
    """
    by_recipe = {
        recipe: outcomes(records, recipe) for recipe in sorted({recipe_of(r) for r in records})
    }
    for recipe, (found, left_out) in by_recipe.items():
        yield from _recipe(study, recipe, found, left_out)
    yield "#### All experiments"
    rows = [row for cell in by_data(records).values() for row in category_rows(cell)]
    yield experiments_table(rows)
    if study == "mixing":
        full = [record for record in records if _full_budget(record)]
        yield from _original({recipe: outcomes(full, recipe)[0] for recipe in by_recipe}, records)


def _recipe(study: str, recipe: str, found: Outcomes, left_out: int) -> Iterator[str]:
    if not found:
        return
    pair = STUDIES[study].pair
    if pair and (parts := list(hypothesis_tables(pair, found))):
        yield f"#### Hypotheses, recipe `{recipe}`"
        yield from parts
        yield _DIFFERENCES
    if parts := list(gains_table(found)):
        yield f"#### Pretrained against scratch, recipe `{recipe}`"
        yield from parts
    yield f"#### Best combination of each dataset, recipe `{recipe}`"
    yield best_table(found)
    if left_out:
        noun = "run" if left_out == 1 else "runs"
        yield f"Left out above: {left_out} {noun} on other images or under another budget."


def _original(by_recipe: dict[str, Outcomes], records: Sequence[Record]) -> Iterator[str]:
    """The original's figures of the datasets that we have runs of."""
    have = {record.case.dataset for record in records}
    datasets = [name for name in dict.fromkeys(p.dataset for p in experiments()) if name in have]
    if not datasets:
        return
    judged = {one.dataset: one for one in replications(by_recipe)}
    for dataset in datasets:
        yield f"#### {dataset}: against the original study"
        if dataset in judged:
            yield from replication_table(judged[dataset])
        else:
            yield "No run here has the original's number of epochs, so none is compared with it."
        yield (
            "The original's own table, one seed; figures are of the epoch that is best on the test "
            "set, but for the column that says otherwise."
        )
        yield from original_table(dataset)
    pair = STUDIES["mixing"].pair
    assert pair is not None
    for name, last_epoch in (("best epoch (test-chosen)", False), ("last epoch", True)):
        yield f"#### The original's figures and the hypotheses: {name}"
        chosen = original_outcomes(last_epoch=last_epoch)
        yield from hypothesis_tables(
            pair, {point: one for point, one in chosen.items() if point.dataset in datasets}
        )


def _full_budget(record: Record) -> bool:
    """Whether a run had the original's number of epochs."""
    epochs = {one.epochs for one in experiments().values()}
    own = record.protocol
    return own.get("images_seen") is None and own.get("recipe", {}).get("epochs") in epochs
