"""Rows and tables: what is averaged over what.

Everything here is a function of the set of records; their order changes nothing.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from statistics import fmean
from typing import Any

from bench.aggregate.conditions import Conditions, conditions_of
from bench.aggregate.frame import CONFIGURATION, MODE, Line, lines_of
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


@dataclass(frozen=True, eq=False)
class Row:
    """One configuration, averaged over its replicates, on one category or the mean of several.

    Attributes:
        label: Variant, with the augmentation where it is not the default.
        study: Study whose table it appears in.
        lines: Its part of `lines_of` the records, by category and replicate.
        categories: Categories that it is the mean over.
    """

    label: str
    study: Study
    lines: Sequence[Line]
    categories: tuple[str, ...]

    @cached_property
    def records(self) -> Sequence[Record]:
        """The records of every category."""
        return [line["record"] for line in self.lines]

    @property
    def case(self) -> Case:
        """Return a case of the row, whose category and replicate represent all."""
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
        counts = Counter(line["replicate"] for line in self.lines)
        return tuple(sorted(r for r, n in counts.items() if n == len(self.categories)))

    @cached_property
    def has_randomness(self) -> bool:
        """Whether its replicates may differ."""
        return has_randomness(self.case)

    @property
    def seeds(self) -> int | None:
        """Return the number of seeds that a whole value has; None if it has no randomness."""
        return len(self.replicates) if self.has_randomness else None

    @property
    def needs_weights(self) -> bool:
        """Return whether its model has pretrained weights to start from."""
        entry = MODELS.get(self.case.model)
        return entry is None or entry.weights is not None

    @cached_property
    def has_notes(self) -> bool:
        """Whether something is unusual about a value of its records."""
        return any(record.notes for record in self.records)

    @cached_property
    def conditions(self) -> Conditions:
        """What its runs were evaluated on."""
        return conditions_of(self.records)

    @property
    def budget_share(self) -> float | None:
        """Return the smallest share of the recipe's own budget among its runs; None if unknown."""
        shares = [line["share"] for line in self.lines]
        return None if None in shares else min(shares)

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
        column = f"{self.heads[0]}.{self.study.ranking_metric.name}"
        values: dict[str, list[float]] = {name: [] for name in self.categories}
        for line in self.lines:
            value = line.get(column)
            if line["replicate"] in self.replicates and value is not None and math.isfinite(value):
                values[line["category"]].append(value)
        return tuple(fmean(own) if own else math.nan for own in values.values())

    def metric(self, head: str, name: str) -> Estimate | None:
        """Return a metric's mean over replicates; None if no replicate has it in every category."""
        column = f"{head}.{name}"
        known = self._estimates
        if column not in known:
            values = self.values(column)
            if values and not self.has_randomness:
                known[column] = Estimate(fmean(values), 0.0, 1)
            else:
                share = name in METRICS and METRICS[name].unit == "%"
                known[column] = estimate(values, share=share)
        return known[column]

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
        present = [
            (line, value)
            for line in self.lines
            if (value := line.get(column)) is not None and math.isfinite(value)
        ]
        whole = len(self.categories)
        if whole == 1:
            return [value for _, value in present]
        # Categories are averaged within a replicate first: what is left is the spread between
        # replicates, not the one between categories.
        by_replicate: dict[int, list[float]] = defaultdict(list)
        for line, value in present:
            by_replicate[line["replicate"]].append(value)
        return [fmean(v) for _, v in sorted(by_replicate.items()) if len(v) == whole]


@dataclass(frozen=True)
class Table:
    """The rows of one category, or of the mean over a dataset's categories.

    Attributes:
        category: Category id; empty for a dataset without categories, `MEAN` for their mean.
        records: The records behind the rows.
        rows: Rows over all of its categories.
        partial: Rows of a mean that lack categories; never ranked.
        shared: All categories of the dataset, over which a mean is taken.
        multi_class: Whether each row is one model for all categories.
        shots: Number of training images per category; 0 where all are used.
        supervised: Whether models trained on labeled defects, which their test then lacks.
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
    supervised: bool = False

    @property
    def mode(self) -> str:
        """Return the mode of its cases in words; empty for the usual one."""
        return mode_words(self.multi_class, self.shots, self.supervised)

    @property
    def data_title(self) -> str:
        """Return ``dataset.category``, with the mode of its cases."""
        data = ".".join(filter(None, (self.dataset, self.category)))
        return ", ".join(filter(None, (data, self.mode)))

    @property
    def title(self) -> str:
        """Return the title of its data; for a mean, with the number of categories."""
        if self.category != MEAN:
            return self.data_title
        name = ", ".join(filter(None, (self.dataset, self.mode)))
        return say("{name}: mean over {count} categories", name=name, count=len(self.shared))


def tables(records: Iterable[Record], study: Study) -> Iterator[Table]:
    """Yield a study's tables by dataset: the mean over its categories, then each category.

    Few-shot cases, models for all categories and supervised ones follow, in separate tables.
    """
    every = lines_of(by_category(records))
    for (dataset, multi_class, shots, supervised), own in _grouped(every, ("dataset", *MODE)):
        start = study, str(dataset)
        whole, count, labeled = bool(multi_class), int(shots), bool(supervised)
        categories = _grouped(own, ("category",))
        if len(categories) > 1:
            rows, partial, shared = mean_rows(own, study)
            yield Table(*start, MEAN, _records(own), rows, partial, shared, whole, count, labeled)
        for (category,), part in categories:
            rows = _rows(part, study)
            yield Table(*start, str(category), _records(part), rows, (), (), whole, count, labeled)


def category_rows(records: Iterable[Record], study: Study) -> list[Row]:
    """Return a row per configuration of one category's records, by name."""
    return _rows(lines_of(records), study)


def _rows(lines: Iterable[Line], study: Study) -> list[Row]:
    return [_row(own, study) for _, own in _grouped(lines, CONFIGURATION)]


def mean_rows(lines: Sequence[Line], study: Study) -> tuple[list[Row], list[Row], tuple[str, ...]]:
    """Return the rows of the mean over one dataset's categories.

    Args:
        lines: Lines of one dataset's records.
        study: Study whose table the rows appear in.

    Returns:
        The rows over all categories; those that lack some of them; and all categories, which are
        the catalog's or, for a dataset without an entry, those of the records.
    """
    entry = DATASETS.get(lines[0]["dataset"])
    every = frozenset(entry.categories if entry else ()) | {line["category"] for line in lines}
    groups = _grouped(lines, (*CONFIGURATION, "recipe_hash", "weights_hash", "textures"))
    counts = Counter(key[: len(CONFIGURATION)] for key, _ in groups)
    complete: list[Row] = []
    partial: list[Row] = []
    for key, own in groups:
        suffix = ""
        if counts[key[: len(CONFIGURATION)]] > 1:
            # Distinguishes rows whose categories ran under several recipes, weights or textures.
            recipe, weights, textures = key[len(CONFIGURATION) :]
            named = f"recipe {recipe[:8]}, weights {weights[:8]}"
            suffix = f"({named}, textures {textures})" if textures else f"({named})"
        rows = complete if every == {line["category"] for line in own} else partial
        rows.append(_row(own, study, suffix))
    return complete, partial, tuple(sorted(every))


def _grouped(lines: Iterable[Line], by: Sequence[str]) -> list[tuple[tuple[Any, ...], list[Line]]]:
    """Group lines by some columns, sorted by these; lines within a group stay in order."""
    groups: dict[tuple[Any, ...], list[Line]] = defaultdict(list)
    key = itemgetter(*by) if len(by) > 1 else lambda line: (line[by[0]],)
    for line in lines:
        groups[key(line)].append(line)
    return sorted(groups.items(), key=itemgetter(0))


def _row(lines: Iterable[Line], study: Study, suffix: str = "") -> Row:
    own = sorted(lines, key=itemgetter("category", "replicate"))
    case = own[0]["record"].case
    augmentation = "" if case.augmentation == "default" else case.augmentation
    return Row(
        label=" ".join(filter(None, (case.variant, augmentation, suffix))),
        study=study,
        lines=own,
        categories=tuple(sorted({line["category"] for line in own})),
    )


def _records(lines: Iterable[Line]) -> list[Record]:
    return [line["record"] for line in lines]
