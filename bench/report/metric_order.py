"""The order in which a run's metrics are shown: what ranks comes first."""

from collections.abc import Mapping

from bench.metrics.catalog import METRICS
from bench.record import Record
from bench.studies import ranking_of


def metrics_in_order(record: Record) -> dict[str, Mapping[str, float | None]]:
    """Return a record's metrics by head: the head and the metric that rank first, pixels last.

    >>> from bench.case import Case
    >>> from bench.record import Key
    >>> case = Case("rd_resnet18", "baseline", "surface", "woven", "default", True, 0)
    >>> own = {"pixel_auroc": 0.9, "f1": 0.8, "image_auroc": 0.7}
    >>> record = Record(Key(case.id, "smoke", "", "", ""), case, "ok", "ok")
    >>> record.metrics = {"multi_scale": own, "single_scale": own}
    >>> {head: list(values) for head, values in metrics_in_order(record).items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'single_scale': ['image_auroc', 'f1', 'pixel_auroc'],
     'multi_scale': ['image_auroc', 'f1', 'pixel_auroc']}
    """
    first, metric = ranking_of(record)

    def place(name: str) -> tuple[bool, bool]:
        return name != metric.name, name in METRICS and METRICS[name].level == "pixel"

    heads = sorted(record.metrics, key=lambda head: head != first)
    return {
        head: {name: record.metrics[head][name] for name in sorted(record.metrics[head], key=place)}
        for head in heads
    }
