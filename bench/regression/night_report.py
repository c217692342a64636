"""The report of a night: what ran, what changed, alarms, suspects, and what is undetectable."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from bench.aggregate.markdown import EMPTY
from bench.provenance.commit import short_commit
from bench.regression.baselines import MAIN, option_of
from bench.regression.compare import Screen
from bench.regression.finding import Finding
from bench.regression.ledger import Ledger
from bench.regression.measures import Measure, describe
from bench.regression.plan import Planned, cases_text
from bench.regression.screen import DISCOVERY_RATE, order_suspects
from bench.regression.verdicts import Verdicts

_SHOWN = 20

_TITLES = {
    "regressed": "Regressions (confirmed)",
    "suspect": "Suspects (could be neither confirmed nor ruled out)",
    "invalid": "Runs that did not finish or were throttled",
    "env-shift": "Changes of the machine",
    "underpowered": "Too noisy to judge",
    "changed": "Changed",
    "improved": "Improved",
    "ok": "Suspected, and cleared by fresh runs",
}


def night_report(verdicts: Verdicts, ledger: Ledger, baseline: str = MAIN) -> str:
    """Return the report as Markdown; it depends only on the journal, the records and the ledger.

    Args:
        verdicts: The results of the night.
        ledger: All alarms.
        baseline: Name of the baseline that the night compared with.
    """
    night = verdicts.night
    code = f"commit {short_commit(night.commit)}" if night.commit else "code without a commit"
    code += " with uncommitted changes" if night.dirty else ""
    parts = [f"# Nightly run of {night.name}", f"{_conclusion(verdicts)}\n\n{code}, {night.asked}"]
    parts += _found(verdicts)
    parts += _section(
        "What to do", [f"* `{command}` {what}" for command, what in next_steps(verdicts, baseline)]
    )
    parts += _section("Notes", [f"* {note}" for note in verdicts.notes])
    parts += _section("Ran", list(_ran(verdicts)))
    parts += _section("Did not run", [f"* {line}" for line in verdicts.night.plan.not_run()])
    parts += _section("What cannot be seen tonight", list(_unseen(verdicts)))
    parts += _section("Alarms so far", list(_alarms(ledger)))
    return "\n\n".join(parts) + "\n"


def summary(verdicts: Verdicts, baseline: str = MAIN) -> str:
    """Return the text for a terminal: one line, and what to do after an alarm."""
    steps = [f"  {command}\n    {what}" for command, what in next_steps(verdicts, baseline)]
    return "\n".join([_conclusion(verdicts).replace("*", ""), *steps])


def next_steps(verdicts: Verdicts, baseline: str = MAIN) -> list[tuple[str, str]]:
    """Return the commands to run after a confirmed regression, and what each does."""
    regressed = [finding for finding in verdicts.findings if finding.outcome == "regressed"]
    if not regressed:
        return []
    first = min(regressed, key=lambda finding: finding.configuration)
    means = {mean.configuration: mean for mean in verdicts.means}
    name, good, head = first.configuration, first.base_commit, verdicts.night.commit
    searched = name
    if mean := means.get(name):
        searched = sorted(mean.parts)[0]
        if good and head:
            searched += f" --good {short_commit(good)} --bad {short_commit(head)}"
    return [
        (
            f"python -m bench bisect {searched}{option_of(baseline)}",
            "finds the commit; give it this nightly run's options",
        ),
        (
            f"python -m bench accept {name}{option_of(baseline)} --reason …",
            "if the change is intended: starts a new baseline",
        ),
        (
            f"python -m bench accept {name}{option_of(baseline)} --false-alarm --reason …",
            "if nothing is wrong",
        ),
    ]


def _conclusion(verdicts: Verdicts) -> str:
    plan, lost = verdicts.night.plan, ""
    if plan.lost:
        count = cases_text(len(plan.lost))
        lost = f" {count} that finished before could not run: {_named(plan.lost)}."
    if not (plan.planned or verdicts.findings or verdicts.runs):
        if not plan.is_blocked:
            return f"No case changed, so none ran.{lost}"
        reasons = list(plan.not_run())
        more = " (the report has more reasons)" if len(reasons) > 1 else ""
        return f"No case could run. {reasons[0]}{more}.{lost}"
    counts = Counter(finding.outcome for finding in verdicts.findings)
    paired = sum(len(pair.tonight) for pair in verdicts.pairs)
    compared = f"{paired} of {len(verdicts.runs)} finished runs had a baseline"
    if verdicts.runs and not paired:
        compared += ": the next nightly run is compared with them"
    if counts["regressed"]:
        cases = {f.configuration for f in verdicts.findings if f.outcome == "regressed"}
        return f"**REGRESSED**: {_named(sorted(cases))}. {compared}.{lost}"
    failed = f" {cases_text(len(verdicts.failed))} did not finish." if verdicts.failed else ""
    suspects = counts["suspect"]
    losses = f"{suspects} suspected loss{'' if suspects == 1 else 'es'}"
    left = f" {losses} could not be confirmed or ruled out." if suspects else ""
    return f"No regression was confirmed. {compared}.{left}{failed}{lost}"


def _named(cases: Sequence[str]) -> str:
    """Return at most three names, and how many more there are."""
    more = f" and {len(cases) - 3} more" if len(cases) > 3 else ""
    return ", ".join(cases[:3]) + more


def _found(verdicts: Verdicts) -> Iterator[str]:
    for outcome, title in _TITLES.items():
        shown = [finding for finding in verdicts.findings if finding.outcome == outcome]
        left_out: list[str] = []
        if outcome == "ok":
            shown, left_out = _cut(shown, verdicts.screens)
        rows = [f"* `{finding.configuration}`: {finding.text()}" for finding in shown]
        yield from _section(title, [*left_out, *rows])


def _cut(cleared: Sequence[Finding], screens: Sequence[Screen]) -> tuple[list[Finding], list[str]]:
    """Return the cleared suspects that stand out among all tests, and a line that counts the rest.

    The most suspicious come first, after those without a p value, such as exact scores.
    """
    tested = [f for s in screens for f in s.findings if f.outcome not in {"env-shift", "invalid"}]
    tests = [(finding.configuration, finding.quantity) for finding in tested]
    outstanding = [tests[index] for index in order_suspects([finding.p for finding in tested])]
    by_test = {(finding.configuration, finding.quantity): finding for finding in cleared}
    first = by_test.keys() - set(tests)
    shown = [finding for test, finding in by_test.items() if test in first]
    shown += [by_test[test] for test in outstanding if test in by_test]
    rest = len(by_test) - len(shown)
    line = (
        f"* not listed: {rest} that do not stand out among the {len(tests)} tests of tonight "
        f"(Benjamini-Hochberg, {100 * DISCOVERY_RATE:.0f} % false discoveries)"
    )
    return shown, [line] if rest else []


def _ran(verdicts: Verdicts) -> Iterator[str]:
    planned = verdicts.night.plan.planned
    finished = {run.case for run in verdicts.runs}
    failed = {record.key.id: record for record in verdicts.failed}
    if not planned:
        blocked = verdicts.night.plan.is_blocked
        yield "Nothing: no case could run." if blocked else "Nothing: no case changed."
        return
    counts = Counter(one.reason for one in planned)
    yield ", ".join(f"{count} {reason}" for reason, count in counts.items()) + "."
    yield "\n| case | why | outcome | smallest losses seen 19 times in 20 |\n|---|---|---|---|"
    effects = _effects(verdicts.screens)
    for one in planned:
        outcome = "ok" if one.case.id in finished else "not run"
        if one.case.id in failed:
            outcome = failed[one.case.id].outcome
        seen = ", ".join(effects.get(one.case.configuration, [])) or EMPTY
        yield f"| `{one.case.id}` | {_cell(one)} | {outcome} | {seen} |"


def _effects(screens: Sequence[Screen]) -> dict[str, list[str]]:
    """Return quantities with their minimum detectable effect by configuration.

    Scores of models without randomness are compared exactly, so they have none.
    """
    effects: dict[str, list[str]] = {}
    for screen in screens:
        for finding in screen.findings:
            size = describe(screen.measure, finding.mde) if math.isfinite(finding.mde) else "none"
            effects.setdefault(finding.configuration, []).append(f"{screen.quantity} {size}")
    return effects


def _cell(one: Planned) -> str:
    return f"{one.reason}: {one.why}".replace("|", "\\|").replace("\n", " ")


def _unseen(verdicts: Verdicts) -> Iterator[str]:
    """Yield why regressions could go undetected: no baseline, no spread, a shift, a large MDE."""
    for why, names in _grouped(verdicts.without).items():
        yield f"* without a baseline: {len(names)}, such as `{names[0]}` ({why})"
    if verdicts.incomplete:
        mean, missing = next(iter(verdicts.incomplete.items()))
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        yield (
            f"* without a mean of all categories: {len(verdicts.incomplete)}, such as `{mean}` "
            f"(not compared tonight: `{missing[0]}`{others})"
        )
    for screen in verdicts.screens:
        yield from _blind(screen.measure, screen.quantity, screen.findings)
    tests = sum(len(screen.findings) for screen in verdicts.screens)
    if tests:
        expected = sum(
            screen.measure.alpha_screen * screen.measure.alpha_confirm * len(screen.findings)
            for screen in verdicts.screens
        )
        yield (
            f"* {tests} tests of values that vary from run to run: {expected:.1g} false alarms are "
            "expected in each nightly run, if runs vary independently of each other"
        )


def _blind(measure: Measure, quantity: str, findings: Sequence[Finding]) -> Iterator[str]:
    shifted = [f for f in findings if f.outcome in {"env-shift", "invalid"}]
    if shifted:
        yield f"* {quantity}: not judged for {len(shifted)} configurations ({shifted[0].method})"
    effects = sorted((f.mde, f.configuration) for f in findings if not math.isnan(f.mde))
    wide = [one for one in effects if one[0] > measure.delta]
    if wide:
        least = describe(measure, effects[0][0]) if math.isfinite(effects[0][0]) else EMPTY
        most = describe(measure, wide[-1][0]) if math.isfinite(wide[-1][0]) else "any size"
        yield (
            f"* {quantity}: a loss of {describe(measure, measure.delta)} would go undetected in "
            f"{len(wide)} of {len(findings)} configurations (minimum detectable effect, at 95 % "
            f"power: {least} to {most}, the latter for `{wide[-1][1]}`); more runs reduce it"
        )


def _alarms(ledger: Ledger) -> Iterator[str]:
    yield f"{ledger.precision()}."
    if ledger.ignored:
        yield f"* {ledger.ignored_text()}"
    for alarm in ledger.open():
        what = f"`{alarm.configuration}` {alarm.quantity}"
        span = f"worse at {short_commit(alarm.head)} than at {short_commit(alarm.base)}"
        against = "" if alarm.baseline == MAIN else f" (baseline {alarm.baseline})"
        yield f"* open since {alarm.raised[:10]}: {what}, {span}{against}"


def _grouped(reasons: dict[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, why in reasons.items():
        groups.setdefault(why, []).append(name)
    return groups


def _section(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    more = f"\n* … and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN and title != "Ran" else ""
    shown = lines if title == "Ran" else lines[:_SHOWN]
    return [f"## {title}", "\n".join(shown) + more]
