"""The code that decides a case's numbers: its model, data, augmentation, metrics and the harness.

Catalogs are data: adding a model to one changes no other model's case. Of their entries, only the
values that affect the case count.
"""

from dataclasses import fields
from functools import cache
from typing import Any

from bench.case import Case
from bench.metrics.catalog import METRICS
from bench.provenance.fingerprint import Fingerprint, fingerprint, module_of
from datasets_lib.augment.catalog import AUGMENTATIONS
from datasets_lib.catalog import DATASETS
from datasets_lib.entry import Reader
from models.catalog import MODELS, WEIGHTS

_HARNESS = ("bench.run.case", "bench.run.samples")
"""Modules that make a case's numbers: what runs it, and what chooses its images.

The rest of what finds a case's inputs, `bench.run.inputs`, is left out: the data, weights and
protocol that it finds are in the key of the record.
"""

_WITHOUT = (
    *("models.catalog", "datasets_lib.catalog", "datasets_lib.augment.catalog"),
    *("bench.metrics.catalog", "bench.studies"),
    # They carry, plot or report numbers, and change none.
    *("bench.plots", "bench.run.classification_plots", "bench.settings", "bench.record"),
    *("bench.checkpoint", "bench.run.saved_model", "bench.aggregate", "bench.near_names"),
    "bench.provenance",
)

_OTHER_TASK = {
    "anomaly": ("bench.run.classification",),
    "classification": ("bench.run.anomaly", "bench.run.samples"),
}

_ELSEWHERE = {
    *("recipes", "paper_recipe", "paper_input"),
    *("standard_epochs", "smoke_images"),
}
"""Fields of a model's entry that the hash of the resolved protocol covers."""

_WORDS = {"build", "family", "aliases", "group"}


@cache
def case_code(case: Case, reader: Reader) -> Fingerprint:
    """Return the fingerprint of a case's code.

    Args:
        case: The case.
        reader: Reader of its dataset.
    """
    entry, dataset = MODELS[case.model], DATASETS.get(case.dataset)
    augmentation = AUGMENTATIONS[case.augmentation]
    metrics = [metric for metric in METRICS.values() if metric.task == entry.task]
    targets: list[Any] = [entry.build, reader, augmentation.builder]
    targets += [metric.function for metric in metrics]
    if dataset is not None:
        targets += filter(None, [dataset.generator, dataset.spro_regions])
    modules = {*_HARNESS, *map(module_of, targets)}
    return fingerprint(modules, _values(case, metrics), (*_WITHOUT, *_OTHER_TASK[entry.task]))


def _values(case: Case, metrics: list[Any]) -> object:
    """Return what the catalogs say about a case, apart from its recipe."""
    entry, dataset = MODELS[case.model], DATASETS.get(case.dataset)
    skipped = _ELSEWHERE | _WORDS
    model = {f.name: getattr(entry, f.name) for f in fields(entry) if f.name not in skipped}
    weights = WEIGHTS.get(entry.weights or "")
    return (
        sorted((name, repr(value)) for name, value in model.items()),
        _name(entry.build),
        # Without its weights, a backbone is still of their architecture, and normalizes as they do.
        (weights.architecture, weights.mean, weights.std) if weights else None,
        dataset.version if dataset is not None else None,
        _name(AUGMENTATIONS[case.augmentation].builder),
        [(metric.name, _name(metric.function), metric.requires) for metric in metrics],
    )


def _name(target: Any) -> str:
    return target if isinstance(target, str) else getattr(target, "__qualname__", "")
