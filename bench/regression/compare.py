"""Compare tonight's runs with their baselines to find what is equal, suspect or undetectable."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.metrics.catalog import METRICS
from bench.regression.baselines import Run
from bench.regression.detectable import minimum_effect, plan_runs, planning_deviation
from bench.regression.finding import FIXED, THROTTLED, Finding
from bench.regression.measures import DATASET_MEAN, QUALITY, SPEED, Array, Measure, describe
from bench.regression.memory import memory_limit, memory_suspect
from bench.regression.outcomes import Outcome
from bench.regression.screen import (
    Baseline,
    Prior,
    Screened,
    canary_shift,
    fit_baseline,
    screen,
)
from bench.regression.series import Quantity, Series

_PROCESS_DEVIATION = 0.02
"""Expected deviation of log speed between processes: 1 to 2 % on quiet machines."""

_PLANNED_DEGREES = 4.0
"""Degrees of freedom of the planning deviation when no spread has been observed."""


@dataclass(frozen=True)
class Pair:
    """A configuration's runs tonight and those that they are compared with.

    Attributes:
        series: Their conditions.
        tonight: Tonight's runs, one per replicate.
        window: Runs of the baseline.
        fixed: Whether equal code gives equal scores for every seed.
    """

    series: Series
    tonight: Sequence[Run]
    window: Sequence[Run]
    fixed: bool

    @property
    def bases(self) -> Sequence[Run]:
        """Return the runs whose code counts as good if tonight's is worse, the best choice first.

        Without randomness it is the newest one that improved, or else the first one, so that a slow
        decline accumulates; later runs follow. With randomness the newest run comes first.
        """
        if not self.fixed:
            return self.window[::-1]
        improved = [index for index, run in enumerate(self.window) if run.outcome == "improved"]
        return self.window[improved[-1] if improved else 0 :]

    @property
    def base(self) -> Run:
        """Return the first choice of the runs whose code counts as good."""
        return self.bases[0]

    @property
    def equal(self) -> bool:
        """Return whether each run has the same qualities, up to rounding, as an earlier one."""
        return all(
            any(run.replicate == old.replicate and _same(run, old) for old in self.window)
            for run in self.tonight
        )


@dataclass(frozen=True)
class Screen:
    """Results of one measure's test on many configurations, used to plan the confirmation.

    Attributes:
        measure: The measure.
        quantity: Name of the quantity.
        pairs: The configurations, one per row.
        baseline: Their levels and spreads.
        findings: The findings, one per row.
    """

    measure: Measure
    quantity: str
    pairs: Sequence[Pair]
    baseline: Baseline
    findings: Sequence[Finding]


def values_at(quantity: str, runs: Iterable[Run]) -> list[float]:
    """Return a quantity of each run that has it, converted so that higher is better."""
    values = [run.values[quantity] for run in runs if quantity in run.values]
    if Quantity(quantity).higher_is_better:
        return values
    if Quantity(quantity).kind == "quality":
        return [1 - value for value in values]
    return [1 / value for value in values]


def recorded(quantity: str, level: float) -> float:
    """Convert a level where higher is better back to its recorded form."""
    if Quantity(quantity).higher_is_better:
        return level
    return 1 - level if Quantity(quantity).kind == "quality" else 1 / level


def shares(quantity: str) -> bool:
    """Return whether a quality is a share in [0, 1], as its test assumes."""
    metric = METRICS.get(quantity.rpartition(".")[2])
    return metric is not None and metric.unit == "%"


def screen_all(
    pairs: Sequence[Pair],
    others: Sequence[Sequence[Run]] = (),
    canaries: Mapping[str, float] | None = None,
) -> tuple[list[Screen], float, bool]:
    """Screen the qualities of random models and all speeds.

    Args:
        pairs: Configurations that ran tonight and have a baseline.
        others: Windows of configurations that did not run, from which spreads are borrowed.
        canaries: Speed deviations of the canaries, on the scale of the tests, by configuration.

    Returns:
        A screen for each quantity, the canaries' common shift, and whether it is too large to test
        speeds.
    """
    shift, moved = canary_shift(list((canaries or {}).values()))
    screens = []
    names = sorted({name for pair in pairs for run in pair.tonight for name in run.values})
    for name in names:
        kind = Quantity(name).kind
        if kind == "memory" or (kind == "quality" and not shares(name)):
            continue
        asked = [
            pair
            for pair in pairs
            if _has(name, pair.tonight)
            and _has(name, pair.window)
            and not (kind == "quality" and pair.fixed)
        ]
        if asked and kind == "quality":
            screens.append(_screened(QUALITY, name, asked, others, 0.0, ""))
        elif asked:
            why = f"canaries moved by {100 * shift:+.1f} %" if moved else ""
            screens.append(_screened(SPEED, name, asked, others, shift, why))
    return screens, shift, moved


def screen_means(pairs: Sequence[Pair]) -> list[Screen]:
    """Screen the qualities of dataset means; those whose MDE exceeds delta are not gated."""
    screens = []
    for name in sorted({name for pair in pairs for name in pair.window[-1].values}):
        asked = [pair for pair in pairs if _has(name, pair.tonight) and _has(name, pair.window)]
        if shares(name) and asked:
            screens.append(_screened(DATASET_MEAN, name, asked, (), 0.0, ""))
    return screens


def fixed_findings(pair: Pair) -> list[Finding]:
    """Return the changed qualities of a model without randomness."""
    base, run = pair.base, pair.tonight[0]
    findings = []
    for name, value in run.values.items():
        before = base.values.get(name)
        if Quantity(name).kind != "quality" or before is None or _equal(before, value):
            continue
        last = pair.window[-1].values.get(name, before)
        loss = Quantity(name).loss(before, value)
        findings.append(
            Finding(
                pair.series.configuration,
                name,
                "ok" if _equal(last, value) and loss <= 0 else "suspect",
                before,
                value,
                loss,
                method=FIXED,
            )
        )
    return findings


def memory_findings(pair: Pair) -> list[Finding]:
    """Return the memory sizes that grew by more than the tolerance."""
    findings = []
    for name in sorted({name for run in pair.tonight for name in run.values}):
        before = [run.values[name] for run in pair.window if name in run.values]
        if Quantity(name).kind != "memory" or not before:
            continue
        base = float(np.median(before))
        peak = min(run.values[name] for run in pair.tonight if name in run.values)
        if memory_suspect(base, peak):
            loss = Quantity(name).loss(base, peak)
            finding = Finding(pair.series.configuration, name, "suspect", base, peak, loss)
            mde = memory_limit(base) / base
            findings.append(replace(finding, mde=mde, method="two of two re-runs decide"))
    return findings


def _screened(
    measure: Measure,
    name: str,
    pairs: Sequence[Pair],
    others: Sequence[Sequence[Run]],
    shift: float,
    why_not: str,
) -> Screen:
    """Test one quantity of all configurations."""
    # A replicate is a seed for a quality and a process for a speed.
    windows = [pair.window for pair in pairs] + list(others)
    distinct = [window if measure == SPEED else _distinct(window) for window in windows]
    rows = _padded([measure.transform(values_at(name, window)) for window in distinct])
    prior = fit_baseline(measure, rows).prior
    baseline = fit_baseline(measure, rows[: len(pairs)], prior)
    planned = (prior.degrees <= 0) & ~_varies(rows[: len(pairs)])
    baseline = _with_planned(measure, baseline, pairs, planned)
    tonight = _padded([measure.transform(values_at(name, pair.tonight)) for pair in pairs])
    result = screen(measure, baseline, tonight, shift)
    ran = np.isfinite(tonight).sum(1)
    runs = plan_runs(measure, baseline, ran)
    effects = minimum_effect(measure, baseline, runs, ran)
    mde = measure.size(baseline.center, effects)
    findings = [
        _finding(measure, name, pair, result, row, float(mde[row]), bool(planned[row]), why_not)
        for row, pair in enumerate(pairs)
    ]
    return Screen(measure, name, pairs, baseline, findings)


def _finding(
    measure: Measure,
    name: str,
    pair: Pair,
    result: Screened,
    row: int,
    mde: float,
    is_planned: bool,
    why_not: str,
) -> Finding:
    """Return the finding about one quantity of one configuration.

    Args:
        measure: The measure.
        name: Name of the quantity.
        pair: Runs and baseline of the configuration.
        result: The screen of all configurations.
        row: Row of this one.
        mde: Its minimum detectable effect.
        is_planned: Whether its spread is the expected one, because none has been observed.
        why_not: Why no speed is tested tonight; empty if speeds are.
    """
    before, now = (
        float(np.median([run.values[name] for run in side if name in run.values]))
        for side in (pair.window, pair.tonight)
    )
    loss = Quantity(name).loss(before, now)
    outcome, reason = _outcome(measure, pair, result, row, mde, why_not)
    if is_planned and outcome == "ok" and loss > measure.delta and not pair.equal:
        outcome, reason = "underpowered", "its spread is only guessed yet: more runs tell"
    return Finding(
        pair.series.configuration,
        name,
        outcome,
        before,
        now,
        loss,
        float(result.p[row]),
        mde=mde,
        method=reason,
    )


def _outcome(
    measure: Measure, pair: Pair, result: Screened, row: int, mde: float, why_not: str
) -> tuple[Outcome, str]:
    """Return the screen's outcome for one configuration, with the reason if it is undecided."""
    if measure != SPEED and pair.equal:
        return "ok", ""
    if math.isnan(result.p[row]):
        return "underpowered", "its spread between runs is not known yet"
    if measure == SPEED and any(run.throttled for run in pair.tonight):
        return "invalid", THROTTLED
    if measure == SPEED and (why_not or any(run.disturbed for run in pair.tonight)):
        return "env-shift", why_not or "the machine was busy; --busy judges all the same"
    if result.improved[row]:
        return "improved", ""
    if not result.suspect[row]:
        return "ok", ""
    if mde > measure.max_mde * measure.delta:
        return (
            "underpowered",
            f"not gated: its MDE is above {describe(measure, measure.delta)}",
        )
    return "suspect", ""


def _has(name: str, runs: Sequence[Run]) -> bool:
    return any(name in run.values for run in runs)


def _varies(rows: Array) -> NDArray[np.bool_]:
    """Return whether each row ``(N, M)`` has two values that differ, ignoring NaN."""
    later = rows[:, 1:]
    return np.asarray(np.any((later != rows[:, :1]) & np.isfinite(later), axis=1))


def _with_planned(
    measure: Measure, baseline: Baseline, pairs: Sequence[Pair], lacking: NDArray[np.bool_]
) -> Baseline:
    """Fill in the expected deviation where no spread has been observed.

    A single run of a few cases, or equal runs, say nothing about spread. The spread between seeds
    depends on the number of test images; the one between processes is taken from other machines.
    """
    if not lacking.any():
        return baseline
    if measure != SPEED:
        level = measure.restore(baseline.center)
        images = np.array([max(pair.window[-1].images, 1) for pair in pairs])
        deviation = planning_deviation(np.clip(1 - level, 1e-3, 0.5), images)
        planned = measure.step(baseline.center, deviation) ** 2
    else:
        planned = np.full(len(baseline.center), _PROCESS_DEVIATION**2)
    return replace(
        baseline,
        variance=np.where(lacking, planned, baseline.variance),
        cautious=np.where(lacking, planned, baseline.cautious),
        degrees=np.where(lacking, _PLANNED_DEGREES, baseline.degrees),
        prior=Prior(_PLANNED_DEGREES, float(np.median(planned[lacking])), _PLANNED_DEGREES),
    )


def _distinct(runs: Sequence[Run]) -> list[Run]:
    """Return runs without repeats: a seed that ran twice with equal scores is one draw, not two."""
    kept: list[Run] = []
    for run in runs:
        if not any(run.replicate == old.replicate and _same(run, old) for old in kept):
            kept.append(run)
    return kept


def _same(run: Run, other: Run) -> bool:
    names = [name for name in run.values if Quantity(name).kind == "quality"]
    return all(
        name in other.values and _equal(run.values[name], other.values[name]) for name in names
    )


def _equal(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def _padded(rows: Sequence[Array]) -> Array:
    width = max(map(len, rows))
    return np.array([[*row, *[math.nan] * (width - len(row))] for row in rows], dtype=float)
