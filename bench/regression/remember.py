"""What a night leaves behind: runs in the baseline, alarms in the ledger."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.provenance.commit import current_commit, short_commit
from bench.regression.baselines import Baselines, Run, option_of, run_of
from bench.regression.compare import Pair
from bench.regression.dataset_means import drift_name
from bench.regression.drift_sums import drift_after
from bench.regression.finding import FINISHES, THROTTLED, Finding
from bench.regression.journal import Night
from bench.regression.ledger import Alarm, Ledger
from bench.regression.outcomes import Outcome, worst
from bench.regression.plan import UNCONFIRMED
from bench.regression.series import Quantity
from bench.regression.verdicts import COMMIT_FIRST, Verdicts, unchanged


def remember(verdicts: Verdicts, baselines: Baselines, ledger: Ledger) -> None:
    """Add a night's runs to the baseline and its alarms to the ledger, each once.

    Speeds of changed code that could not be tested, as the machine had changed, are left out of the
    baseline, where they would hide a loss for good; those of unchanged code follow the machine.
    Those of a throttled run, which never count, are left out too, and its qualities stay. Suspects
    of uncommitted code are not added: the next night compares them again. An open alarm is closed
    as fixed if its configuration ran with other code and lost less than half as much.
    """
    compared = [*verdicts.pairs, *(mean.pair for mean in verdicts.means)]
    _raise_alarms(verdicts, compared, baselines, ledger)
    _close_fixed_alarms(verdicts, compared, baselines, ledger)
    baselines.add(_runs_to_keep(verdicts))


def _runs_to_keep(verdicts: Verdicts) -> list[Run]:
    """Return the runs that join the baseline, with their outcomes and sums of the drift net."""
    waiting = {f.configuration for f in verdicts.findings if f.method.endswith(COMMIT_FIRST)}
    waiting |= {
        name for mean in verdicts.means if mean.configuration in waiting for name in mean.parts
    }
    sums = _drift_sums(verdicts)
    of_means = _outcomes_of_means(verdicts)
    paired = {pair.series for pair in verdicts.pairs}
    untested = _untested_speeds(verdicts)
    runs = []
    for run in verdicts.runs:
        name = run.series.configuration
        if name in waiting:
            continue
        findings = [finding for finding in verdicts.findings if finding.configuration == name]
        mine = [finding.outcome for finding in findings if finding.method != THROTTLED]
        mine += of_means.get(name, [])
        outcome = worst(mine) if run.series in paired else "first"
        values = {
            key: x
            for key, x in run.values.items()
            if (name, key) not in untested and not (run.throttled and Quantity(key).kind == "speed")
        }
        runs.append(replace(run, values=values, outcome=outcome, drift=sums.get(name, {})))
    return runs


def _drift_sums(verdicts: Verdicts) -> dict[str, dict[str, float]]:
    """Return the sums of the drift net after tonight by configuration.

    A quantity without a value tonight keeps its sum. Those of a mean are kept in all of its parts,
    because no run of the mean is stored.
    """
    sums = {pair.series.configuration: dict(pair.window[-1].drift) for pair in verdicts.pairs}
    tonight = drift_after(verdicts.screens)
    for mean in verdicts.means:
        of_mean = tonight.pop(mean.configuration, {})
        for part in mean.parts:
            sums[part] |= {drift_name(mean.configuration, key): x for key, x in of_mean.items()}
    for name, of_case in tonight.items():
        sums[name] |= of_case
    return sums


def _outcomes_of_means(verdicts: Verdicts) -> dict[str, list[Outcome]]:
    """Return the outcomes that a configuration inherits from the means that include it."""
    counted = UNCONFIRMED | {"regressed", "underpowered"}
    findings = [finding for finding in verdicts.findings if finding.outcome in counted]
    outcomes: dict[str, list[Outcome]] = {}
    for mean in verdicts.means:
        for part in mean.parts:
            mine = [f.outcome for f in findings if f.configuration == mean.configuration]
            outcomes.setdefault(part, []).extend(mine)
    return outcomes


def _raise_alarms(
    verdicts: Verdicts, compared: Sequence[Pair], baselines: Baselines, ledger: Ledger
) -> None:
    """Add the confirmed regressions to the ledger."""
    runs = {one.case.configuration: run_of(one) for one in verdicts.failed}
    runs |= {pair.series.configuration: pair.tonight[0] for pair in compared}
    for finding in verdicts.findings:
        if finding.outcome == "regressed":
            run = runs.get(finding.configuration)
            ledger.raise_alarm(_alarm(finding, verdicts.night, baselines.name, run))


def _close_fixed_alarms(
    verdicts: Verdicts, compared: Sequence[Pair], baselines: Baselines, ledger: Ledger
) -> None:
    """Mark open alarms of this baseline as fixed if their loss is gone.

    If the code that alarmed has run without the loss, the alarm was false or the machine's, and
    nobody fixed anything: it stays open, with a note.
    """
    for pair in compared:
        for alarm in ledger.open(pair.series.configuration, baselines.name):
            if alarm.night == verdicts.night.name or not _mended(alarm, pair, verdicts.findings):
                continue
            if not alarm.concerns(pair.series.profile, pair.series.machine):
                continue
            quiet = [run.code for run in pair.window if run.outcome == "ok"]
            if alarm.code not in (pair.tonight[0].code, *quiet):
                commit = verdicts.night.commit
                ledger.add_verdict(
                    alarm, "fixed", f"fixed by {short_commit(commit) if commit else '?'}"
                )
                continue
            verdicts.notes.append(
                f"{alarm.configuration}: the loss of {alarm.quantity} that alarmed on "
                f"{alarm.raised[:10]} was not seen again with the same code; if it was a false "
                f"alarm: python -m bench accept {alarm.configuration}{option_of(baselines.name)} "
                "--false-alarm --reason …"
            )


def _untested_speeds(verdicts: Verdicts) -> set[tuple[str, str]]:
    """Return configuration and quantity of each speed of changed code on a changed machine.

    Code whose speed no earlier run kept counts as changed, even if it ran before.
    """
    same = unchanged(verdicts.night)
    return {
        (finding.configuration, finding.quantity)
        for screen in verdicts.screens
        for finding, pair in zip(screen.findings, screen.pairs, strict=True)
        if finding.outcome == "env-shift"
        and not (finding.configuration in same and _has_kept(pair, finding.quantity))
    }


def _has_kept(pair: Pair, quantity: str) -> bool:
    """Return whether the baseline has a value of tonight's code."""
    codes = {run.code for run in pair.tonight}
    return codes <= {run.code for run in pair.window if quantity in run.values}


def _alarm(finding: Finding, night: Night, baseline: str, run: Run | None) -> Alarm:
    exact = np.isnan(finding.low)
    return Alarm(
        configuration=finding.configuration,
        quantity=finding.quantity,
        loss=round(finding.loss, 6),
        interval=() if exact else (round(finding.low, 6), round(finding.high, 6)),
        p=None if np.isnan(finding.p) else float(f"{finding.p:.3g}"),
        base=finding.base_commit,
        head=night.commit if night.commit else current_commit().commit,
        raised=night.started,
        night=night.name,
        method=finding.method,
        code=run.code if run else "",
        profile=run.series.profile if run else "",
        machine=run.series.machine if run else "",
        baseline=baseline,
    )


def _mended(alarm: Alarm, pair: Pair, findings: Sequence[Finding]) -> bool:
    worse = {"regressed", "suspect", "invalid", "env-shift"}
    mine = [f for f in findings if f.configuration == alarm.configuration]
    if any(f.quantity == alarm.quantity and f.outcome in worse for f in mine):
        return False
    if alarm.quantity == FINISHES:
        return True
    before, now = (
        [run.values[alarm.quantity] for run in side if alarm.quantity in run.values]
        for side in (pair.window, pair.tonight)
    )
    if not before or not now:
        return False
    loss = Quantity(alarm.quantity).loss(float(np.median(before)), float(np.median(now)))
    return loss < alarm.loss / 2
