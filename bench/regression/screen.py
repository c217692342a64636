"""Screen: tonight's runs against the baseline, with variances shared between cases.

A case has few baseline runs, so its own variance is a poor estimate, but there are many cases.
Their variances are shrunk towards a common one by empirical Bayes (Smyth 2004): the more alike the
cases are, the more each borrows, and the degrees of freedom borrowed make the t test sharper.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, polygamma, psi, stdtr, stdtrit

from bench.regression.measures import Array, Measure
from bench.regression.robust import INEFFICIENCY, huber_scale, inverse_trigamma, normal_residual

CANARIES = 9
"""Unchanged cases of a night that show whether the machine changed."""

SHIFT_LIMIT = 0.01
"""Canary shift of speed, as a logarithm, above which the machine has changed tonight."""

DISCOVERY_RATE = 0.10
"""Share of wrong suspects accepted on the page."""

_MAX_DEGREES = 200.0  # of a prior: from here on a t test takes the variance for known
_MIN_RUNS, _MIN_RESIDUALS = 5, 200  # for the tail of noise
_SMALLEST = 1e-3  # deviation in units of delta: equal runs have no variance to divide by


@dataclass(frozen=True)
class Prior:
    """The prior of a case's variance, from the variances of all cases.

    Attributes:
        degrees: Degrees of freedom that it is worth; 0 for no prior.
        variance: The common variance.
        most_degrees: Degrees of freedom that it may be worth, one standard error above
            ``degrees``: a few cases do not show how alike they are.
        tail: Factor by which runs stray further than normal ones of these variances, at the level
            of the screen; 1 for none.
    """

    degrees: float
    variance: float
    most_degrees: float = 0.0
    tail: float = 1.0


@dataclass(frozen=True)
class Baseline:
    """Levels and spreads of cases, on the scale of the tests; arrays are ``(N,)``.

    Attributes:
        center: Level; NaN without a baseline run.
        variance: Variance of one run, shrunk; NaN where nothing is known of it.
        cautious: The same, shrunk further if it is low, as the prior may be worth more degrees
            than estimated: what plans and promises use. Of few cases, those that seem to vary
            least owe that partly to luck.
        degrees: Degrees of freedom of ``variance``, own and borrowed.
        uncertainty: Variance of ``center`` in units of ``variance``.
        runs: Number of baseline runs.
        prior: What was borrowed.
    """

    center: Array
    variance: Array
    cautious: Array
    degrees: Array
    uncertainty: Array
    runs: NDArray[np.int64]
    prior: Prior

    def take(self, cases: NDArray[np.int64]) -> "Baseline":
        """Return the baselines of some cases."""
        return Baseline(
            self.center[cases],
            self.variance[cases],
            self.cautious[cases],
            self.degrees[cases],
            self.uncertainty[cases],
            self.runs[cases],
            self.prior,
        )


@dataclass(frozen=True)
class Screened:
    """Tonight against the baseline, on the scale of the tests; arrays are ``(N,)``.

    Attributes:
        drop: Baseline minus tonight; positive is worse.
        p: One-sided p of no drop; NaN where it cannot be tested.
        suspect: Whether p is below the level of the screen.
        improved: Whether a gain is certain at the level of the confirmation; it needs none.
    """

    drop: Array
    p: Array
    suspect: NDArray[np.bool_]
    improved: NDArray[np.bool_]


def fit_prior(variances: ArrayLike, degrees: ArrayLike) -> Prior:
    """Return the prior that many cases' variances imply.

    The mean and the variance of log s² over cases give the two parameters of an inverse chi-square
    distribution of true variances (Smyth 2004, section 6.2).

    Args:
        variances: ``(N,)`` sample variances; zeros and NaNs are left out.
        degrees: ``(N,)`` degrees of freedom of each.

    Example:
        >>> draws = np.random.default_rng(0).normal(0, 2, (1000, 8))
        >>> prior = fit_prior(draws.var(1, ddof=1), np.full(1000, 7.0))
        >>> bool(prior.degrees > 50), round(prior.variance)
        (True, 4)
    """
    s2, d = np.asarray(variances, dtype=float), np.asarray(degrees, dtype=float)
    usable = (d > 0) & (s2 > 0) & np.isfinite(s2)
    if usable.sum() < 3:
        return Prior(0.0, 0.0)
    half = d[usable] / 2
    # The logarithm of a sample variance has mean psi(half) − log(half) and variance trigamma(half);
    # any excess is the spread of the true variances.
    logs = np.log(s2[usable]) - psi(half) + np.log(half)
    own, spread = float(polygamma(1, half).mean()), float(logs.var(ddof=1))
    # Standard error of a sample variance, with the kurtosis of chi-square logarithms.
    kurtosis = float(polygamma(3, half).mean()) / max(spread, own) ** 2
    error = spread * np.sqrt((2 + kurtosis) / (len(logs) - 1))
    likely, most = _prior_degrees(spread - own), _prior_degrees(spread - error - own)
    variance = float(np.exp(logs.mean() + psi(likely / 2) - np.log(likely / 2)))
    return Prior(likely, variance, most)


def _prior_degrees(excess: float) -> float:
    """Return the degrees of freedom for a given variance of the logarithms of true variances."""
    floor = float(polygamma(1, _MAX_DEGREES / 2))
    return 2 * inverse_trigamma(excess) if excess > floor else _MAX_DEGREES


def shrink(prior: Prior, variances: ArrayLike, degrees: ArrayLike) -> tuple[Array, Array]:
    """Return variances shrunk towards the prior, and their degrees of freedom, ``(N,)`` each.

    A case without a variance of its own (0 degrees) has the prior's; without either it is NaN.
    """
    d = np.asarray(degrees, dtype=float)
    own = np.where(d > 0, d * np.asarray(variances, dtype=float), 0.0)
    total = prior.degrees + d
    with np.errstate(invalid="ignore"):
        return (prior.degrees * prior.variance + own) / total, total


def fit_baseline(measure: Measure, values: ArrayLike, prior: Prior | None = None) -> Baseline:
    """Return levels and spreads of cases from their baseline runs.

    Args:
        measure: What was measured.
        values: ``(N, M)`` on the scale of the tests, a row for each case, NaN for missing runs.
        prior: Prior of the variances; fitted to these cases by default.
    """
    rows = np.asarray(values, dtype=float)
    runs = np.isfinite(rows).sum(1)
    center, own, degrees = huber_scale(rows)
    given, prior = prior, prior or fit_prior(own, degrees)
    variance, total = shrink(prior, own, degrees)
    if not given:
        # A robust scale sees the middle of the noise, the screen its tail.
        spread = variance > 0  # equal runs have none, and no tail
        scaled = np.abs(rows - center[:, None])[spread] / np.sqrt(variance[spread])[:, None]
        tail = _tail_factor(scaled, runs[spread], total[spread], 1 - 2 * measure.alpha_screen)
        prior = replace(prior, tail=tail)
    least = (_SMALLEST * measure.step(center)) ** 2
    variance = np.maximum(variance * prior.tail**2, least)
    alike = replace(prior, degrees=max(prior.degrees, prior.most_degrees))
    further = shrink(alike, own, degrees)[0] * prior.tail**2
    cautious = np.fmax(variance, further)
    with np.errstate(divide="ignore"):
        return Baseline(center, variance, cautious, total, INEFFICIENCY / runs, runs, prior)


def _tail_factor(scaled: Array, runs: NDArray[np.int64], degrees: Array, share: float) -> float:
    """Return a quantile of all cases' scaled residuals, relative to that of normal ones."""
    enough = (runs >= _MIN_RUNS) & (degrees > 0)
    if runs[enough].sum() < _MIN_RESIDUALS:
        return 1.0
    typical = int(np.median(runs[enough]))
    wider = stdtrit(np.median(degrees[enough]), (1 + share) / 2) / ndtri((1 + share) / 2)
    expected = normal_residual(typical, share) * float(wider)
    return max(1.0, float(np.nanquantile(scaled[enough], share)) / expected)


def screen(
    measure: Measure, baseline: Baseline, tonight: ArrayLike, shift: float = 0.0
) -> Screened:
    """Test tonight's runs against the baseline, one-sided.

    Args:
        measure: What was measured.
        baseline: The baseline of the same cases.
        tonight: ``(N, R)`` tonight's runs on the scale of the tests, NaN for missing ones.
        shift: Tonight's common deviation, from `canary_shift`; subtracted.
    """
    rows = np.asarray(tonight, dtype=float)
    runs = np.isfinite(rows).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        drop = baseline.center - (np.nansum(rows, 1) / runs - shift)
        t = drop / np.sqrt(baseline.variance * (baseline.uncertainty + 1 / runs))
        p = stdtr(baseline.degrees, -t)
        gain = stdtr(baseline.degrees, t)
    return Screened(drop, p, p < measure.alpha_screen, gain < measure.alpha_confirm)


def canary_shift(deviations: ArrayLike) -> tuple[float, bool]:
    """Return the median deviation of tonight's canaries, and whether the machine has changed.

    Args:
        deviations: Tonight minus baseline of each canary, on the scale of the tests; NaN for
            missing ones.

    Returns:
        The shift, 0 without canaries, and whether it exceeds `SHIFT_LIMIT`: then no speed alarms.
    """
    values = np.asarray(deviations, dtype=float)
    values = values[np.isfinite(values)]
    shift = float(np.median(values)) if len(values) else 0.0
    return shift, abs(shift) > SHIFT_LIMIT


def order_suspects(p: ArrayLike) -> list[int]:
    """Return the cases worth a line on the page, most suspicious first (Benjamini-Hochberg).

    Args:
        p: ``(N,)`` p values of the screen; NaN is left out.
    """
    values = np.asarray(p, dtype=float)
    tested = np.flatnonzero(np.isfinite(values))
    ascending = tested[np.argsort(values[tested], kind="stable")]
    # Written out: importing scipy.stats for it takes half a second.
    levels = DISCOVERY_RATE * np.arange(1, len(ascending) + 1) / len(ascending)
    below = np.flatnonzero(values[ascending] <= levels)
    return ascending[: below[-1] + 1].tolist() if len(below) else []
