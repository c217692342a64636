"""How a task's records are ranked and shown: its scoring heads, its ranking metric, its columns.

Data alone, so that tables, terminal lines and pictures of every study are made by the same code.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from bench.metrics.catalog import METRICS
from bench.record import Record


@dataclass(frozen=True)
class Column:
    """A metric as a column of the quality table.

    Attributes:
        metric: Name in ``record.metrics[head]``.
        heading: Heading in Markdown.
        digits: Decimal places of a percentage.
        optional: Shown only where some record of the table has it.
    """

    metric: str
    heading: str
    digits: int = 1
    optional: bool = False

    @property
    def test_chosen(self) -> bool:
        """Whether test labels chose it; it is never bold and never ranks."""
        return METRICS[self.metric].sees_test_labels


@dataclass(frozen=True)
class TableSpec:
    """How the records of a task are ranked and shown.

    Attributes:
        name: By which a study asks for it.
        task: ``anomaly`` or ``classification``.
        heads: Scoring heads; the first ranks.
        ranking: Metric that ranks; higher is better.
        ranking_name: What people call it.
        ranking_short: The same in the narrow lines of a terminal.
        columns: Columns of the quality table, in order.
        csv_only: Metrics for machines alone, where some record has them.
        head_aliases: Arm to read of a record that lacks one, by the lacking one.
        groups: What the two sides of a comparison are called, by `ModelEntry.group`.
    """

    name: str
    task: str
    heads: tuple[str, ...]
    ranking: str
    ranking_name: str
    ranking_short: str
    columns: tuple[Column, ...]
    csv_only: tuple[str, ...] = ()
    head_aliases: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    def figures_of(self, record: Record, head: str) -> Mapping[str, float | None]:
        """A record's metrics of a head, or of what stands in for it."""
        found = record.metrics.get(head)
        return record.metrics.get(self.head_aliases.get(head, head), {}) if found is None else found

    def shown(self, records: Sequence[Record]) -> list[Column]:
        """The columns of a table of these records."""
        return [
            column for column in self.columns if not column.optional or _has(records, column.metric)
        ]

    def figures(self, records: Sequence[Record]) -> list[str]:
        """The metrics that a file for machines holds of these records."""
        extra = [name for name in self.csv_only if _has(records, name)]
        return [column.metric for column in self.shown(records)] + extra


def _has(records: Sequence[Record], metric: str) -> bool:
    values = (head.get(metric) for record in records for head in record.metrics.values())
    return any(value is not None and math.isfinite(value) for value in values)


ANOMALY = TableSpec(
    name="anomaly",
    task="anomaly",
    heads=("single_scale", "multi_scale"),
    ranking="image_auroc",
    ranking_name="image AUROC",
    ranking_short="AUROC",
    columns=(
        Column("accuracy", "Accuracy"),
        Column("precision", "Precision"),
        Column("recall", "Recall"),
        Column("f1", "F1-Score"),
        Column("image_auroc", "ROC-AUC", digits=2),
        Column("image_ap", "AP (image)", digits=2, optional=True),
        Column("pixel_auroc", "Pixel ROC-AUC", digits=2),
        Column("pixel_ap", "Pixel AP", digits=2, optional=True),
        Column("aupro_30", "AUPRO@0.3", digits=2, optional=True),
        Column("accuracy_best_f1", "Accuracy (test-chosen)"),
        Column("precision_best_f1", "Precision (test-chosen)"),
        Column("recall_best_f1", "Recall (test-chosen)"),
        Column("f1_best", "F1 (test-chosen)"),
    ),
    csv_only=("aupro_05", "aupro_01", "aupimo", "iou_calibrated", "pixel_f1_best"),
    groups=MappingProxyType({"resnet": "ResNet teacher", "convnext": "ConvNeXt teacher"}),
)

CLASSIFICATION = TableSpec(
    name="classification",
    task="classification",
    heads=("last_epoch",),
    ranking="top1",
    ranking_name="top-1 accuracy",
    ranking_short="top-1",
    columns=(
        Column("top1", "Top-1 Acc", digits=2),
        Column("top5", "Top-5 Acc", digits=2),
        Column("macro_recall", "Recall", digits=2),
        Column("macro_precision", "Precision", digits=2),
        Column("macro_f1", "F1-score", digits=2),
        Column("top1_best_epoch", "Top-1 best epoch (test-chosen)", digits=2),
    ),
    csv_only=("ece",),
    groups=MappingProxyType({"resnet": "ResNet", "vit": "ViT"}),
)

# Reverse Distillation stands in it with its paper's protocol, the sum of all scales.
ZOO = TableSpec(
    name="zoo",
    task="anomaly",
    heads=("score",),
    head_aliases=MappingProxyType({"score": "multi_scale"}),
    ranking="image_auroc",
    ranking_name="image AUROC",
    ranking_short="AUROC",
    columns=(
        Column("image_auroc", "Image AUROC", digits=2),
        Column("image_ap", "Image AP", digits=2),
        Column("pixel_auroc", "Pixel AUROC", digits=2),
        Column("pixel_ap", "Pixel AP", digits=2),
        Column("aupro_30", "AUPRO@0.3", digits=2),
        Column("accuracy", "Accuracy"),
        Column("f1", "F1"),
        Column("f1_best", "F1-max (test-chosen)"),
    ),
    csv_only=ANOMALY.csv_only,
)

TABLE_SPECS = {shown.name: shown for shown in (ANOMALY, ZOO, CLASSIFICATION)}
