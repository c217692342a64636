"""Means of a quality over a dataset's categories, which vary less between seeds than any of them.

A category with few test images may vary by several points between seeds; the mean of fifteen by
less than a tenth of a point. A loss of the mean is thus gated at a smaller step, `DATASET_MEAN`.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from statistics import fmean
from typing import cast

from bench.case import ALL, Case
from bench.regression.baselines import Run
from bench.regression.compare import Pair, Screen, screen_means
from bench.regression.outcomes import Outcome, worst
from bench.regression.series import Quantity


@dataclass(frozen=True)
class DatasetMean:
    """The categories of one dataset under one configuration, and the runs of their mean.

    Attributes:
        cases: One case per category.
        pair: Runs and baseline of the mean; one run per replicate that all categories have.
    """

    cases: Sequence[Case]
    pair: Pair

    @property
    def configuration(self) -> str:
        """Return the name of the mean, such as ``padim_resnet18-mvtec.mean_of_15-…``."""
        return self.pair.series.configuration

    @property
    def parts(self) -> set[str]:
        """Return the configurations that it is the mean of."""
        return {case.configuration for case in self.cases}


def dataset_means(
    pairs: Iterable[Pair], cases: Mapping[str, Case], known: Iterable[Run]
) -> list[DatasetMean]:
    """Return the means of the datasets whose categories all ran tonight.

    Models without randomness have none: their categories are compared exactly.

    Args:
        pairs: Configurations that ran tonight and have a baseline.
        cases: A case of each, by configuration.
        known: Runs of the baseline, which determine the categories.
    """
    names = {run.series.configuration for run in known}
    means = []
    for whole, members in _by_dataset(pairs, cases).items():
        if len(members) > 1 and not _missing(whole, members, names):
            of_each = [cases[pair.series.configuration] for pair in members]
            means += [DatasetMean(of_each, pair) for pair in _mean_pair(whole, members)]
    return means


def incomplete_means(
    pairs: Iterable[Pair],
    cases: Mapping[str, Case],
    known: Iterable[Run],
    unchanged: Collection[str] = (),
) -> dict[str, list[str]]:
    """Return the categories that keep a mean from being formed, by the name of the mean.

    Args:
        pairs: Configurations that ran tonight and have a baseline.
        cases: A case of each, by configuration.
        known: Runs of the baseline, which determine the categories.
        unchanged: Configurations whose code did not change: a mean of these alone lost nothing.
    """
    names = {run.series.configuration for run in known}
    incomplete = {}
    for whole, members in _by_dataset(pairs, cases).items():
        missing = _missing(whole, members, names)
        if missing and not {pair.series.configuration for pair in members}.issubset(unchanged):
            count = len(members) + len(missing)
            mean = replace(whole, category=f"mean_of_{count}").configuration
            incomplete[mean] = missing
    return incomplete


def screen_dataset_means(means: Sequence[DatasetMean]) -> list[Screen]:
    """Return the tests of the means; a suspect with too large an MDE is underpowered."""
    return screen_means([mean.pair for mean in means])


def parts_of(mean: str, names: Iterable[str]) -> list[str]:
    """Return the configurations that a mean averages; none if the name is not that of a mean.

    A model trained on all categories is not one of them. A dataset's own category named `ALL` looks
    the same in a baseline, and is left out too.

    >>> parts_of("padim-tiny.mean_of_2-none-scratch", ["padim-tiny.a-none-scratch", "padim-tiny"])
    ['padim-tiny.a-none-scratch']
    """
    first, found, last = re.sub(r"\.mean_of_\d+-", ".?-", mean).partition("?")
    if not found:
        return []
    single = set(names) - {f"{first}{ALL}{last}"}
    return sorted(name for name in single if name.startswith(first) and name.endswith(last))


def drift_name(mean: str, quantity: str) -> str:
    """Return the name under which the parts of a mean keep the drift net's sum of a quantity."""
    return f"{mean} {quantity}"


def _by_dataset(pairs: Iterable[Pair], cases: Mapping[str, Case]) -> dict[Case, list[Pair]]:
    """Group configurations that vary between seeds by everything but the category."""
    groups: dict[Case, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: pair.series.configuration):
        case = cases[pair.series.configuration]
        if not pair.fixed and case.category not in (None, ALL):
            groups.setdefault(replace(case, category=None, replicate=0), []).append(pair)
    return groups


def _missing(whole: Case, members: Sequence[Pair], names: Collection[str]) -> list[str]:
    """Return the categories of a dataset that are not among the members."""
    every = parts_of(replace(whole, category="mean_of_0").configuration, names)
    own = {pair.series.configuration for pair in members}
    return [name for name in every if name not in own]


def _mean_pair(whole: Case, members: Sequence[Pair]) -> Iterable[Pair]:
    tonight = _mean_runs(whole, [pair.tonight for pair in members])
    window = _mean_runs(whole, [pair.window for pair in members])
    if tonight and window:
        yield Pair(tonight[0].series, tonight, window, fixed=False)


def _mean_runs(whole: Case, sides: Sequence[Sequence[Run]]) -> list[Run]:
    """Return one run of the mean per replicate that all categories have, oldest first.

    Repeats of a replicate are matched from the newest back: some windows begin later than others.
    """
    by_replicate = [_by_replicate(side) for side in sides]
    shared = set.intersection(*(set(runs) for runs in by_replicate))
    means = [
        _mean_run(whole, runs)
        for replicate in sorted(shared)
        for runs in zip(*(of_case[replicate][::-1] for of_case in by_replicate), strict=False)
    ]
    return sorted(means, key=lambda run: run.finished)


def _by_replicate(runs: Iterable[Run]) -> dict[int, list[Run]]:
    groups: dict[int, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.replicate, []).append(run)
    return groups


def _mean_run(whole: Case, runs: Sequence[Run]) -> Run:
    """Return the mean of one run of each category, with the worst of their outcomes."""
    case = replace(whole, category=f"mean_of_{len(runs)}")
    names = set.intersection(*(set(run.values) for run in runs))
    data = sha256(" ".join(run.series.data for run in runs).encode()).hexdigest()[:16]
    newest = max(runs, key=lambda run: run.finished)
    # Nothing spoke against a first run, so another category's gain or change is what counts.
    outcomes = [cast(Outcome, "ok" if r.outcome == "first" else r.outcome) for r in runs]
    return replace(
        newest,
        series=replace(newest.series, configuration=case.configuration, data=data),
        values={
            name: fmean(run.values[name] for run in runs)
            for name in sorted(names)
            if Quantity(name).kind == "quality"
        },
        dirty=any(run.dirty for run in runs),
        images=sum(run.images for run in runs),
        drift=_drift_of_mean(case.configuration, runs, newest),
        outcome=worst(outcomes),
        scores="",
    )


def _drift_of_mean(mean: str, parts: Sequence[Run], newest: Run) -> dict[str, float]:
    """Return the drift net's sums of a mean; they start again if a part's history did."""
    prefix = drift_name(mean, "")
    shared = set.intersection(*(set(run.drift) for run in parts))
    return {
        name.removeprefix(prefix): newest.drift[name] for name in shared if name.startswith(prefix)
    }
