"""From records to verdicts: pair runs with baselines, screen and confirm."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bench.case import Case
from bench.record import Record
from bench.regression.baselines import STANDING, Baselines, Run, changed_constants, run_of
from bench.regression.code_tree import uncommitted_files
from bench.regression.compare import (
    Pair,
    Screen,
    fixed_findings,
    memory_findings,
    screen_all,
    values_at,
)
from bench.regression.confirmation import ConfirmationContext, confirm, confirm_failure
from bench.regression.dataset_means import (
    DatasetMean,
    dataset_means,
    incomplete_means,
    screen_dataset_means,
)
from bench.regression.drift_sums import drift_after, drifting
from bench.regression.finding import FINISHES, Finding
from bench.regression.journal import Night
from bench.regression.measures import SPEED
from bench.regression.missing import missing_findings
from bench.regression.outcomes import exit_code
from bench.regression.series import Series, series_of
from bench.store import Store
from bench.study import has_randomness

Log = Callable[[str], None]

_ROUNDING = 1e-3
"""Difference in a metric that kernels without a fixed order of summation may cause."""

COMMIT_FIRST = (
    "had uncommitted changes, and an alarm names a commit: commit, then run "
    "`python -m bench nightly`"
)

_CANARY_SPEEDS = ("inference_images_per_s", "latency_p50_ms", "train_images_per_s")


@dataclass
class Verdicts:
    """The results of a night, or of a gate.

    Attributes:
        night: The night.
        runs: Finished runs.
        failed: Records of cases that did not finish.
        pairs: Runs and baselines of the configurations that have one.
        without: Why the other configurations have no baseline, by id.
        means: Means over datasets whose categories all ran.
        incomplete: Means that were not formed, with the categories that were not compared.
        screens: Tests of random qualities and of speeds.
        notes: Lines about anything unusual.
    """

    night: Night
    runs: list[Run] = field(default_factory=list)
    failed: list[Record] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    without: dict[str, str] = field(default_factory=dict)
    means: list[DatasetMean] = field(default_factory=list)
    incomplete: dict[str, list[str]] = field(default_factory=dict)
    screens: list[Screen] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """Return the findings of the night."""
        return self.night.findings

    @property
    def exit_code(self) -> int:
        """Return 10 after a confirmed regression, else 11 after failed or lost cases, else 0.

        A night in which no case can run is inconclusive: 11.
        """
        plan = self.night.plan
        infrastructure = any(not self._known(record) for record in self.failed)
        infrastructure |= bool(plan.lost) or plan.is_blocked
        outcomes = [finding.outcome for finding in self.findings]
        return exit_code([*outcomes, "invalid"] if infrastructure else outcomes)

    def _known(self, record: Record) -> bool:
        names = {f.configuration for f in self.findings if f.quantity == FINISHES}
        return record.case.configuration in names


def evaluate_night(
    records: Sequence[Record],
    night: Night,
    baselines: Baselines,
    context: ConfirmationContext,
    log: Log,
) -> Verdicts:
    """Compare a night's records with their baselines and confirm the suspects.

    Findings that are already in the night's journal are not confirmed again.

    Args:
        records: The night's records, finished or failed.
        night: The night, to which the findings are added.
        baselines: The baselines to compare with.
        context: Settings and folders of confirming runs.
        log: Prints a line.
    """
    cases = {record.case.configuration: record.case for record in reversed(records)}
    codes = {record.case.configuration: record.code.get("hash", "") for record in records}
    context = replace(context, codes=codes)
    verdicts = Verdicts(night)
    verdicts.failed = [record for record in records if record.status != "ok"]
    verdicts.runs = [run_of(record, night.name) for record in records if record.status == "ok"]
    if context.busy:
        verdicts.runs = [replace(run, disturbed=False) for run in verdicts.runs]
    _pair(verdicts, cases, baselines)
    canary = {one.case.configuration for one in night.plan.planned if one.reason == "canary"}
    canaries = [pair for pair in verdicts.pairs if pair.series.configuration in canary]
    others = _other_windows(verdicts, baselines)
    screens, shift, moved = screen_all(verdicts.pairs, others, _deviations(canaries))
    known = baselines.runs
    verdicts.means = dataset_means(verdicts.pairs, cases, known)
    verdicts.incomplete = incomplete_means(verdicts.pairs, cases, known, unchanged(night))
    verdicts.screens = [*screens, *screen_dataset_means(verdicts.means)]
    verdicts.notes += _shift_notes(canaries, shift if moved else 0.0)
    missing = _missing(verdicts, records)
    _confirm(verdicts, cases, missing, context, log)
    _failures(verdicts, baselines, context, log)
    categories = {mean.configuration: min(mean.parts) for mean in verdicts.means}
    verdicts.notes += drifting(drift_after(verdicts.screens), categories)
    return verdicts


def unchanged(night: Night) -> set[str]:
    """Return the configurations that ran although they had not changed."""
    planned = night.plan.planned
    return {one.case.configuration for one in planned if one.reason in {"canary", "rotation"}}


def _pair(verdicts: Verdicts, cases: Mapping[str, Case], baselines: Baselines) -> None:
    by_series: dict[object, list[Run]] = {}
    for run in verdicts.runs:
        by_series.setdefault(run.series, []).append(run)
    for runs in by_series.values():
        series = runs[0].series
        window = baselines.window(series, verdicts.night.name)
        if not window:
            verdicts.without[series.configuration] = baselines.why_none(series)
            continue
        fixed = not has_randomness(cases[series.configuration])
        verdicts.pairs.append(Pair(series, runs, window, fixed))
        if changes := changed_constants(window[-1].protocol, runs[0].protocol):
            what = ", ".join(changes)
            verdicts.notes.append(f"{series.configuration}: its recipe changed: {what}")


def _other_windows(verdicts: Verdicts, baselines: Baselines) -> list[list[Run]]:
    """Return the windows of series that did not run, with the same machine and profile."""
    mine = {(pair.series.machine, pair.series.profile) for pair in verdicts.pairs}
    done = {pair.series for pair in verdicts.pairs}
    series = dict.fromkeys(run.series for run in baselines.runs)
    return [
        window
        for one in series
        if one not in done
        and (one.machine, one.profile) in mine
        and (window := baselines.window(one))
    ]


def _deviations(canaries: Iterable[Pair]) -> dict[str, float]:
    """Return the logarithm of each canary's speedup since the baseline.

    Canaries slowed by other processes or by heat are left out.
    """
    deviations = {}
    for pair in canaries:
        if any(run.disturbed or run.throttled for run in pair.tonight):
            continue
        for name in _CANARY_SPEEDS:
            sides = [SPEED.transform(values_at(name, runs)) for runs in (pair.tonight, pair.window)]
            if all(len(side) for side in sides):
                tonight, before = (float(np.median(side)) for side in sides)
                deviations[pair.series.configuration] = tonight - before
                break
    return deviations


def _shift_notes(canaries: Iterable[Pair], shift: float) -> Iterator[str]:
    """Yield notes about changes of the machine that the canaries show.

    Args:
        canaries: Runs and baselines of the unchanged cases.
        shift: Their common shift in speed, if it is too large to test speeds; else 0.
    """
    if shift:
        yield (
            f"ENV-SHIFT: unchanged cases (canaries) moved by {100 * shift:+.1f} % in speed: the "
            "machine changed, and no speed is judged tonight"
        )
    for pair in canaries:
        if pair.fixed and any(abs(f.loss) > _ROUNDING for f in fixed_findings(pair)):
            yield (
                f"ENV-SHIFT: {pair.series.configuration} scores differ with the same code: the "
                "machine or its libraries changed"
            )


def _missing(verdicts: Verdicts, records: Sequence[Record]) -> list[Finding]:
    """Return findings about quantities that no run of a configuration has anymore."""
    finished: dict[Series, list[Record]] = {}
    for record in records:
        if record.status == "ok":
            finished.setdefault(series_of(record), []).append(record)
    return [f for pair in verdicts.pairs for f in missing_findings(pair, finished[pair.series])]


def _confirm(
    verdicts: Verdicts,
    cases: Mapping[str, Case],
    missing: Iterable[Finding],
    context: ConfirmationContext,
    log: Log,
) -> None:
    """Confirm the suspects, and add all findings to the night.

    Args:
        verdicts: The comparisons of the night.
        cases: A case of each configuration.
        missing: Findings about quantities without a value.
        context: Settings and folders of confirming runs.
        log: Prints a line.
    """
    screened = _screened(verdicts, missing)
    pairs = {pair.series.configuration: pair for pair in verdicts.pairs}
    pairs |= {mean.configuration: mean.pair for mean in verdicts.means}
    parts = {name: [case] for name, case in cases.items()}
    parts |= {mean.configuration: list(mean.cases) for mean in verdicts.means}
    for name in _most_suspicious_first(screened):
        suspects = [finding for finding in screened[name] if finding.outcome == "suspect"]
        if name in verdicts.night.evaluated:
            continue
        findings = [finding for finding in screened[name] if finding.outcome != "suspect"]
        why = _why_unnamed(verdicts.night, pairs[name].tonight[0].code, context) if suspects else ""
        if why:
            findings += [replace(finding, method=f"not confirmed: {why}") for finding in suspects]
        elif suspects:
            which = ", ".join(finding.quantity for finding in suspects)
            log(f"suspect: {name} ({which}); running the baseline's code and this one in turn")
            findings += confirm(context, parts[name], pairs[name], suspects, verdicts.screens)
        verdicts.night.add_findings(name, [finding for finding in findings if _worth(finding)])
        for finding in findings:
            log(f"  {finding.outcome}: {finding.text()}")


def _screened(verdicts: Verdicts, missing: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Return the findings that are suspect or worth a line, by configuration."""
    findings = list(missing)
    for screen in verdicts.screens:
        findings += [
            finding
            for finding in screen.findings
            if finding.outcome in {"suspect", "improved", "invalid"} or _too_noisy(screen, finding)
        ]
    for pair in verdicts.pairs:
        exact = fixed_findings(pair) if pair.fixed else []
        findings += [finding for finding in exact if finding.outcome == "suspect"]
        findings += memory_findings(pair)
    screened: dict[str, list[Finding]] = {}
    for finding in findings:
        screened.setdefault(finding.configuration, []).append(finding)
    return screened


def _why_unnamed(night: Night, code: str, context: ConfirmationContext) -> str:
    """Return why an alarm cannot name a commit: its code was not committed; empty if it can.

    Changes of files that the case does not import do not count.

    Args:
        night: The night.
        code: Hash of the case's code.
        context: Settings, to find the files of that code.
    """
    if not night.dirty:
        return ""
    files = Store(context.settings.runs_dir).code_files(code)
    changed = uncommitted_files()
    own = changed if files is None else [file for file in changed if file in files]
    if changed and not own:
        return ""
    what = own[0] if own else "the code"
    return f"{what} {COMMIT_FIRST}"


def _too_noisy(screen: Screen, finding: Finding) -> bool:
    """Return whether a loss of more than delta was found that is too noisy to test."""
    loss = finding.loss > screen.measure.delta
    return loss and finding.outcome == "underpowered"


def _worth(finding: Finding) -> bool:
    return finding.outcome != "ok" or bool(finding.method)


def _most_suspicious_first(screened: Mapping[str, Sequence[Finding]]) -> list[str]:
    """Return configurations by their smallest p value.

    Exact values that differ have none, so they come first.
    """
    smallest = {
        name: min(0.0 if np.isnan(finding.p) else finding.p for finding in findings)
        for name, findings in screened.items()
    }
    return sorted(smallest, key=smallest.__getitem__)


def _failures(
    verdicts: Verdicts, baselines: Baselines, context: ConfirmationContext, log: Log
) -> None:
    """Check whether cases that no longer finish are regressions."""
    through = {f.configuration for f in verdicts.findings if f.quantity == FINISHES}
    for record in verdicts.failed:
        case, message = record.case, (record.error or {}).get("message", record.outcome)
        segment = baselines.segment(case.configuration)
        window = [run for run in segment if run.outcome in STANDING]
        if case.configuration in through or not window:
            continue
        through.add(case.configuration)
        if why := _why_unnamed(verdicts.night, record.code.get("hash", ""), context):
            reason = f"fails: {message.splitlines()[0]} (not confirmed: {why})"
            finding = Finding(case.configuration, FINISHES, "invalid", 1, 0, 1, method=reason)
            verdicts.night.add_findings(case.configuration, [finding])
            continue
        finding = confirm_failure(context, case, window, message.splitlines()[0])
        verdicts.night.add_findings(case.configuration, [finding])
        log(f"{finding.outcome}: {case.configuration} {finding.text()}")
