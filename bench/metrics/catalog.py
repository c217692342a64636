"""The registered metrics: what each is called, how it is computed, shown and compared.

A metric is one `register_metric` call. Everything else reads this catalog: the evaluation loops
over it, tables take their headings and directions from it. To keep listing and reporting fast, it
imports neither torch nor SciPy; a metric's function is imported when it is first computed.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from datasets_lib.resolve import resolve_callable

Level = Literal["image", "pixel", "class"]
Column = Literal["always", "optional", "csv"]


class UndefinedMetricError(Exception):
    """Raised by a metric's function where the metric has no value; the message is the reason."""


@dataclass(frozen=True)
class Value:
    """A metric's value with a note on how it was computed or how it differs from the usual."""

    value: float
    note: str = ""


MetricFunction = Callable[[Any], Value | float]
"""Takes the inputs of the metric's level."""


@dataclass(frozen=True)
class Metric:
    """A metric: how it is computed, shown and compared.

    Attributes:
        name: Key in ``Record.metrics[head]``.
        heading: Heading in every table.
        level: ``image`` and ``pixel`` metrics apply to anomaly detectors, ``class`` metrics to
            classifiers.
        function: Import path ``module:function``, or the function itself. It takes
            `bench.metrics.image.ImageInputs`, `bench.metrics.pixels.PixelInputs` or
            `bench.metrics.classes.ClassInputs`, as the level says, and returns a number or a
            `Value`; without a number it raises `UndefinedMetricError`.
        higher_is_better: Whether a higher value is a better one.
        unit: ``%`` for a share that is shown as a percentage; anything else is shown as it is.
        digits: Decimal places shown.
        sees_test_labels: Whether the labels that the metric is computed on also chose something,
            such as a threshold. Such a column is never bold and never ranks.
        short: Heading in narrow terminal lines; the heading where empty.
        column: ``always`` in the tables of its task, ``optional`` (only where a record has a
            value), or ``csv`` (only in files for machines).
        requires: Attribute of the inputs without which (None) the metric does not apply and is
            left out of the record; empty if it always applies.

    Example:
        >>> metric = Metric("ece", "ECE", "class", lambda inputs: 0.1, higher_is_better=False)
        >>> metric.better(0.1, 0.2), metric.best([0.3, 0.1, float("nan")]), metric.text(0.125)
        (True, 0.1, '12.50')
    """

    name: str
    heading: str
    level: Level
    function: str | MetricFunction
    higher_is_better: bool = True
    unit: str = "%"
    digits: int = 2
    sees_test_labels: bool = False
    short: str = ""
    column: Column = "optional"
    requires: str = ""

    @property
    def task(self) -> Literal["anomaly", "classification"]:
        """Task whose records hold the metric."""
        return "classification" if self.level == "class" else "anomaly"

    @property
    def scale(self) -> float:
        """Factor from the stored value to the shown one."""
        return 100.0 if self.unit == "%" else 1.0

    @cached_property
    def compute(self) -> MetricFunction:
        """The function itself, imported on first use."""
        return resolve_callable(self.function)

    def text(self, value: float) -> str:
        """Return the value as shown in a table, without its unit."""
        return f"{self.scale * value:.{self.digits}f}"

    def sort_key(self, value: float | None) -> float:
        """Return a number that is higher for a better value; minus infinity for none at all."""
        if value is None or math.isnan(value):
            return -math.inf
        return value if self.higher_is_better else -value

    def better(self, first: float | None, second: float | None) -> bool:
        """Return whether the first value is strictly better than the second."""
        return self.sort_key(first) > self.sort_key(second)

    def best(self, values: Iterable[float | None]) -> float | None:
        """Return the best value; None where there is none."""
        return max(
            (value for value in values if self.sort_key(value) > -math.inf),
            key=self.sort_key,
            default=None,
        )


METRICS: dict[str, Metric] = {}
"""Registered metrics by name, in the order of their columns in a record."""


def register_metric(metric: Metric) -> Metric:
    """Add a metric to `METRICS` and return it.

    Raises:
        ValueError: The name is taken or has characters outside ``[a-z0-9_]``, or the level is
            unknown.
    """
    if metric.level not in (levels := get_args(Level)):
        raise ValueError(
            f"metric {metric.name!r}: wanted a level of {', '.join(levels)}, found {metric.level!r}"
        )
    if not re.fullmatch("[a-z0-9_]+", metric.name):
        raise ValueError(
            f"metric {metric.name!r}: wanted a name of lower-case letters, digits and underscores, "
            "as a key of records and a column of tables; people read its heading"
        )
    if metric.name in METRICS:
        raise ValueError(
            f"wanted a metric with a unique name, found a second {metric.name!r}: rename it"
        )
    METRICS[metric.name] = metric
    return metric


def metric_named(name: str) -> Metric:
    """Return a registered metric.

    Raises:
        KeyError: There is none; the message suggests names that are close.
    """
    if name not in METRICS:
        close = difflib.get_close_matches(name, METRICS) or METRICS
        raise KeyError(f"there is no metric {name!r}; did you mean {', '.join(close)}?")
    return METRICS[name]


def metrics_of(*levels: Level) -> list[Metric]:
    """Return the metrics of some levels, in the order of registration."""
    return [metric for metric in METRICS.values() if metric.level in levels]


for _metric in (
    Metric("pixel_auroc", "Pixel AUROC", "pixel", "bench.metrics.pixels:pixel_auroc"),
    Metric("pixel_ap", "Pixel AP", "pixel", "bench.metrics.pixels:pixel_ap"),
    Metric(
        "pixel_f1_best",
        "Pixel F1-max (test-chosen)",
        "pixel",
        "bench.metrics.pixels:pixel_f1_best",
        sees_test_labels=True,
        column="csv",
    ),
    Metric("aupro_30", "AUPRO@30 %", "pixel", "bench.metrics.pixels:aupro_30"),
    Metric("aupro_05", "AUPRO@5 %", "pixel", "bench.metrics.pixels:aupro_05", column="csv"),
    Metric("aupro_01", "AUPRO@1 %", "pixel", "bench.metrics.pixels:aupro_01", column="csv"),
    Metric("aupimo", "AUPIMO", "pixel", "bench.metrics.pixels:mean_aupimo", column="csv"),
    Metric("iou_calibrated", "IoU", "pixel", "bench.metrics.pixels:iou_calibrated", column="csv"),
    Metric(
        "image_auroc",
        "Image AUROC",
        "image",
        "bench.metrics.image:image_auroc",
        short="AUROC",
        column="always",
    ),
    Metric("image_ap", "Image AP", "image", "bench.metrics.image:image_ap"),
    *(
        Metric(name, heading, "image", f"bench.metrics.image:{name}", digits=1, column="always")
        for name, heading in (
            ("accuracy", "Accuracy"),
            ("precision", "Precision"),
            ("recall", "Recall"),
            ("f1", "F1"),
        )
    ),
    Metric(
        "false_alarms",
        "False alarms",
        "image",
        "bench.metrics.image:false_alarms",
        higher_is_better=False,
        digits=1,
        column="always",
    ),
    *(
        Metric(
            name,
            f"{heading} (test-chosen)",
            "image",
            f"bench.metrics.image:{name}",
            digits=1,
            sees_test_labels=True,
            column="always",
        )
        for name, heading in (
            ("accuracy_best_f1", "Accuracy"),
            ("precision_best_f1", "Precision"),
            ("recall_best_f1", "Recall"),
            ("f1_best", "F1-max"),
        )
    ),
    *(
        Metric(
            f"auspro_{limit:02}",
            f"AU-sPRO@{limit} %",
            "pixel",
            f"bench.metrics.pixels:auspro_{limit:02}",
            column="csv",
            requires="saturated",
        )
        for limit in (30, 5)
    ),
    *(
        Metric(
            name, heading, "class", f"bench.metrics.classes:{name}", short=short, column="always"
        )
        for name, heading, short in (
            ("top1", "Top-1", "top-1"),
            ("top5", "Top-5", "top-5"),
            ("macro_precision", "Macro precision", ""),
            ("macro_recall", "Macro recall", ""),
            ("macro_f1", "Macro F1", ""),
        )
    ),
    Metric(
        "ece",
        "ECE",
        "class",
        "bench.metrics.classes:ece",
        higher_is_better=False,
        column="csv",
    ),
    Metric(
        "top1_best_epoch",
        "Top-1 best epoch (test-chosen)",
        "class",
        "bench.metrics.classes:top1_best_epoch",
        sees_test_labels=True,
        column="always",
        requires="epochs",
    ),
):
    register_metric(_metric)
