"""Find the commit that caused a drop, although every single run is noisy.

Unknown are the first commit at the lower level, both levels and the spread of runs. A few runs of
both ends, and every run between them, are evidence of each. The posterior of the commit starts
from a prior that is nearly zero for commits that touch no file of the case, and integrates over the
others: flat levels, and 1/σ or what is known of σ, which gives Student-t likelihoods in closed
form. A run that repeats an end's run of the same seed exactly needs no statistics: nothing between
the two changed what it computes. The next commit to run is the one whose result is expected to
leave the least entropy. No prior is a verdict: the search ends once the suspect and the commit
before it have run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from bench.regression.measures import Array

CONFIDENCE = 0.97
"""Posterior of a commit, or of commits that cannot be told apart, at which the search ends."""

LEVEL_RUNS = 4
"""Runs of either end before a search."""

MAX_RUNS = 10
"""Runs between the ends after which a search names the likeliest commit, sure or not.

With 24 it would be right 1.0 points more often for drops of 3 standard deviations, which take the
most runs (`python -m bench simulate`).
"""

UNTOUCHED = 0.01
"""Prior of all commits together that touch no file of the case, where others do."""

_CHANCE_REPEAT = 1e-3  # that a run repeats one end and is at the level of the other
_GRID = 201  # values of a run over which its information is summed
_LEAST_SHARE = 20.0  # largest drop in deviations, however equal the runs are
_SURE = 20.0  # degrees of freedom of the deviation of runs that are known to be equal
_TAIL = 1e-4  # chance of a value beyond either end of that grid


End = Literal["good", "bad", ""]
"""The end whose run of the same seed a run repeats exactly; empty for neither."""


class BisectionError(ValueError):
    """A search cannot start or be resumed; the message says why and what to do."""


@dataclass
class Bisection:
    """A search for the commit that made a drop; resumable, as it is all in these fields.

    Attributes:
        commits: Candidates after the good commit, oldest first; the last one is known to be bad.
        prior: Prior probability of each, of the same length.
        good: Runs of the commit before the candidates, on the scale of the tests; higher is better.
        bad: Runs of the last candidate.
        fixed: Whether runs of a commit are equal but for rounding.
        runs: Commit of every run between the ends, its value on the scale of the tests, and the end
            that it repeats.
        skipped: Commits that cannot be run, such as ones that do not build.
        most_runs: Runs after which the search ends, however sure it is.
    """

    commits: list[str]
    prior: list[float]
    good: list[float]
    bad: list[float]
    fixed: bool = False
    runs: list[tuple[str, float, End]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    most_runs: int = MAX_RUNS

    def __post_init__(self) -> None:
        _check(self)

    @property
    def posterior(self) -> Array:
        """Return the probability of each commit of being the first bad one, ``(K,)``."""
        with np.errstate(divide="ignore"):
            logs = np.log(np.asarray(self.prior, dtype=float)) + self._fit().log_likelihood
        weights = np.exp(logs - logs.max())
        return np.asarray(weights / weights.sum())

    @property
    def suspects(self) -> list[str]:
        """Return the likeliest commit and those that cannot be told apart from it, oldest first.

        A skipped commit cannot be told apart from the next one that runs.
        """
        return [self.commits[index] for index in self._groups()[self._best_group()]]

    @property
    def confidence(self) -> float:
        """Return the posterior of `suspects` together."""
        return float(self.posterior[self._groups()[self._best_group()]].sum())

    @property
    def unproven(self) -> list[str]:
        """Return those of the last suspect and the commit before the first one that have not run.

        A prior can be wrong about files: until both have run, the answer may rest on it alone.
        """
        return [self.commits[index] for index in self._unproven()]

    @property
    def sure(self) -> bool:
        """Return whether the confidence is high enough, and runs on either side support it."""
        return self.confidence >= CONFIDENCE and not self._unproven()

    @property
    def done(self) -> bool:
        """Return whether the answer is sure, or no run is left that could make it so."""
        return len(self.runs) >= self.most_runs or self.sure or self.next_commit is None

    @property
    def next_commit(self) -> str | None:
        """Return the commit whose run is expected to leave the least entropy; None if none.

        Once the confidence is high enough, it is one of those that are `unproven`.
        """
        unproven = self._unproven() if self.confidence >= CONFIDENCE else []
        indices = unproven or self._runnable()
        if not indices:
            return None
        below = np.cumsum(self.posterior)[indices]  # chance that the change is at or before it
        gains = self._information(below)
        return self.commits[indices[int(np.argmax(gains))]]

    def add(self, commit: str, value: float, repeats: End = "") -> None:
        """Add a run.

        Args:
            commit: The commit that ran, one of ``commits``.
            value: Its value on the scale of the tests.
            repeats: The end whose run of the same seed it repeats exactly.
        """
        self._known(commit)
        self.runs.append((commit, float(value), repeats))

    def skip(self, commit: str) -> None:
        """Leave out a commit that cannot be run."""
        self._known(commit)
        if commit not in self.skipped:
            self.skipped.append(commit)

    def to_json(self) -> str:
        """Return the search as JSON, which `from_json` reads."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Bisection":
        """Return the search that `to_json` wrote.

        Raises:
            BisectionError: The text is not a search.
        """
        try:
            state: dict[str, Any] = json.loads(text)
            runs = [(str(commit), float(value), end) for commit, value, end in state.pop("runs")]
            return cls(**state, runs=runs)
        except BisectionError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BisectionError(
                f"wanted the state of a bisection, found something else ({error}). "
                "Delete the file to start anew."
            ) from None

    def _known(self, commit: str) -> None:
        if commit not in self.commits:
            raise BisectionError(
                f"wanted one of the {len(self.commits)} candidates, found commit {commit}"
            )

    def _runnable(self) -> list[int]:
        # The last commit is known to be bad: running it would add nothing.
        last = len(self.commits) - 1
        skipped = set(self.skipped)
        return [index for index in range(last) if self.commits[index] not in skipped]

    def _groups(self) -> list[list[int]]:
        """Group commit indices; commits of a group cannot be told apart.

        No commit between two of a group can run.
        """
        runnable = set(self._runnable())
        groups: list[list[int]] = [[]]
        for index in range(len(self.commits)):
            groups[-1].append(index)
            if index in runnable:
                groups.append([])
        return groups

    def _best_group(self) -> int:
        posterior = self.posterior
        return int(np.argmax([posterior[group].sum() for group in self._groups()]))

    def _unproven(self) -> list[int]:
        group = self._groups()[self._best_group()]
        ends = {-1, len(self.commits) - 1}  # both have run before the search
        ran = ends | {self.commits.index(commit) for commit, *_ in self.runs}
        return [index for index in (group[0] - 1, group[-1]) if index not in ran]

    def _fit(self) -> "_Fit":
        """Return the fit to all runs with each commit in turn as the first bad one."""
        index_of = {commit: index for index, commit in enumerate(self.commits)}
        last = len(self.commits) - 1
        # A repeated run equals a run of an end: it adds nothing about the levels and the spread.
        between = [(index_of[commit], value) for commit, value, end in self.runs if not end]
        ends = [-1] * len(self.good) + [last] * len(self.bad)
        indices = np.array([*ends, *(index for index, _ in between)])
        values = np.array([*self.good, *self.bad, *(value for _, value in between)])
        # A run at or after the change is at the bad level.
        fallen = indices >= np.arange(last + 1)[:, None]
        drop = np.mean(self.good) - np.mean(self.bad)
        known = _SURE if self.fixed else 0.0
        squares = max(known, 1.0) * (drop / _LEAST_SHARE) ** 2
        levels, counts = [], []
        for side in (~fallen, fallen):
            counts.append(side.sum(1))
            levels.append((side * values).sum(1) / counts[-1])
            squares = squares + (side * np.square(values - levels[-1][:, None])).sum(1)
        degrees = max(len(values) - 2 + known, 1.0)
        deviation = np.sqrt(squares / degrees)
        logs = -np.log(counts[0] * counts[1]) / 2 - degrees / 2 * np.log(squares)
        # Only a drop is searched for: the other half of the levels' plane is left out.
        error = deviation * np.sqrt(1 / counts[0] + 1 / counts[1])
        logs += np.log(np.maximum(stdtr(degrees, (levels[0] - levels[1]) / error), _TAIL))
        return _Fit(levels[0], levels[1], deviation, degrees, logs + self._repeats(index_of))

    def _repeats(self, index_of: Mapping[str, int]) -> Array:
        """Return the log-likelihood of repeated runs with each commit as the first bad one."""
        logs = np.zeros(len(index_of))
        for commit, _, end in self.runs:
            if end:
                at_bad = np.arange(len(index_of)) <= index_of[commit]
                logs[at_bad != (end == "bad")] += np.log(_CHANCE_REPEAT)
        return logs

    def _information(self, below: Array) -> Array:
        """Return the bits that a run is expected to tell about which of the two levels it has.

        A run of a commit does not change the entropy within the commits up to it, nor within those
        after it, only that of the split between the two. So the least expected entropy is the most
        information about the split, whose chance is ``below`` ``(P,)``. Levels and spread are those
        of the likeliest commit.
        """
        fit, best = self._fit(), int(np.argmax(self.posterior))
        good, bad, deviation = (float(x[best]) for x in (fit.good, fit.bad, fit.deviation))
        reach = -float(stdtrit(fit.degrees, _TAIL)) * deviation
        values = np.linspace(min(good, bad) - reach, max(good, bad) + reach, _GRID)[:, None]
        high, low = (
            (1 + ((values - level) / deviation) ** 2 / fit.degrees) ** (-(fit.degrees + 1) / 2)
            for level in (good, bad)
        )
        density = below * low + (1 - below) * high
        after = below * low / density
        expected = (_entropy(after) * density).sum(0) / density.sum(0)
        return np.asarray(_entropy(below) - expected)


@dataclass(frozen=True)
class _Fit:
    """The fit to all runs with each commit in turn as the first bad one; arrays are ``(K,)``.

    Attributes:
        good: Mean of the runs before it.
        bad: Mean of those from it on.
        deviation: Standard deviation of runs around the two.
        degrees: Its degrees of freedom.
        log_likelihood: Logarithm of the likelihood of all runs, up to a constant.
    """

    good: Array
    bad: Array
    deviation: Array
    degrees: float
    log_likelihood: Array


def touch_prior(touches: Sequence[bool], untouched: float = UNTOUCHED) -> list[float]:
    """Return a prior that depends on which commits touch files of the case.

    Args:
        touches: Whether each commit touches such files, oldest first.
        untouched: Probability of all the others together; flat where no commit touches any.

    Example:
        >>> touch_prior([False, True, True, False], untouched=0.1)
        [0.05, 0.45, 0.45, 0.05]
    """
    total, touching = len(touches), sum(touches)
    if touching in {0, total}:
        return [1 / total] * total
    inside, outside = (1 - untouched) / touching, untouched / (total - touching)
    return [inside if touch else outside for touch in touches]


def _entropy(share: Array) -> Array:
    """Return the entropy of a split in bits."""
    # Away from 0 and 1, where 0 · log 0 is NaN.
    inside = np.clip(share, 1e-300, 1 - 1e-16)
    return np.asarray(-inside * np.log2(inside) - (1 - inside) * np.log2(1 - inside))


def _check(search: Bisection) -> None:
    commits, prior = search.commits, search.prior
    if not commits or len(commits) != len(prior) or len(set(commits)) != len(commits):
        raise BisectionError(
            "wanted different commits, each with a prior, found "
            f"{len(commits)} commits ({len(set(commits))} different) and {len(prior)} priors"
        )
    if min(prior) < 0 or not 0 < sum(prior) < np.inf:
        raise BisectionError("wanted a prior of non-negative numbers that are not all zero")
    if not (search.good and search.bad and np.mean(search.bad) < np.mean(search.good)):
        raise BisectionError(
            f"wanted a bad level below the good one, found runs {search.good} of the good commit "
            f"and {search.bad} of the bad one. Confirm the drop first: without a drop there is no "
            "commit to find."
        )
