"""The page of a night: what ran, what changed, alarms, suspects, and what cannot be seen."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from bench.aggregate.markdown import EMPTY
from bench.regression.finding import Finding
from bench.regression.ledger import Ledger
from bench.regression.measures import Measure, describe
from bench.regression.plan import Planned
from bench.regression.verdicts import Verdicts

_SHOWN = 20

_TITLES = {
    "regressed": "Regressions (confirmed)",
    "suspect": "Suspects (not confirmed)",
    "invalid": "Runs that did not finish",
    "env-shift": "Changes of the machine",
    "underpowered": "Underpowered",
    "changed": "Changed",
    "improved": "Improved",
    "ok": "Suspected and not confirmed",
}


def night_report(verdicts: Verdicts, ledger: Ledger) -> str:
    """Return the page as Markdown; it depends on the journal, the records and the ledger alone."""
    night = verdicts.night
    code = f"commit {night.commit[:12]}" if night.commit else "code without a commit"
    code += " with uncommitted changes" if night.dirty else ""
    parts = [f"# Night of {night.name}", f"{_conclusion(verdicts)}\n\n{code}, {night.asked}"]
    parts += _found(verdicts.findings)
    parts += _section("Notes", [f"* {note}" for note in verdicts.notes])
    parts += _section("Ran", list(_ran(verdicts)))
    parts += _section("Did not run", list(_not_run(verdicts)))
    parts += _section("What cannot be seen tonight", list(_unseen(verdicts)))
    parts += _section("Alarms so far", list(_alarms(ledger)))
    return "\n\n".join(parts) + "\n"


def summary(verdicts: Verdicts) -> str:
    """Return one line for a terminal."""
    return _conclusion(verdicts)


def _conclusion(verdicts: Verdicts) -> str:
    counts = Counter(finding.outcome for finding in verdicts.findings)
    paired = sum(len(pair.tonight) for pair in verdicts.pairs)
    compared = f"{paired} of {len(verdicts.runs)} finished runs had a baseline"
    if counts["regressed"]:
        cases = {f.configuration for f in verdicts.findings if f.outcome == "regressed"}
        named = ", ".join(sorted(cases)[:3])
        return f"**REGRESSED**: {len(cases)} configurations ({named}). {compared}."
    failed = f" {len(verdicts.failed)} cases did not finish." if verdicts.failed else ""
    return f"No regression was confirmed. {compared}.{failed}"


def _found(findings: Sequence[Finding]) -> Iterator[str]:
    for outcome, title in _TITLES.items():
        lines = [f for f in findings if f.outcome == outcome]
        rows = [f"* `{finding.configuration}`: {finding.text()}" for finding in lines]
        yield from _section(title, rows)


def _ran(verdicts: Verdicts) -> Iterator[str]:
    planned = verdicts.night.plan.planned
    finished = {run.case for run in verdicts.runs}
    failed = {record.key.id: record for record in verdicts.failed}
    if not planned:
        yield "Nothing: no case changed."
        return
    counts = Counter(one.reason for one in planned)
    yield ", ".join(f"{count} {reason}" for reason, count in counts.items()) + "."
    yield "\n| case | why | outcome |\n|---|---|---|"
    for one in planned:
        outcome = "ok" if one.case.id in finished else "not run"
        if one.case.id in failed:
            outcome = failed[one.case.id].outcome
        yield f"| `{one.case.id}` | {_cell(one)} | {outcome} |"


def _cell(one: Planned) -> str:
    return f"{one.reason}: {one.why}".replace("|", "\\|").replace("\n", " ")


def _not_run(verdicts: Verdicts) -> Iterator[str]:
    plan = verdicts.night.plan
    if plan.unchanged:
        yield f"* {_cases(plan.unchanged)}: nothing changed, so nothing can have regressed"
    if plan.over_budget:
        longest = sum(one.seconds for one in plan.over_budget)
        yield f"* {_cases(len(plan.over_budget))}: over the budget, {longest:.0f} s more"
    for reason, count in plan.skipped.items():
        yield f"* {_cases(count)}: {reason}"
    for case, problem in list(plan.problems.items())[:_SHOWN]:
        yield f"* `{case}`: {problem}"


def _unseen(verdicts: Verdicts) -> Iterator[str]:
    """Yield what a regression could hide in: no baseline, no spread, a shift, a large MDE."""
    for why, names in _grouped(verdicts.without).items():
        yield f"* without a baseline: {len(names)}, such as `{names[0]}` ({why})"
    for screen in verdicts.screens:
        yield from _blind(screen.measure, screen.quantity, screen.findings)
    tests = sum(len(screen.findings) for screen in verdicts.screens)
    if tests:
        expected = sum(
            screen.measure.alpha_screen * screen.measure.alpha_confirm * len(screen.findings)
            for screen in verdicts.screens
        )
        yield (
            f"* {tests} tests of numbers with noise: at most {expected:.1g} false alarms a night "
            "are expected, if noise is independent between runs"
        )


def _blind(measure: Measure, quantity: str, findings: Sequence[Finding]) -> Iterator[str]:
    shifted = [f for f in findings if f.outcome == "env-shift"]
    if shifted:
        yield f"* {quantity}: {len(shifted)} speeds are not judged ({shifted[0].method})"
    effects = sorted((f.mde, f.configuration) for f in findings if not math.isnan(f.mde))
    wide = [one for one in effects if one[0] > measure.delta]
    if wide:
        least = describe(measure, effects[0][0]) if math.isfinite(effects[0][0]) else EMPTY
        most = describe(measure, wide[-1][0]) if math.isfinite(wide[-1][0]) else "any size"
        yield (
            f"* {quantity}: {len(wide)} of {len(findings)} configurations would not show a loss of "
            f"{describe(measure, measure.delta)} (95 % power at {least} to {most}; widest "
            f"`{wide[-1][1]}`)"
        )


def _alarms(ledger: Ledger) -> Iterator[str]:
    yield f"{ledger.precision()}."
    for alarm in ledger.open():
        what = f"`{alarm.configuration}` {alarm.quantity}"
        yield f"* open since {alarm.raised[:10]}: {what} (head {_short(alarm.head)})"


def _grouped(reasons: dict[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, why in reasons.items():
        groups.setdefault(why, []).append(name)
    return groups


def _cases(count: int) -> str:
    return f"{count} case{'' if count == 1 else 's'}"


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "unknown"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    more = f"\n* … and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN and title != "Ran" else ""
    shown = lines if title == "Ran" else lines[:_SHOWN]
    return [f"## {title}", "\n".join(shown) + more]
