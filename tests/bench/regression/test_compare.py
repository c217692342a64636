"""Comparisons with a baseline: what is equal, suspect, improved or undetectable."""

from dataclasses import replace

import numpy as np
import pytest
from fake_records import make

from bench.regression.baselines import run_of
from bench.regression.compare import (
    Pair,
    fixed_findings,
    memory_findings,
    screen_all,
)
from bench.regression.drift_sums import drift_after, drifting
from bench.regression.measures import QUALITY
from bench.regression.series import values_of

DATA = [f"surface.texture{number}" for number in range(12)]


def run(data, auroc, seed=0, speed=100.0, **fields):
    measured = {"inference_images_per_s": speed, "train_rise_host_bytes": 100 * 2.0**20}
    return run_of(
        make("stfpm_resnet18", data=data, auroc=auroc, seed=seed, measurements=measured, **fields)
    )


def pairs(drop=0.0, *, seeds=5, equal=False, speed=1.0, **fields):
    """Twelve configurations with a seed deviation of half a point; the first one drops."""
    rng = np.random.default_rng(3)
    made = []
    for number, data in enumerate(DATA):
        window = [
            run(data, 0.9 + rng.normal(0, 0.005), s, 100 + rng.normal()) for s in range(seeds)
        ]
        lower = drop if number == 0 else 0.0
        auroc = window[0].values["score.image_auroc"] if equal else 0.9 + rng.normal(0, 0.002)
        tonight = [run(data, auroc - lower, 0, (100 + rng.normal()) * speed, **fields)]
        made.append(Pair(tonight[0].series, tonight, window, fixed=False))
    return made


def outcomes(screens, quantity):
    (screen,) = [one for one in screens if one.quantity == quantity]
    return [finding.outcome for finding in screen.findings]


@pytest.mark.parametrize("shots", [None, 4])
def test_few_shot_scores_of_a_model_without_randomness_vary(shots):
    one = make("dfm_resnet18", metrics={"f1": 0.8})
    one = replace(one, case=replace(one.case, shots=shots))
    assert ("score.f1" in values_of(one)) == (shots is None)  # jumps between seeds


def test_equal_scores_are_ok_whatever_the_spread():
    screens, _, _ = screen_all(pairs(equal=True))
    assert outcomes(screens, "score.image_auroc") == ["ok"] * 12


def test_a_drop_is_suspect_and_a_gain_improved():
    screens, _, _ = screen_all(pairs(0.03))
    assert outcomes(screens, "score.image_auroc")[0] == "suspect"
    screens, _, _ = screen_all(pairs(-0.06))
    assert outcomes(screens, "score.image_auroc")[0] == "improved"


@pytest.mark.parametrize("seeds", [1, 4])
def test_a_spread_that_was_never_observed_is_planned_and_screened_like_any_other(seeds):
    """One seed, or equal ones: a drop below the planned screen is reported but not suspected."""
    for drop, outcome in ((0.003, "ok"), (0.03, "underpowered"), (0.3, "suspect")):
        window = [run(DATA[0], 0.9, seed) for seed in range(seeds)]
        tonight = [run(DATA[0], 0.9 - drop, 9)]
        screens, _, _ = screen_all([Pair(tonight[0].series, tonight, window, fixed=False)])
        (screen,) = [one for one in screens if one.quantity == "score.image_auroc"]
        (finding,) = screen.findings
        assert finding.outcome == outcome
        assert (finding.p < QUALITY.alpha_screen) == (outcome == "suspect")
        assert finding.mde > 0.05
        level, images = QUALITY.transform(0.9), window[0].images
        planned = QUALITY.step(level, np.sqrt(0.1 / (2 * images)))
        assert np.sqrt(screen.baseline.variance[0]) == pytest.approx(planned, rel=1e-6)


def test_spreads_are_borrowed_from_configurations_that_did_not_run():
    made = pairs(0.0)
    others = [pair.window for pair in made[1:]]
    alone, _, _ = screen_all(made[:1])
    helped, _, _ = screen_all(made[:1], others)
    degrees = [
        one.baseline.degrees[0]
        for screens in (alone, helped)
        for one in screens
        if one.quantity == "score.image_auroc"
    ]
    assert degrees[1] > degrees[0]


def test_shifted_canaries_silence_speeds_alone():
    screens, shift, moved = screen_all(pairs(0.03, speed=0.8), canaries={"a": -0.2, "b": -0.21})
    assert moved
    assert shift == pytest.approx(-0.205)
    assert set(outcomes(screens, "inference_images_per_s")) == {"env-shift"}
    assert outcomes(screens, "score.image_auroc")[0] == "suspect"


def test_a_slower_case_is_suspect_and_a_disturbed_one_is_not_judged():
    screens, _, _ = screen_all(pairs(speed=0.8))
    assert set(outcomes(screens, "inference_images_per_s")) == {"suspect"}
    busy = pairs(speed=0.8)
    busy = [replace(pair, tonight=[replace(pair.tonight[0], disturbed=True)]) for pair in busy]
    screens, _, _ = screen_all(busy)
    assert set(outcomes(screens, "inference_images_per_s")) == {"env-shift"}


def test_a_throttled_speed_is_invalid_even_where_busy_ones_are_judged():
    hot = [
        replace(pair, tonight=[replace(pair.tonight[0], throttled=True)])
        for pair in pairs(0.03, speed=0.8)
    ]
    screens, _, _ = screen_all(hot)
    assert set(outcomes(screens, "inference_images_per_s")) == {"invalid"}
    assert outcomes(screens, "score.image_auroc")[0] == "suspect"


def fixed_pair(*aurocs):
    runs = [run_of(make("dfm_resnet18", auroc=auroc)) for auroc in aurocs]
    return Pair(runs[0].series, runs[-1:], runs[:-1], fixed=True)


def test_any_change_of_a_model_without_randomness_is_looked_at():
    assert fixed_findings(fixed_pair(0.9, 0.9)) == []
    (finding,) = fixed_findings(fixed_pair(0.9, 0.8999))
    assert (finding.outcome, finding.quantity) == ("suspect", "score.image_auroc")
    assert finding.loss == pytest.approx(1e-4)


def test_slow_declines_of_a_model_without_randomness_add_up():
    (finding,) = fixed_findings(fixed_pair(0.9, 0.898, 0.896, 0.894))
    assert finding.loss == pytest.approx(0.006)


def test_a_lost_gain_of_a_model_without_randomness_is_looked_at():
    pair = fixed_pair(0.9, 0.95, 0.95, 0.9)
    assert fixed_findings(pair) == []  # as it began
    first, better, same = pair.window
    gained = replace(pair, window=[first, replace(better, outcome="improved"), same])
    (finding,) = fixed_findings(gained)
    assert (finding.outcome, finding.base, finding.tonight) == ("suspect", 0.95, 0.9)


def test_a_model_without_randomness_is_compared_with_the_last_run_that_improved():
    pair = fixed_pair(0.9, 0.95, 0.97, 0.96)
    first, *better = pair.window
    improved = [replace(run, outcome="improved") for run in better]
    (finding,) = fixed_findings(replace(pair, window=[first, *improved]))
    assert (finding.outcome, finding.base) == ("suspect", 0.97)


@pytest.mark.parametrize(
    ("grown", "suspect"), [([7], False), ([50], True), ([50, 60], True), ([50, 0], False)]
)
def test_memory_beyond_what_is_tolerated_is_suspect_if_every_run_needs_it(grown, suspect):
    def of(megabytes):
        size = {"train_rise_host_bytes": (100.0 + megabytes) * 2**20}
        return run_of(make(measurements=size))

    tonight = [of(megabytes) for megabytes in grown]
    found = memory_findings(Pair(of(0).series, tonight, [of(0)], fixed=False))
    assert [finding.quantity for finding in found] == ["train_rise_host_bytes"] * suspect


def test_a_drift_adds_up_over_nights_and_is_reported():
    made = pairs(0.012)
    before = replace(made[0].window[-1], drift={"score.image_auroc": 7.5})
    made[0] = replace(made[0], window=[*made[0].window[:-1], before])
    sums = drift_after(screen_all(made)[0])
    assert sums[made[0].series.configuration]["score.image_auroc"] > 8
    (line,) = [line for line in drifting(sums) if "texture0" in line]
    assert "slowly become worse" in line


@pytest.mark.parametrize("outcome", ["env-shift", "invalid"])
def test_what_is_not_judged_is_no_evidence_of_a_drift(outcome):
    made = pairs(0.012)
    screens, _, _ = screen_all(made)
    assert max(max(sums.values()) for sums in drift_after(screens).values()) > 0
    screens = [
        replace(one, findings=[replace(each, outcome=outcome) for each in one.findings])
        for one in screens
    ]
    sums = drift_after(screens)
    assert {total for of_case in sums.values() for total in of_case.values()} == {0.0}


def test_a_score_that_repeats_is_no_evidence_of_a_drift():
    """One seed of unchanged code gives the same score as a canary, night after night."""
    name = "score.image_auroc"
    window = [run(DATA[0], auroc) for auroc in (0.964, 0.957, 0.95)]
    window[-1] = replace(window[-1], drift={name: 1.5})
    for _ in range(60):
        again = run(DATA[0], 0.95)
        pair = Pair(again.series, [again], window, fixed=False)
        sums = drift_after(screen_all([pair])[0])[again.series.configuration]
        assert sums[name] == 1.5
        window.append(replace(again, drift=sums))
    lower = run(DATA[0], 0.943)
    screens, _, _ = screen_all([Pair(lower.series, [lower], window, fixed=False)])
    assert drift_after(screens)[lower.series.configuration][name] != 1.5
