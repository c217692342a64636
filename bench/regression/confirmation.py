"""Confirm suspects the same night by fresh runs of the baseline's code and tonight's in turn."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bench.case import Case
from bench.regression.baselines import Run, run_of
from bench.regression.code_tree import (
    CodeTree,
    CodeTreeError,
    current_tree,
    tree_of,
    why_unreachable,
)
from bench.regression.compare import Pair, Screen, recorded, values_at
from bench.regression.confirm import Verdict, run_order, verdict
from bench.regression.detectable import RELEVANT, plan_runs
from bench.regression.finding import FINISHES, FIXED, THROTTLED, Finding
from bench.regression.fresh import FreshRun, run_block, run_fresh
from bench.regression.measures import QUALITY, SPEED, Array, Measure
from bench.regression.memory import RERUNS, memory_limit, memory_regressed
from bench.regression.outcomes import Outcome
from bench.regression.paired_scores import paired_finding
from bench.regression.screen import Baseline
from bench.regression.series import Quantity
from bench.settings import Settings

FIRST_REPLICATE = 100
"""First seed of confirming runs, so that none was in a screen or a baseline."""

_DENSE = {"pixel_auroc", "pixel_ap", "aupro_30"}
"""Metrics over so many pixels that a few of them cannot cause a loss: where runs kept no maps to
test, its size decides."""

_GOOD = frozenset({"first", "ok", "improved", "changed"})
"""Outcomes of runs whose code may count as good."""

_EDITED = "the code was edited before the confirming runs; run the command again"

Sides = dict[str, list[FreshRun]]
_Row = tuple[Measure, Baseline, int]  # of one quantity; int is the number of runs in its screen


@dataclass(frozen=True)
class ConfirmationContext:
    """Settings and folders of confirming runs.

    Attributes:
        settings: Options of the session.
        folder: Folder of the runs; existing ones are not repeated.
        trees: Folder of worktrees.
        busy: Whether to use speeds that were measured while others used the machine.
        commit: Commit of tonight's code, which runs in a worktree of its own, so that edits during
            the night do not count; None for code that differs from every commit.
        codes: Hash of the code that ran tonight by configuration.
    """

    settings: Settings
    folder: Path
    trees: Path
    busy: bool = False
    commit: str | None = None
    codes: Mapping[str, str] = field(default_factory=dict)

    def tonights_tree(self) -> CodeTree:
        """Return the tree of tonight's code.

        Raises:
            CodeTreeError: No worktree of its commit can be made.
        """
        return tree_of(self.commit, self.trees) if self.commit else current_tree()

    def has_changed(self, runs: Iterable[FreshRun]) -> bool:
        """Return whether any fresh run of tonight's code ran different code."""
        return any(
            wanted != run.record.code.get("hash")
            for run in runs
            if run.record and (wanted := self.codes.get(run.record.case.configuration))
        )


def confirm(
    context: ConfirmationContext,
    cases: Sequence[Case],
    pair: Pair,
    suspects: Sequence[Finding],
    screens: Sequence[Screen],
) -> list[Finding]:
    """Return the suspects of one configuration, updated with the results of fresh runs.

    Args:
        context: Settings and folders of the runs.
        cases: A case of the configuration, or one of each category that it is the mean of.
        pair: Its runs and baseline.
        suspects: The suspected findings.
        screens: The tests that raised them, for levels and spreads.
    """
    # A model without randomness has exact scores, but its speeds and memory vary.
    exact = [finding for finding in suspects if finding.method == FIXED]
    varying = [finding for finding in suspects if finding.method != FIXED]
    findings: list[Finding] = []
    for asked in filter(None, (exact, varying)):
        base = base_of(pair, [finding.quantity for finding in asked])
        if base is None:
            reason = "not confirmed: no run that was judged good has all of these quantities"
            findings += [replace(finding, method=reason) for finding in asked]
            continue
        try:
            trees = _trees(context, base)
        except CodeTreeError as error:
            findings += [replace(finding, method=f"not confirmed: {error}") for finding in asked]
            continue
        if asked is exact:
            results = _fixed(context, cases[0], trees, base, asked)
        else:
            results = _varying(context, cases, pair, trees, asked, screens)
        findings += [replace(finding, base_commit=base.commit) for finding in results]
    return findings


def _trees(context: ConfirmationContext, base: Run) -> dict[str, CodeTree]:
    """Return the trees of a baseline's code and of tonight's.

    Raises:
        CodeTreeError: One of them cannot be run.
    """
    if why := why_unreachable(base.commit, base.dirty):
        raise CodeTreeError(why)
    return {"A": tree_of(str(base.commit), context.trees), "B": context.tonights_tree()}


def base_of(pair: Pair, quantities: Iterable[str]) -> Run | None:
    """Return the run whose code counts as good and runs again; None if there is none.

    It is the first reachable one of `Pair.bases` that passed and has every quantity: a speed that
    was not tested, because the machine was busy, is not kept with its run.

    Args:
        pair: Runs and baseline.
        quantities: What is suspected.
    """
    names = list(quantities)
    good = [
        run
        for run in pair.bases
        if run.outcome in _GOOD and all(name in run.values for name in names)
    ]
    return first_reachable(good) or next(iter(good), None)


def first_reachable(runs: Iterable[Run]) -> Run | None:
    """Return the first run whose code can run again; None if there is none.

    Thus a night with uncommitted changes, or one whose commit is gone, does not hide the others.
    """
    seen: dict[tuple[str | None, bool | None], bool] = {}
    for run in runs:
        code = run.commit, run.dirty
        if code not in seen:
            seen[code] = why_unreachable(*code) is None
        if seen[code]:
            return run
    return None


def _varying(
    context: ConfirmationContext,
    cases: Sequence[Case],
    pair: Pair,
    trees: Mapping[str, CodeTree],
    suspects: Sequence[Finding],
    screens: Sequence[Screen],
) -> list[Finding]:
    """Check suspects that vary from run to run by one or two blocks of fresh runs."""
    rows = _rows(suspects, screens, pair)
    # A fixed model has the same scores, and does the same work, for every seed.
    count = max([int(plan_runs(*row)[0]) for row in rows.values()], default=RERUNS)
    apart = any(Quantity(finding.quantity).kind != "quality" for finding in suspects)
    folder, parts = context.folder / pair.series.configuration, len(cases)
    blocks = [_block(context, cases, trees, count, folder / "block0", apart)]
    if any(_verdict(row, blocks, name, parts).passed for name, row in rows.items()):
        blocks.append(_block(context, cases, trees, count, folder / "block1", apart))
    if context.has_changed(run for sides in blocks for run in sides["B"]):
        return [replace(finding, outcome="invalid", method=_EDITED) for finding in suspects]
    return [
        _with_block_verdict(finding, rows.get(finding.quantity), blocks, parts)
        for finding in suspects
    ]


def confirm_failure(
    context: ConfirmationContext, case: Case, window: Sequence[Run], message: str
) -> Finding:
    """Check whether a case that no longer finishes still finishes with the baseline's code.

    Args:
        context: Settings and folders of the runs.
        case: The case.
        window: Runs of its baseline, oldest first.
        message: How it failed tonight.
    """
    base = first_reachable(reversed(window)) or window[-1]
    finding = Finding(case.configuration, FINISHES, "invalid", 1, 0, 1, method=f"fails: {message}")
    try:
        trees = _trees(context, base)
    except CodeTreeError as error:
        return replace(finding, method=f"{finding.method} (not confirmed: {error})")
    folder = context.folder / case.configuration / f"failure{case.replicate}"
    again = run_fresh(trees["B"], [case], context.settings, folder / "B")[0]
    if again.record is not None:
        return replace(finding, method=f"failed once and then finished: {message}")
    before = run_fresh(trees["A"], [case], context.settings, folder / "A")[0]
    if before.record is None:
        return replace(finding, method=f"{finding.method} (and so does the baseline's code)")
    why = f"fails twice, and finishes with {str(base.commit)[:7]}: {message}"
    return replace(finding, outcome="regressed", method=why, base_commit=base.commit)


def _rows(suspects: Sequence[Finding], screens: Sequence[Screen], pair: Pair) -> dict[str, _Row]:
    """Return the inputs of the test of each suspected quantity that has one."""
    names = {finding.quantity for finding in suspects}
    rows = {}
    for screen in screens:
        if screen.quantity in names and pair in screen.pairs:
            baseline = screen.baseline.take(np.array([screen.pairs.index(pair)]))
            ran = len(values_at(screen.quantity, pair.tonight))
            rows[screen.quantity] = screen.measure, baseline, max(ran, 1)
    return rows


def _block(
    context: ConfirmationContext,
    cases: Sequence[Case],
    trees: Mapping[str, CodeTree],
    count: int,
    folder: Path,
    apart: bool,
) -> Sides:
    block = int(folder.name.removeprefix("block"))
    seeds = range(FIRST_REPLICATE + block * count, FIRST_REPLICATE + (block + 1) * count)
    wanted = [replace(case, replicate=seed) for seed in seeds for case in cases]
    order = run_order(count) if apart else ("AB", "BA")[block]
    settings = context.settings if apart else replace(context.settings, measurements=False)
    return run_block(order, trees, wanted, settings, folder)


def _values(measure: Measure, runs: Sequence[FreshRun], quantity: str, parts: int) -> Array:
    """Return ``(1, n)`` values on the scale of the tests, NaN where a run did not finish.

    Args:
        measure: What was measured.
        runs: Fresh runs; for a mean, all categories of a seed are consecutive.
        quantity: Name of the quantity.
        parts: Number of categories that a value is the mean of; 1 for a case.
    """
    values = []
    for run in runs:
        measured = values_at(quantity, [run_of(run.record)]) if run.record else []
        values.append(measured[0] if measured else math.nan)
    return measure.transform(np.reshape(values, (-1, parts)).mean(1)[None])


def _verdict(row: _Row, blocks: Sequence[Sides], quantity: str, parts: int) -> Verdict:
    measure, baseline, tonight = row
    base, head = (
        [_values(measure, sides[letter], quantity, parts) for sides in blocks] for letter in "AB"
    )
    return verdict(measure, baseline, base, head, tonight)


def _with_block_verdict(
    finding: Finding, row: _Row | None, blocks: Sequence[Sides], parts: int
) -> Finding:
    """Return a suspect, updated with the verdict of the blocks."""
    problems = [run.problem for sides in blocks for runs in sides.values() for run in runs]
    problems = [problem for problem in problems if problem]
    if row is None:
        return _memory(finding, blocks, problems)
    measure = row[0]
    every = [run.record for sides in blocks for runs in sides.values() for run in runs]
    if measure == SPEED and any(record and record.throttled for record in every):
        return replace(finding, outcome="invalid", method=f"{THROTTLED} in a fresh run")
    result = _verdict(row, blocks, finding.quantity, parts)
    runs = sum(len(sides["A"]) for sides in blocks) // parts
    outcome, method = _outcome_and_method(result, runs, problems)
    levels = [float(measure.restore(level)) for level in result.levels]
    return replace(
        finding,
        outcome=outcome,
        base=recorded(finding.quantity, levels[0]),
        tonight=recorded(finding.quantity, levels[1]),
        loss=result.drop,
        low=result.low,
        high=result.high,
        p=result.p,
        method=method,
    )


def _outcome_and_method(result: Verdict, runs: int, problems: Sequence[str]) -> tuple[Outcome, str]:
    """Return the outcome of a suspect, and the test or the reason behind it.

    Args:
        result: The verdict of the blocks.
        runs: Number of fresh runs of either side.
        problems: Why fresh runs did not finish.
    """
    if result.reason == "two modes":
        reason = f"{runs} fresh runs of either side have two speeds (two modes) and overlap"
        return "underpowered", f"{reason}: no test is fair"
    if result.reason == "invalid" and problems:
        return "invalid", f"fresh runs did not finish: {problems[0]}"
    if result.reason == "invalid":
        return "underpowered", "fresh runs did not all measure it"
    how = (
        ", by seed" if result.paired else ", by their order (two modes)" if result.separated else ""
    )
    method = f"{runs} fresh runs of either side{how}"
    return ("regressed", method) if result.regressed else ("ok", f"not confirmed by {method}")


def _memory(finding: Finding, blocks: Sequence[Sides], problems: Sequence[str]) -> Finding:
    sizes = {
        letter: [
            run.record.measurements.get(finding.quantity)
            for sides in blocks
            for run in sides[letter]
            if run.record
        ]
        for letter in "AB"
    }
    base, head = ([float(size) for size in sizes[letter] if size] for letter in "AB")
    if not base or len(head) < RERUNS:
        reason = problems[0] if problems else "no size was measured"
        return replace(finding, outcome="invalid", method=f"fresh runs did not finish: {reason}")
    level, now = float(np.median(base)), float(np.median(head))
    sure = memory_regressed(level, head)
    count = f"{len(head)} of {len(head)} fresh runs above the limit"
    return replace(
        finding,
        outcome="regressed" if sure else "ok",
        base=level,
        tonight=now,
        loss=Quantity(finding.quantity).loss(level, now),
        mde=memory_limit(level) / level,
        method=count if sure else f"not confirmed by {len(head)} fresh runs",
    )


def _fixed(
    context: ConfirmationContext,
    case: Case,
    trees: Mapping[str, CodeTree],
    base: Run,
    suspects: Sequence[Finding],
) -> list[Finding]:
    """Check suspects of a model without randomness by one run of each side."""
    folder = context.folder / case.configuration / "fixed"
    settings = replace(context.settings, measurements=False, keep_maps=True)
    sides = run_block("AB", trees, [case], settings, folder)
    before, after = sides["A"][0], sides["B"][0]
    if before.record is None or after.record is None:
        reason = before.problem or after.problem
        return [
            replace(f, outcome="invalid", method=f"fresh runs did not finish: {reason}")
            for f in suspects
        ]
    if context.has_changed([after]):
        return [replace(finding, outcome="invalid", method=_EDITED) for finding in suspects]
    old, new = run_of(before.record), run_of(after.record)
    return [_exact(finding, old, new, base, before, after) for finding in suspects]


def _exact(
    finding: Finding, old: Run, new: Run, base: Run, before: FreshRun, after: FreshRun
) -> Finding:
    name = finding.quantity
    if name not in old.values or name not in new.values:
        return replace(finding, outcome="invalid", method=f"a fresh run has no {name}")
    loss = Quantity(name).loss(old.values[name], new.values[name])
    exact = replace(finding, base=old.values[name], tonight=new.values[name], loss=loss)
    if abs(loss) < 1e-9:
        moved = abs(old.values[name] - base.values[name]) > 1e-9
        why = "the baseline's code gives this value too: the machine or its libraries changed"
        return replace(exact, outcome="env-shift" if moved else "ok", method=why if moved else "")
    exactly: Outcome = "regressed" if loss > RELEVANT * QUALITY.delta else "changed"
    paired = paired_finding(name, before, after)
    if paired is not None and paired.outcome == "ok":
        why = "equal scores and another value: the metric's own code changed"
        return replace(exact, outcome=exactly, method=why)
    if paired is not None:
        exact = replace(exact, p=paired.p, low=paired.low, high=paired.high)
        return replace(exact, outcome=paired.outcome, method=paired.method)
    if name.rpartition(".")[2] not in _DENSE:
        exactly = "changed"
    return replace(exact, outcome=exactly, method="exact values of either side")
