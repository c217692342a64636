"""Published values of Reverse Distillation, from one model per category."""

from collections.abc import Iterable, Iterator, Mapping

from bench.aggregate.reference import Reference, read_rows
from bench.studies.anomaly_zoo import references

_AT_THRESHOLD = {
    "accuracy": "accuracy_best_f1",
    "precision": "precision_best_f1",
    "recall": "recall_best_f1",
    "f1": "f1_best",
}


def published(_variants: Iterable[str]) -> Iterator[Reference]:
    """Yield every published value: there are few, so all appear in each table of their data."""
    for row in read_rows("original_rd_bottle.csv"):
        yield Reference(
            row["model"],
            "the original study",
            row["dataset"],
            row["category"],
            row["protocol"],
            {"image_auroc": float(row["roc_auc"])},
            reasons=dict.fromkeys(_AT_THRESHOLD.values(), _other_threshold(row)),
        )
    yield from references.published(["rd_wide_resnet50_2"])


def _other_threshold(row: Mapping[str, str]) -> str:
    """Return the values at the original's threshold, which is not one of ours."""
    values = ", ".join(f"{name} {100 * float(row[name]):.1f}" for name in _AT_THRESHOLD)
    threshold = row["threshold_on_minmax_scores"]
    return f"its values are at {threshold} of test scores scaled to 0 to 1, not at F1-max: {values}"
