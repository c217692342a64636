"""Simulate bisections and slow drifts."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.stats import t as student

from bench.regression.bisection import (
    LEVEL_RUNS,
    MAX_RUNS,
    Bisection,
    BisectionError,
    End,
    touch_prior,
)
from bench.regression.drift import LIMIT, cusum, drift_score
from bench.regression.measures import SPEED
from bench.regression.screen import fit_baseline
from bench.regression.simulation.noise import Cases, Noise

COMMITS = 64
LEAD = 4.0
"""Drop between the levels of a bisection, in standard deviations of one run: 4 % of a speed."""

TOUCHING = 0.15


@dataclass(frozen=True)
class SearchTally:
    """The outcome of bisections.

    Attributes:
        searches: Searches.
        right: Searches that ended at the right commit.
        sure: Those of them that ended because they were sure enough, not at the limit of runs.
        runs: Mean number of runs between the ends.
        max_runs: Largest number of runs.
    """

    searches: int
    right: int
    sure: int
    runs: float
    max_runs: int


def search_commits(
    searches: int,
    random: Generator,
    *,
    tails: float = np.inf,
    lead: float = LEAD,
    informative: bool = True,
    skipped: float = 0.0,
    level_runs: int = LEVEL_RUNS,
    repeating: bool = False,
    most_runs: int = MAX_RUNS,
) -> SearchTally:
    """Return how often a bisection of 64 commits finds the one that made a drop.

    Args:
        searches: Number of searches.
        random: Source of all draws.
        tails: Degrees of freedom of the noise of unit variance; infinite is normal.
        lead: Drop, in standard deviations of one run.
        informative: Whether the prior knows which commits touch the case's files.
        skipped: Share of commits that cannot be run.
        level_runs: Runs of either end.
        repeating: Whether equal code repeats a seed's run exactly.
        most_runs: Runs after which a search ends, however sure it is.
    """
    right, sure, counts = 0, 0, []
    for _ in range(searches):
        touches = random.random(COMMITS) < TOUCHING
        touches[random.integers(COMMITS)] = True
        culprit = int(random.choice(np.flatnonzero(touches)))
        ends = [[_draw(tails, random) for _ in range(level_runs)] for _ in range(2)]
        try:
            search = Bisection(
                [str(index) for index in range(COMMITS)],
                touch_prior(touches.tolist() if informative else [False] * COMMITS),
                good=ends[0],
                bad=[value - lead for value in ends[1]],
                most_runs=most_runs,
            )
        except BisectionError:  # the two ends did not show the drop
            counts.append(0)
            continue
        for index in np.flatnonzero(random.random(COMMITS) < skipped):
            search.skip(str(index))
        while not search.done and (commit := search.next_commit):
            fallen = int(commit) >= culprit
            value = (-lead if fallen else 0.0) + _draw(tails, random)
            end: End = "bad" if fallen else "good"
            search.add(commit, value, end if repeating else "")
        counts.append(len(search.runs))
        is_right = str(culprit) in search.suspects
        right += is_right
        sure += is_right and search.sure
    return SearchTally(searches, right, sure, float(np.mean(counts)), max(counts))


@dataclass(frozen=True)
class DriftTally:
    """The reports of the drift net.

    Attributes:
        series: Series of nights.
        nights: Nights of each.
        false: Reports on series without a drift, per 1,000 series and nights.
        caught: Share of the others that was reported.
        delay: Median nights until the report.
    """

    series: int
    nights: int
    false: float
    caught: float
    delay: float


def net_drifts(
    noise: Noise, series: int, nights: int, slope: float, random: Generator
) -> DriftTally:
    """Return how often the drift net reports stable series, and slowly declining ones.

    Args:
        noise: Family of noise, of speeds.
        series: Number of series.
        nights: Nights of each.
        slope: Decline a night, in standard deviations of a run.
        random: Source of all draws.
    """
    crossings = []
    for decline in (0.0, slope):
        cases = Cases(noise, SPEED, series, random)
        baseline = fit_baseline(SPEED, cases.run(14))
        drops = decline * cases.deviation[:, None] * np.arange(1, nights + 1)
        values = cases.run(nights, drops)
        errors = np.sqrt(baseline.variance * (1 + baseline.uncertainty))[:, None]
        t = (baseline.center[:, None] - values) / errors
        crossings.append(cusum(drift_score(student.sf(t, baseline.degrees[:, None]))) >= LIMIT)
    # A report starts the sum anew; here every series is followed to its first one.
    quiet, falling = (np.where(over.any(1), over.argmax(1) + 1, nights) for over in crossings)
    reported = crossings[1].any(1)
    return DriftTally(
        series,
        nights,
        1000 * float(crossings[0].any(1).sum() / quiet.sum()),
        float(reported.mean()),
        float(np.median(falling[reported])) if reported.any() else np.nan,
    )


def _draw(tails: float, random: Generator) -> float:
    if np.isinf(tails):
        return float(random.standard_normal())
    return float(random.standard_t(tails) / np.sqrt(tails / (tails - 2)))
