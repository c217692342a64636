"""Rows and tables: what is averaged over what.

Everything here is a function of the set of records; their order changes nothing.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

from bench.aggregate.conditions import Conditions, conditions_of
from bench.aggregate.frame import CONFIGURATION, MODE, tidy_frame
from bench.aggregate.language import say
from bench.aggregate.modes import by_category, mode_words
from bench.aggregate.reference import MEAN
from bench.aggregate.statistics import Estimate, estimate
from bench.case import Case
from bench.metrics.catalog import METRICS
from bench.record import Record
from bench.study import Study, has_randomness
from datasets_lib.catalog import DATASETS
from models.catalog import MODELS

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False)
class Row:
    """One configuration, averaged over its replicates, on one category or the mean of several.

    Attributes:
        label: Variant, with the augmentation where it is not the default.
        study: Study whose table it stands in.
        columns: Its part of `tidy_frame`, by column.
        categories: Categories that it is the mean over.
    """

    label: str
    study: Study
    columns: Mapping[str, Sequence[Any]]
    categories: tuple[str, ...]

    @property
    def records(self) -> Sequence[Record]:
        """Return the records of every category."""
        return self.columns["record"]

    @property
    def case(self) -> Case:
        """Return a case of the row; its category and replicate stand for all."""
        return self.records[0].case

    @property
    def name(self) -> str:
        """Return label and initialization."""
        return f"{self.label} {self.case.init}"

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """Heads that the study shows; the first ranks."""
        return self.study.heads_of(self.records[0])

    @cached_property
    def replicates(self) -> tuple[int, ...]:
        """Replicates that every category has."""
        counts = Counter(self.columns["replicate"])
        return tuple(sorted(r for r, n in counts.items() if n == len(self.categories)))

    @cached_property
    def has_randomness(self) -> bool:
        """Whether its replicates may differ."""
        return has_randomness(self.case)

    @property
    def needs_weights(self) -> bool:
        """Return whether its model has pretrained weights to start from."""
        entry = MODELS.get(self.case.model)
        return entry is None or entry.weights is not None

    @cached_property
    def conditions(self) -> Conditions:
        """What its runs were evaluated on."""
        return conditions_of(self.records)

    @property
    def budget_share(self) -> float | None:
        """Return the smallest share of the recipe's own budget among its runs; None if unknown."""
        shares = [None if share is None or share != share else share for share in self.shares]
        return None if None in shares else min(share for share in shares if share is not None)

    @property
    def shares(self) -> Sequence[float | None]:
        """Return each run's share of the recipe's own budget."""
        return self.columns["share"]

    @property
    def ranking(self) -> Estimate | None:
        """Return the mean of the metric that ranks."""
        return self.metric(self.heads[0], self.study.ranking_metric.name)

    def ranking_values(self) -> list[float]:
        """Return the metric that ranks, by replicate."""
        return self.values(f"{self.heads[0]}.{self.study.ranking_metric.name}")

    @cached_property
    def by_category(self) -> tuple[float, ...]:
        """The metric that ranks by category, each averaged over the replicates that all have."""
        column = self.columns[f"{self.heads[0]}.{self.study.ranking_metric.name}"]
        values: dict[str, list[float]] = {name: [] for name in self.categories}
        for category, replicate, value in zip(
            self.columns["category"], self.columns["replicate"], column, strict=True
        ):
            if replicate in self.replicates and value is not None and math.isfinite(value):
                values[category].append(value)
        return tuple(fmean(own) if own else math.nan for own in values.values())

    def metric(self, head: str, name: str) -> Estimate | None:
        """Return a metric's mean over replicates; None if no replicate has it in every category."""
        column = f"{head}.{name}"
        if column not in self._estimates:
            values = self.values(column)
            if values and not self.has_randomness:
                self._estimates[column] = Estimate(fmean(values), 0.0, 1)
            else:
                share = name in METRICS and METRICS[name].unit == "%"
                self._estimates[column] = estimate(values, share=share)
        return self._estimates[column]

    def measurement(self, name: str) -> Estimate | None:
        """Return a measurement's mean over replicates."""
        if name not in self._estimates:
            self._estimates[name] = estimate(self.values(name))
        return self._estimates[name]

    @cached_property
    def _estimates(self) -> dict[str, Estimate | None]:
        """Estimates by column; every format asks for the same ones."""
        return {}

    def values(self, column: str) -> list[float]:
        """Return a column's value for each replicate that has one in every category."""
        found = self.columns.get(column, ())
        present = [
            (replicate, value)
            for replicate, value in zip(self.columns["replicate"], found, strict=False)
            if value is not None and math.isfinite(value)
        ]
        whole = len(self.categories)
        if whole == 1:
            return [value for _, value in present]
        # Categories are averaged within a replicate first: what is left is the spread between
        # replicates, not the one between categories.
        by_replicate: dict[int, list[float]] = defaultdict(list)
        for replicate, value in present:
            by_replicate[replicate].append(value)
        return [fmean(v) for _, v in sorted(by_replicate.items()) if len(v) == whole]


@dataclass(frozen=True)
class Table:
    """The rows of one category, or of the mean over a dataset's categories.

    Attributes:
        category: Category id; empty for a dataset without categories, `MEAN` for their mean.
        records: The records behind the rows.
        rows: Rows over all of its categories.
        partial: Rows of a mean that lack categories; never ranked.
        shared: All categories of the dataset, over which a mean is.
        multi_class: Whether each row is one model for all categories.
        shots: Number of training images per category; 0 where all train.
    """

    study: Study
    dataset: str
    category: str
    records: Sequence[Record]
    rows: list[Row]
    partial: Sequence[Row] = ()
    shared: tuple[str, ...] = ()
    multi_class: bool = False
    shots: int = 0

    @property
    def mode(self) -> str:
        """Return the mode of its cases in words; empty for the usual one."""
        return mode_words(self.multi_class, self.shots)

    @property
    def place(self) -> str:
        """Return ``dataset.category``, with the mode of its cases."""
        place = ".".join(filter(None, (self.dataset, self.category)))
        return ", ".join(filter(None, (place, self.mode)))

    @property
    def title(self) -> str:
        """Return its place, or that it is a mean and over how many categories."""
        if self.category != MEAN:
            return self.place
        name = ", ".join(filter(None, (self.dataset, self.mode)))
        return say("{name}: mean over {count} categories", name=name, count=len(self.shared))


def tables(records: Iterable[Record], study: Study) -> Iterator[Table]:
    """Yield a study's tables by dataset: the mean over its categories, then each category.

    Few-shot cases and models for all categories follow, in tables of their own.
    """
    frame = tidy_frame(by_category(records))
    for (dataset, multi_class, shots), own in frame.groupby(["dataset", *MODE]):
        place = study, str(dataset)
        mode = bool(multi_class), int(shots)
        categories = own.groupby("category")
        if len(categories) > 1:
            rows, partial, shared = mean_rows(own, study)
            yield Table(*place, MEAN, _records(own), rows, partial, shared, *mode)
        for category, part in categories:
            rows = category_rows(part, study)
            yield Table(*place, str(category), _records(part), rows, (), (), *mode)


def category_rows(frame: "DataFrame", study: Study) -> list[Row]:
    """Return a row per configuration of one category's records, by name."""
    return [_row(own, study) for own in _groups(frame, CONFIGURATION)]


def mean_rows(frame: "DataFrame", study: Study) -> tuple[list[Row], list[Row], tuple[str, ...]]:
    """Return the rows of the mean over one dataset's categories.

    Args:
        frame: `tidy_frame` of one dataset's records.
        study: Study whose table the rows stand in.

    Returns:
        The rows over all categories; those that lack some of them; and all categories, which are
        the catalog's or, of a dataset without an entry, those of the records.
    """
    entry = DATASETS.get(str(frame["dataset"].iloc[0]))
    every = frozenset(entry.categories if entry else ()) | set(frame["category"])
    groups = _groups(frame, [*CONFIGURATION, "recipe_hash", "weights_hash"])
    counts = Counter(_configuration(own) for own in groups)
    complete: list[Row] = []
    partial: list[Row] = []
    for own in groups:
        suffix = ""
        if counts[_configuration(own)] > 1:
            # Tells rows apart whose categories ran under several recipes or weights.
            recipe, weights = own["recipe_hash"][0], own["weights_hash"][0]
            suffix = f"(recipe {recipe[:8]}, weights {weights[:8]})"
        rows = complete if every == set(own["category"]) else partial
        rows.append(_row(own, study, suffix))
    return complete, partial, tuple(sorted(every))


Columns = Mapping[str, Sequence[Any]]


def _groups(frame: "DataFrame", by: list[str]) -> list[Columns]:
    """Return the columns of each group as lists; slicing lists is ten times as fast as frames."""
    ordered = frame.sort_values([*by, "category", "replicate"])
    columns = {str(name): ordered[name].tolist() for name in ordered}
    return [_at(columns, rows) for _, rows in sorted(ordered.groupby(by).indices.items())]


def _at(columns: Mapping[Any, Sequence[Any]], rows: Iterable[int]) -> Columns:
    rows = list(rows)
    return {str(name): [values[row] for row in rows] for name, values in columns.items()}


def _configuration(own: Columns) -> tuple[str, ...]:
    return tuple(own[name][0] for name in CONFIGURATION)


def _row(own: Columns, study: Study, suffix: str = "") -> Row:
    case = own["record"][0].case
    augmentation = "" if case.augmentation == "default" else case.augmentation
    return Row(
        label=" ".join(filter(None, (case.variant, augmentation, suffix))),
        study=study,
        columns=own,
        categories=tuple(sorted(set(own["category"]))),
    )


def _records(own: "DataFrame") -> list[Record]:
    return list(own.record)
