"""The screen against simulation, SciPy's optimizers and formulas written out."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar, root
from scipy.special import huber, polygamma
from scipy.stats import false_discovery_control, norm
from scipy.stats import t as student

from bench.regression import robust
from bench.regression.measures import DATASET_MEAN, QUALITY, SPEED
from bench.regression.screen import (
    DISCOVERY_RATE,
    Prior,
    canary_shift,
    fit_baseline,
    fit_prior,
    order_suspects,
    screen,
    shrink,
)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@pytest.mark.parametrize("measure", [QUALITY, DATASET_MEAN, SPEED])
def test_scales_go_there_and_back(measure):
    raw = np.array([0.2, 0.9, 0.999, 1.0])
    scaled = measure.transform(raw)
    assert measure.restore(scaled) == pytest.approx(raw)
    steps = measure.step(scaled)
    assert measure.size(scaled, steps) == pytest.approx(np.full(4, measure.delta))
    dropped = raw - measure.delta if measure.scale == "logit" else raw * (1 - measure.delta)
    assert measure.restore(scaled - steps) == pytest.approx(dropped)


def test_row_median_is_numpys(rng):
    values = rng.normal(size=(200, 7))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[0] = np.nan
    some = np.isfinite(values).any(1)
    assert robust.row_median(values)[some] == pytest.approx(np.nanmedian(values[some], 1))
    assert np.isnan(robust.row_median(values)[0])


@pytest.mark.parametrize("value", [1e-3, 0.1, 1.0, 30.0, 1e4])
def test_inverse_trigamma_inverts_scipys(value):
    assert polygamma(1, robust.inverse_trigamma(value)) == pytest.approx(value)


def test_huber_location_minimizes_hubers_loss(rng, monkeypatch):
    monkeypatch.setattr(robust, "_TOLERANCE", 0)
    values = rng.standard_t(2, (30, 9))
    scale = rng.uniform(0.5, 2, 30)
    found, _ = robust.huber_location(values, scale)
    for row, sd, location in zip(values, scale, found, strict=True):
        best = minimize_scalar(
            lambda m, row=row, sd=sd: huber(robust.HUBER, (row - m) / sd).sum(),
            bounds=(row.min(), row.max()),
            options={"xatol": 1e-9},
            method="bounded",
        )
        assert location == pytest.approx(best.x, abs=1e-4)


def test_huber_scale_solves_the_two_equations_of_proposal_2(rng, monkeypatch):
    monkeypatch.setattr(robust, "_TOLERANCE", 0)
    monkeypatch.setattr(robust, "_ITERATIONS", 500)
    row = rng.standard_t(3, 14)
    expected_square = norm.expect(lambda z: np.clip(z, -robust.HUBER, robust.HUBER) ** 2)

    def equations(parameters):
        location, sd = parameters
        clipped = np.clip((row - location) / sd, -robust.HUBER, robust.HUBER)
        return clipped.sum(), (clipped**2).sum() - (len(row) - 1) * expected_square

    location, sd = root(equations, (np.median(row), 1.0)).x
    center, variance = robust._proposal_2(row[None])
    assert (center[0], variance[0]) == pytest.approx((location, sd**2), rel=1e-4)


def test_an_outlier_hardly_moves_location_and_scale(rng):
    values = rng.normal(10, 1, (500, 14))
    center, variance, degrees = robust.huber_scale(values)
    assert variance.mean() == pytest.approx(1, abs=0.05)
    assert 0.6 < degrees[0] / 13 < 0.8
    values[:, 3] = 1000
    moved, larger, _ = robust.huber_scale(values)
    assert np.abs(moved - center).mean() < 0.2
    assert (larger / variance).mean() < 1.5


def test_the_logarithm_of_the_scale_has_the_moments_of_its_chi_square(rng):
    _, variance, degrees = robust.huber_scale(rng.normal(size=(20_000, 6)))
    half = degrees[0] / 2
    assert np.log(variance).var() == pytest.approx(polygamma(1, half), rel=0.05)
    assert np.log(variance).mean() == pytest.approx(polygamma(0, half) - np.log(half), abs=0.02)


def test_the_prior_is_that_of_the_true_variances(rng):
    degrees, common = 6.0, 4.0
    true = common * degrees / rng.chisquare(degrees, 20_000)
    samples = true * rng.chisquare(9, 20_000) / 9
    prior = fit_prior(samples, np.full(20_000, 9.0))
    assert (prior.degrees, prior.variance) == pytest.approx((degrees, common), rel=0.08)


@pytest.mark.parametrize("cases", [60, 6000])
def test_the_most_degrees_of_a_prior_are_a_standard_error_above(rng, cases):
    degrees = 12.0
    enough = []
    for _ in range(400 if cases < 1000 else 40):
        true = degrees / rng.chisquare(degrees, cases)
        prior = fit_prior(true * rng.chisquare(8, cases) / 8, np.full(cases, 8.0))
        enough.append(prior.most_degrees >= degrees)
        assert prior.most_degrees > prior.degrees or prior.degrees == 200
    # One standard error above an estimate, one-sided: 84 %.
    assert np.mean(enough) == pytest.approx(0.84, abs=0.05 if cases < 1000 else 0.15)


def test_plans_do_not_count_on_the_luck_of_few_cases(rng):
    found = []
    for _ in range(300):
        deviations = 0.01 * np.exp(0.17 * rng.standard_normal(60))
        baseline = fit_baseline(SPEED, 4 + deviations[:, None] * rng.standard_normal((60, 12)))
        loud = baseline.variance > baseline.prior.variance * baseline.prior.tail**2
        assert baseline.cautious[loud].tolist() == baseline.variance[loud].tolist()
        found.append([deviations**2, baseline.variance, baseline.cautious])
    true, variance, cautious = np.concatenate(found, axis=1)

    def of_the_quietest(estimate):
        chosen = estimate < np.quantile(estimate, 0.03)
        return true[chosen].mean() / estimate[chosen].mean()

    luck = of_the_quietest(variance)
    assert luck > 1.25
    assert of_the_quietest(cautious) < luck - 0.06
    many = fit_baseline(SPEED, rng.standard_normal((20_000, 10)) / 100)
    assert (many.cautious / many.variance).max() == pytest.approx(1, abs=0.01)


def test_shrunk_variances_are_weighted_by_degrees():
    variances, degrees = shrink(Prior(4, 2.0), [5.0, np.nan], [6, 0])
    assert variances.tolist() == [(4 * 2 + 6 * 5) / 10, 2.0]
    assert degrees.tolist() == [10, 4]


def test_the_t_of_a_case_by_hand():
    values = np.log([[100.0, 101, 99, 100, 102, 98]])
    prior = Prior(50, 0.01**2)
    baseline = fit_baseline(SPEED, values, prior)
    result = screen(SPEED, baseline, np.log([[95.0, 97.0]]), shift=-0.01)
    drop = baseline.center[0] - np.log([95, 97]).mean() - 0.01
    error = np.sqrt(baseline.variance[0] * (robust.INEFFICIENCY / 6 + 1 / 2))
    assert result.drop[0] == pytest.approx(drop)
    assert result.p[0] == pytest.approx(student.sf(drop / error, baseline.degrees[0]))
    assert baseline.variance[0] == pytest.approx(0.01**2, rel=0.5)


@pytest.mark.parametrize("tails", [1e6, 4])
def test_an_unchanged_case_is_suspected_as_often_as_promised(rng, tails):
    draws = (
        rng.standard_normal((4000, 15)) if np.isinf(tails) else rng.standard_t(tails, (4000, 15))
    )
    values = 4 + 0.01 * draws
    suspect = screen(SPEED, fit_baseline(SPEED, values[:, 1:]), values[:, :1]).suspect
    assert suspect.mean() == pytest.approx(SPEED.alpha_screen, abs=0.011)


def test_what_is_missing_is_neither_suspect_nor_an_error():
    values = np.array([[1.0, 1.1, 0.9], [np.nan] * 3, [2.0, np.nan, np.nan], [3.0, 3.1, 3.2]])
    tonight = np.array([[np.nan], [0.0], [0.0], [3.1]])
    result = screen(SPEED, fit_baseline(SPEED, values), tonight)
    assert np.isnan(result.p[:3]).all()
    assert not result.suspect[:2].any()
    assert result.p[3] > SPEED.alpha_screen


def test_one_run_borrows_its_spread_from_the_other_cases(rng):
    values = 4 + 0.01 * rng.normal(size=(50, 8))
    values[0, 1:] = np.nan
    baseline = fit_baseline(SPEED, values)
    assert baseline.variance[0] == pytest.approx(1e-4, rel=0.3)
    low = screen(SPEED, baseline, np.full((50, 1), 3.9))
    assert low.suspect.all()
    assert screen(SPEED, baseline, np.full((50, 1), 4.1)).improved.all()


@pytest.mark.parametrize("count", [5, 50])  # with 50, the tail of the noise is fitted
def test_equal_runs_still_have_a_spread(count):
    baseline = fit_baseline(QUALITY, np.zeros((count, 5)))
    assert (baseline.variance > 0).all()
    assert baseline.prior.tail == 1
    assert not screen(QUALITY, baseline, np.zeros((count, 1))).suspect.any()
    assert screen(QUALITY, baseline, np.full((count, 1), -1.0)).suspect.all()


def test_equal_runs_of_some_cases_leave_the_tail_of_the_others_as_it_is(rng):
    varying = rng.standard_t(4, (300, 8))
    alone = fit_baseline(SPEED, varying).prior
    beside = fit_baseline(SPEED, np.vstack([varying, np.zeros((20, 8))])).prior
    assert alone.tail > 1
    assert beside.tail == pytest.approx(alone.tail, rel=0.05)


def test_a_shift_of_all_canaries_is_the_machines():
    assert canary_shift([0.001, -0.002, 0.05, np.nan]) == (pytest.approx(0.001), False)
    assert canary_shift([-0.03, -0.03, 0.0]) == (-0.03, True)
    assert canary_shift([np.nan]) == (0.0, False)


def test_suspects_are_cut_where_benjamini_and_hochberg_do(rng):
    for suspects in range(20):
        p = np.r_[rng.random(50), rng.random(suspects) ** 4, 1e-6, 1e-4, 0.5, 0.5]
        found = order_suspects([*p, np.nan])
        kept = np.flatnonzero(false_discovery_control(p, method="bh") <= DISCOVERY_RATE)
        assert sorted(found) == kept.tolist()
        assert p[found].tolist() == sorted(p[kept])
    assert order_suspects([0.5, 0.6]) == order_suspects([np.nan]) == order_suspects([]) == []


def test_a_given_prior_is_used_as_it_is():
    prior = replace(fit_prior([1.0, 2.0, 3.0, 4.0], np.full(4, 50.0)), tail=2.0)
    rows = np.array([[0.0, 1.0, 2.0]])
    wide, narrow = (fit_baseline(SPEED, rows, p) for p in (prior, replace(prior, tail=1.0)))
    assert wide.variance[0] == pytest.approx(4 * narrow.variance[0])
