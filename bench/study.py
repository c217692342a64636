"""A study: a question over cases. Its grid is data; expanding one imports no torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pkgutil import resolve_name
from typing import Any, Literal

from bench.case import Case
from bench.metrics.catalog import METRICS, Metric, metric_named
from bench.record import CROP_SUFFIX, Record
from models.catalog import MODELS, ModelEntry

RANKING = {"anomaly": "image_auroc", "classification": "top1"}
"""Metric that ranks, by task, where a study names none."""

Part = str | Callable[..., Any]
"""A function, or its import path ``module:function``."""


@dataclass(frozen=True)
class Study:
    """A question, asked of every combination below.

    A case may belong to several studies: it runs once and appears in each.

    Attributes:
        name: Keyword and marker of the study's cases.
        task: ``anomaly`` or ``classification``.
        about: The question.
        models: Catalog names; None for every registered model of the task.
        datasets: Catalog datasets whose cases are always offered, and skipped with a remedy where
            the data are missing; every other dataset of the task joins when it is on disk.
        augmentations: Augmentation ids.
        heads: Scoring heads with a table each; the first ranks. Empty: each model's first head, in
            one table, and the crop's head for models that crop.
        columns: Metrics of the tables. Empty: every metric of the task.
        layout: Columns of the study's own table, metrics and measurements, in the order in which
            its readers know them; ``columns`` where empty.
        layout_note: What the readers of the original table call these columns.
        ranking: Metric that ranks; the task's where empty.
        answer: Answers the question in a sentence: called like ``report``, yields sentences.
        report: Writes what the study concludes above its tables: called with the study and its
            `ComparableRuns`, yields blocks of Markdown.
        background: Yields blocks of Markdown that appear once below the study's tables, whatever
            the profile: called with the study and the finished records of all of them.
        references: Returns published `Reference` rows; called with the variants in a table.
    """

    name: str
    task: Literal["anomaly", "classification"]
    about: str
    models: tuple[str, ...] | None
    datasets: tuple[str, ...]
    augmentations: tuple[str, ...] = ("default",)
    heads: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    layout: tuple[str, ...] = ()
    layout_note: str = ""
    ranking: str = ""
    answer: Part | None = None
    report: Part | None = None
    background: Part | None = None
    references: Part | None = None

    @property
    def model_names(self) -> tuple[str, ...]:
        """Return the names of its models, with those registered since the study was."""
        if self.models is not None:
            return self.models
        return tuple(name for name, entry in MODELS.items() if entry.task == self.task)

    @property
    def ranking_metric(self) -> Metric:
        """Return the metric that ranks."""
        return metric_named(self.ranking or RANKING[self.task])

    def selects(self, case: Case) -> bool:
        """Return whether a case answers the question, whatever its data and augmentation."""
        if self.models is not None:
            return case.model in self.models
        entry = MODELS.get(case.model)
        return entry is not None and entry.task == self.task

    def shows(self, record: Record) -> bool:
        """Return whether a record belongs in the study's tables.

        A model that is not registered now, such as that of a plugin that this session lacks, stays
        in the studies of every model of its task.
        """
        if self.models is None and record.case.model not in MODELS:
            return task_of(record) == self.task
        return self.selects(record.case)

    def heads_of(self, record: Record) -> tuple[str, ...]:
        """Return the heads of a record that the study shows; the first ranks."""
        if self.heads:
            return self.heads
        first = first_head(record)
        crop = first + CROP_SUFFIX
        return (first, crop) if crop in record.metrics else (first,)

    def metrics(self, records: Sequence[Record]) -> list[Metric]:
        """Return the columns of a table of these records.

        A metric that is registered as optional, such as a plugin's, has a column where some record
        has a value, whether the study names it or not. A metric that the study names keeps its
        column where records only say why they have no value.
        """
        recorded = {name for r in records for values in r.metrics.values() for name in values}
        names = self.columns or [m.name for m in METRICS.values() if m.column == "always"]
        named = [metric_named(name) for name in names]
        rest = [m for m in METRICS.values() if m.column == "optional" and m not in named]
        return [
            metric
            for metric in [*named, *(m for m in rest if has_value(records, m.name))]
            if metric.task == self.task and (metric.column == "always" or metric.name in recorded)
        ]

    def call(self, part: Part | None, *arguments: Any) -> list[Any]:
        """Return what the study's ``report`` or ``references`` yields; nothing without one."""
        if part is None:
            return []
        return list((resolve_name(part) if isinstance(part, str) else part)(*arguments))

    def cases(
        self,
        categories: Mapping[str, Sequence[str]],
        *,
        seeds: int = 1,
        recipes: Sequence[str] | None = None,
        augmentations: Sequence[str] | None = None,
        shots: Sequence[int] = (),
    ) -> Iterator[Case]:
        """Yield every case of the grid.

        Args:
            categories: Category ids by dataset id.
            seeds: Number of replicates per configuration.
            recipes: Recipe names; None means every recipe of each model.
            augmentations: Augmentation ids; None means the study's own.
            shots: Numbers of training images of few-shot cases, which join those of all images.

        Raises:
            ValueError: A model of the study is not registered.
        """
        if unknown := [name for name in self.model_names if name not in MODELS]:
            raise ValueError(
                f"study '{self.name}' names models that are not registered: {', '.join(unknown)}; "
                "correct the names, or load the plugin that registers them"
            )
        entries = [MODELS[name] for name in self.model_names]
        variants = [(entry, recipe) for entry in entries for recipe in _recipes(entry, recipes)]
        data = [(name, category) for name, ids in categories.items() for category in ids or (None,)]
        augmented = product(data, variants, augmentations or self.augmentations)
        for (dataset, category), (entry, recipe), augmentation in augmented:
            inits = (True, False) if entry.weights else (False,)
            for pretrained, count, replicate in product(inits, (None, *shots), range(seeds)):
                yield Case(
                    *(entry.name, recipe, dataset, category),
                    *(augmentation, pretrained, replicate, count),
                )


def first_head(record: Record) -> str:
    """Return the first head of a record's model, or of the record if the model has no entry."""
    entry = MODELS.get(record.case.model)
    return entry.heads[0] if entry else next(iter(record.metrics), "score")


def has_randomness(case: Case) -> bool:
    """Return whether replicates of a case may differ; equal ones need no second run to rank."""
    entry = MODELS.get(case.model)
    # Random weights, changes or choices of the training images make any model random.
    fixed = case.augmentation == "default" and (case.pretrained or not (entry and entry.weights))
    fixed = fixed and not case.shots
    return entry is None or entry.randomness != "none" or not fixed


def task_of(record: Record) -> str:
    """Return a record's task, from its model's entry or, without one, from its metrics."""
    if entry := MODELS.get(record.case.model):
        return entry.task
    names = {name for values in record.metrics.values() for name in values}
    return "classification" if "top1" in names else "anomaly"


def has_value(records: Sequence[Record], metric: str) -> bool:
    """Return whether some head of some record has a finite value of a metric."""
    values = (head.get(metric) for record in records for head in record.metrics.values())
    return any(value is not None and abs(value) < float("inf") for value in values)


def _recipes(entry: ModelEntry, wanted: Sequence[str] | None) -> list[str]:
    return [name for name in entry.recipes if wanted is None or name in wanted]
