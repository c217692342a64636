"""Find the commit that made a loss: run commits in worktrees until the answer is sure enough."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path

import numpy as np

from bench.case import Case
from bench.provenance.commit import short_commit
from bench.regression.baselines import run_of
from bench.regression.bisection import (
    CONFIDENCE,
    LEVEL_RUNS,
    MAX_RUNS,
    Bisection,
    BisectionError,
    touch_prior,
)
from bench.regression.code_tree import CodeTreeError, git, remove_trees, tree_of
from bench.regression.commit_path import (
    changed_files,
    commits_between,
    merges_of_branch,
    with_other_names,
)
from bench.regression.compare import recorded, values_at
from bench.regression.confirmation import FIRST_REPLICATE
from bench.regression.ends import Ends, ends_of_night
from bench.regression.finding import FINISHES
from bench.regression.fresh import FreshRun, run_fresh, settings_digest
from bench.regression.measures import QUALITY, SPEED, Measure
from bench.regression.paired_scores import same_results
from bench.regression.series import Quantity
from bench.settings import Settings
from datasets_lib.atomic import atomic_path

_ALWAYS = ("models/catalog", "datasets_lib/catalog", "pyproject.toml")
"""What any case may depend on without importing it."""


@dataclass(frozen=True)
class SearchTarget:
    """What is searched for.

    Attributes:
        case: The case.
        quantity: What got worse.
        good: Full hash of a commit where it was good.
        bad: Full hash of a later one where it was bad.
        fixed: Whether equal code gives equal values, so that one run of a commit is enough.
        confirmed: Folder of the fresh runs that confirmed the alarm; None if there is none.
    """

    case: Case
    quantity: str
    good: str
    bad: str
    fixed: bool
    confirmed: Path | None = None

    @property
    def finishes(self) -> bool:
        """Return whether it is a case that no longer finishes, not a value that got worse."""
        return self.quantity == FINISHES

    @property
    def measure(self) -> Measure:
        """Return the scale on which runs are compared."""
        return QUALITY if Quantity(self.quantity).kind == "quality" else SPEED


class Search:
    """A search with its state on disk: the same command resumes it; other options start another.

    Args:
        target: What is searched for.
        settings: Options of the session.
        depends: Files that the case depends on now; those at the two commits are added.
        log: Prints a line.
        most_runs: Runs after which the search ends, however sure it is.
    """

    def __init__(
        self,
        target: SearchTarget,
        settings: Settings,
        depends: Sequence[str],
        log: Callable[[str], None],
        most_runs: int = MAX_RUNS,
    ) -> None:
        self.target, self._log, self._most_runs = target, log, most_runs
        scored = target.finishes or Quantity(target.quantity).kind == "quality"
        self._settings = replace(settings, measurements=not scored)
        self._depends = frozenset(depends)
        span = f"{target.good[:10]}-{target.bad[:10]}"
        name = f"{target.case.configuration}-{target.quantity}-{span}"
        digest = settings_digest(self._settings)
        self._folder = settings.runs_dir / "bisect" / f"{name}-{digest}"
        self._state = self._folder / "state.json"
        self._trees = self._folder / "trees"  # its own: other searches may run at the same time

    def run(self) -> Bisection:
        """Run the search to its end, remove its worktrees, and return it.

        Raises:
            BisectionError: There is no loss between the two commits.
            CodeTreeError: A commit cannot be reached.
        """
        try:
            return self._search()
        finally:
            remove_trees(self._trees)

    def _search(self) -> Bisection:
        ends = self._ends()
        search = self._begun(ends)
        search.most_runs = self._most_runs  # more may be allowed to a search that goes on
        while not search.done:
            commit = search.next_commit
            assert commit is not None
            if self.target.fixed and any(ran == commit for ran, *_ in search.runs):
                break  # another run of it would say the same
            number = self._number(search, ends, commit)
            run = self._run(commit, number)
            if run is None:
                search.skip(commit)
            else:
                value = self._value(run)
                search.add(commit, value, ends.repeated(number, run))
                self._log(
                    f"{short_commit(commit)}  {self._text(value)}  so far likeliest: "
                    f"{short_commit(search.suspects[-1])} ({100 * search.confidence:.0f} %)"
                )
            self._keep(search)
        return search

    def _begun(self, ends: Ends) -> Bisection:
        if self._state.is_file():
            search = Bisection.from_json(self._state.read_text(encoding="utf-8"))
            self._log(f"goes on after {len(search.runs)} runs ({self._state})")
            return search
        target = self.target
        commits = commits_between(target.good, target.bad)
        if not commits:
            raise BisectionError(
                "--good and --bad are the same commit: wanted a later --bad, where it is worse."
            )
        self._log_merges(commits)
        touches = self._touches(commits, ends.files)
        self._log(f"{len(commits)} commits, of which {sum(touches)} touch files of the case")
        good, bad = ([self._value(run) for run in side.values()] for side in (ends.good, ends.bad))
        self._check_loss(float(np.mean(good)), float(np.mean(bad)))
        search = Bisection(commits, touch_prior(touches), good, bad, fixed=target.fixed)
        self._keep(search)
        return search

    def _check_loss(self, good: float, bad: float) -> None:
        """Log the values of the two ends, and refuse the search if there is no loss."""
        target, ends = self.target, (self._text(good), self._text(bad))
        good_commit, bad_commit = short_commit(target.good), short_commit(target.bad)
        self._log(f"good {good_commit}  {ends[0]}\nbad  {bad_commit}  {ends[1]}")
        if not bad < good:
            raise BisectionError(
                f"{target.quantity} is not worse at {bad_commit} ({ends[1]}) than at "
                f"{good_commit} ({ends[0]}): there is no loss to search for. Name other "
                "commits with --good and --bad, or another --quantity."
            )

    def _text(self, value: float) -> str:
        """Format a value on the scale of the tests in its recorded unit."""
        if self.target.finishes:
            return "finishes" if value else "fails"
        name, level = self.target.quantity, float(self.target.measure.restore(value))
        return Quantity(name).text(recorded(name, level))

    def _log_merges(self, commits: Sequence[str]) -> None:
        """Log the merges if the commits follow a branch instead of the mainline."""
        if merges := merges_of_branch(self.target.good, commits):
            self._log(
                f"good {short_commit(self.target.good)} is on a branch that "
                f"{', '.join(map(short_commit, merges))} merged: the search follows that branch"
            )

    def _touches(self, commits: Sequence[str], files: Iterable[str]) -> list[bool]:
        """Return whether each commit changed a file of the case, by any name it had or has."""
        changes = [changed_files(*step) for step in pairwise([self.target.good, *commits])]
        depends = with_other_names(self._depends.union(files), changes)
        return [
            any(name in depends or name.startswith(_ALWAYS) for name in chain(*change))
            for change in changes
        ]

    def _ends(self) -> Ends:
        """Return runs of both ends: the confirming ones of the night, or new ones."""
        return self._ends_of_night() or self._new_ends()

    def _ends_of_night(self) -> Ends | None:
        """Return the night's runs if one of them can be repeated exactly here; None otherwise.

        Then machine, libraries and options are those of the night. Speeds depend on the hour too.
        """
        target = self.target
        if target.confirmed is None or target.fixed or target.measure != QUALITY:
            return None
        ends = ends_of_night(target.confirmed, target.quantity, target.good, target.bad)
        telling = ends.telling
        if len(telling) < LEVEL_RUNS:
            return None
        run = self._run(target.good, telling[0])
        if run is None or not same_results(target.quantity, run, ends.good[telling[0]]):
            self._log("the nightly run does not repeat exactly here: both ends run again")
            return None
        self._log(f"both ends keep the nightly run's {len(ends.good)} and {len(ends.bad)} runs")
        return ends

    def _new_ends(self) -> Ends:
        """Run both ends in turn, so that a machine that slows down favors neither."""
        target = self.target
        runs: dict[str, dict[int, FreshRun]] = {target.good: {}, target.bad: {}}
        for number in range(1 if target.fixed else LEVEL_RUNS):
            for commit, of_end in runs.items():
                if (run := self._run(commit, number)) is not None:
                    of_end[number] = run
        for commit, of_end in runs.items():
            if not of_end:
                raise BisectionError(
                    f"Wanted a commit that runs, found that {short_commit(commit)} does not: name "
                    "another."
                )
        return Ends(target.quantity, runs[target.good], runs[target.bad])

    def _number(self, search: Bisection, ends: Ends, commit: str) -> int:
        """Return the number of the next run's seed: a new one after each run that repeats no end.

        Runs with the same seed are not independent, whatever their commits. An exact repetition is
        evidence without being independent, so its seed serves other commits too.
        """
        if self.target.fixed:
            return 0
        used = sum(not end or ran == commit for ran, _, end in search.runs)
        telling = ends.telling
        if used < len(telling):
            return telling[used]
        return max((*ends.good, *ends.bad)) + 1 + used

    def _run(self, commit: str, number: int) -> FreshRun | None:
        """Return the run of a commit with a seed; None if it does not run or measures nothing."""
        target = self.target
        replicate = target.case.replicate if target.fixed else FIRST_REPLICATE + number
        case = replace(target.case, replicate=replicate)
        try:
            tree = tree_of(commit, self._trees)
        except CodeTreeError as error:
            self._log(f"{short_commit(commit)}  skipped: {error}")
            return None
        folder = self._folder / commit[:12] / str(number)
        run = run_fresh(tree, [case], self._settings, folder)[0]
        if target.finishes:
            return run
        if run.record is None:
            self._log(f"{short_commit(commit)}  skipped: {run.problem.splitlines()[0]}")
            return None
        return None if math.isnan(self._value(run)) else run

    def _value(self, run: FreshRun) -> float:
        """Return the value of a finished run on the scale of the tests; NaN if it has none.

        For a case that no longer finishes it is 1 if the run finished, else 0.
        """
        if self.target.finishes:
            return float(run.record is not None)
        assert run.record is not None
        values = values_at(self.target.quantity, [run_of(run.record)])
        return float(self.target.measure.transform(values[0])) if values else math.nan

    def _keep(self, search: Bisection) -> None:
        with atomic_path(self._state) as temporary:
            temporary.write_text(search.to_json(), encoding="utf-8")


def answer(search: Bisection, good: str, root: Path) -> str:
    """Return the answer in words.

    Args:
        search: The search.
        good: Full hash of the commit before its first one.
        root: The repository.
    """
    between = f"after {len(search.runs)} runs between the two commits"
    lines = [f"{100 * search.confidence:.0f} % sure {between}:"]
    for before, commit in pairwise([good, *search.commits]):
        if commit in search.suspects:
            words = ("--no-patch", "--format=%h %ad %an: %s", "--date=short")
            names = [names[-1] for names in changed_files(before, commit, root)]
            lines.append(f"  {git(root, 'show', *words, commit)}")
            lines.append(f"    {', '.join(names[:4])}{' …' if len(names) > 4 else ''}")
    if not search.sure:
        lines.append(_unsure(search))
    return "\n".join(lines)


def _unsure(search: Bisection) -> str:
    """Return what an answer lacks, and what would help."""
    wanted = f"Wanted {100 * CONFIDENCE:.0f} %: "
    if search.confidence >= CONFIDENCE:
        missing = " and ".join(map(short_commit, search.unproven))
        wanted = f"Wanted a run of {missing} to confirm it: "
    if len(search.runs) >= search.most_runs:
        return f"{wanted}--runs {2 * search.most_runs} goes on from here."
    return f"{wanted}runs differ too little for more certainty."
