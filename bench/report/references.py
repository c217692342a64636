"""Published figures of the same models, shown beside ours and never mixed with them."""

import csv
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.studies.anomaly_zoo.references import zoo_references
from bench.table_spec import ANOMALY, ZOO

FOLDER = Path(__file__).resolve().parents[2] / "results" / "reference"

MEAN = "mean"
"""Category of a figure published as the mean over all of a dataset's categories."""

_ZOO = "anomaly_zoo"

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


@dataclass(frozen=True)
class Reference:
    """What one source published of one model on one category, in one scoring head.

    Attributes:
        model: Our name of the model.
        source: Who published it and how it came to be.
        metrics: Values as published, fractions of 1, by our metric's name.
        start: ``pretrained`` or ``scratch``.
        study: In whose tables it stands.
    """

    model: str
    source: str
    dataset: str
    category: str
    head: str
    metrics: dict[str, float]
    start: str = "pretrained"
    study: str = "rd_backbone"


@cache
def references(folder: Path = FOLDER) -> tuple[Reference, ...]:
    """Every published figure of the anomaly studies' models under one model a category."""
    return (*_original_study(folder), *_papers(folder), *_zoo(folder))


def beside(study: str, dataset: str, category: str | None, models: set[str]) -> list[Reference]:
    """The published figures that stand in a table.

    Args:
        study: Whose table.
        dataset: Id.
        category: Id, or `MEAN`; None for a mean over other categories than the published.
        models: Models in the table, with their head. The zoo's tables show what was published of
            these; study 1's, whose figures are few, show all.
    """
    return [
        found
        for found in references()
        if (found.study, found.dataset, found.category) == (study, dataset, category)
        and (study != _ZOO or found.model in models)
    ]


def published_categories(dataset: str) -> set[str]:
    """The categories a published mean is over; it stands only beside means over the same."""
    return {
        found.category
        for found in references()
        if found.dataset == dataset and found.category != MEAN
    }


def _original_study(folder: Path) -> list[Reference]:
    found = []
    for row in _read(folder / "original_rd_bottle.csv"):
        threshold = row["threshold_on_minmax_scores"]
        found.append(
            Reference(
                row["model"],
                f"the original study (threshold {threshold} on min-max scaled test scores)",
                row["dataset"],
                row["category"],
                row["protocol"],
                {ours: float(row[theirs]) for theirs, ours in _ORIGINAL_METRICS.items()},
            )
        )
    return found


def _papers(folder: Path) -> list[Reference]:
    """Rows of wide_resnet50_2 trained one model a category; the paper's protocol sums all scales.

    Figures of one model for all categories ("multi-class"), or of an unstated backbone, answer
    another question and are left out.
    """
    grouped: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for row in _read(folder / "reverse_distillation.csv"):
        if (
            row["source_kind"] in {"paper", "anomalib"}
            and row["backbone"] == "wide_resnet50_2"
            and row["dataset"] in _DATASETS
            and row["metric"] in _METRICS
            and not row["config"].startswith("multi-class")
        ):
            source = f"{row['source']} ({row['config']}; {row['url_or_id']})"
            key = source, _DATASETS[row["dataset"]], row["category"]
            grouped[key][_METRICS[row["metric"]]] = float(row["value"])
    return [
        Reference("rd_wide_resnet50_2", source, dataset, category, ANOMALY.heads[1], metrics)
        for (source, dataset, category), metrics in grouped.items()
    ]


def _zoo(folder: Path) -> list[Reference]:
    rows = [*_read(folder / "anomaly_zoo.csv"), *_read(folder / "reverse_distillation.csv")]
    return [
        Reference(model, source, dataset, category, ZOO.heads[0], metrics, study=_ZOO)
        for model, source, dataset, category, metrics in zoo_references(rows)
    ]


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
