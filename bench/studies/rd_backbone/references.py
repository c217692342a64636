"""Published values of Reverse Distillation, from one model per category."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from bench.aggregate.reference import Reference, read_rows

_DATASETS = {"mvtec_ad": "mvtec"}

# F1-max chooses its threshold on test labels, so it goes where ours of that kind stand.
_METRICS = {"image_auroc": "image_auroc", "pixel_auroc": "pixel_auroc", "image_f1max": "f1_best"}

# The original study states its thresholds on scores min-max scaled over the test set: they too
# have seen it.
_ORIGINAL_METRICS = {
    "roc_auc": "image_auroc",
    "accuracy": "accuracy_best_f1",
    "precision": "precision_best_f1",
    "recall": "recall_best_f1",
    "f1": "f1_best",
}


def published(_variants: Iterable[str]) -> Iterator[Reference]:
    """Yield every published value: there are few, so all stand in each table of their data."""
    yield from _original_study()
    yield from _papers()


def _original_study() -> Iterator[Reference]:
    for row in read_rows("original_rd_bottle.csv"):
        threshold = row["threshold_on_minmax_scores"]
        yield Reference(
            row["model"],
            f"the original study (threshold {threshold} on min-max scaled test scores)",
            row["dataset"],
            row["category"],
            row["protocol"],
            {ours: float(row[theirs]) for theirs, ours in _ORIGINAL_METRICS.items()},
        )


def _papers() -> Iterator[Reference]:
    """Yield the values of wide_resnet50_2, whose protocol sums all scales.

    Values of one model for all categories ("multi-class"), or of an unstated backbone, answer
    another question and are left out.
    """
    grouped: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for row in read_rows("reverse_distillation.csv"):
        if (
            row["source_kind"] in {"paper", "anomalib"}
            and row["backbone"] == "wide_resnet50_2"
            and row["dataset"] in _DATASETS
            and row["metric"] in _METRICS
            and not row["config"].startswith("multi-class")
        ):
            source = f"{row['source']} ({row['config']}; {row['url_or_id']})"
            place = source, _DATASETS[row["dataset"]], row["category"]
            grouped[place][_METRICS[row["metric"]]] = float(row["value"])
    for (source, dataset, category), metrics in grouped.items():
        yield Reference("rd_wide_resnet50_2", source, dataset, category, "multi_scale", metrics)
