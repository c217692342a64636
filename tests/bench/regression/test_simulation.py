"""A small version of what `python -m bench simulate` runs in full."""

import re
from dataclasses import replace
from math import inf

import numpy as np
import pytest

from bench.__main__ import main
from bench.regression.bisection import MAX_RUNS
from bench.regression.measures import DATASET_MEAN, QUALITY, SPEED
from bench.regression.simulation.datasets import CATEGORIES, Datasets
from bench.regression.simulation.nights import Detection, NightTally, detections, quiet_nights
from bench.regression.simulation.noise import FAMILIES, Cases, Noise
from bench.regression.simulation.searches import COMMITS, net_drifts, search_commits
from bench.regression.simulation.validate import (
    DRIFT_NIGHTS,
    MAX_FALSE,
    MIN_NIGHTS,
    FamilyResult,
    Validation,
    bound,
    validate,
)

TOGETHER = next(noise for noise in FAMILIES if noise.name == "all")


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize("measure", [QUALITY, SPEED])
def test_nights_without_a_change_are_silent_and_drops_are_caught(measure, rng):
    quiet = quiet_nights(TOGETHER, measure, 200, 40, rng)
    assert quiet.alarms == 0
    assert quiet.suspects > 0
    at_delta, at_minimum = detections(TOGETHER, measure, 400, 2, rng)
    assert at_delta.power > 0.93
    assert at_minimum.power == pytest.approx(0.95, abs=0.05)


def test_the_mean_of_a_dataset_shows_a_smaller_loss(rng):
    normal = FAMILIES[0]
    quiet = quiet_nights(normal, DATASET_MEAN, 66, 30, rng)
    assert quiet.alarms == 0
    assert quiet.suspects > 0
    at_delta, at_minimum = detections(normal, DATASET_MEAN, 150, 2, rng)
    assert at_delta.tried > 100
    assert at_delta.power > 0.93
    assert at_minimum.power == pytest.approx(0.95, abs=0.05)


def test_a_mean_that_varies_too_much_gates_nothing(rng):
    wild = Noise("wild", "", spread=1.5)
    loose = replace(DATASET_MEAN, alpha_screen=0.4, alpha_confirm=0.2)
    assert quiet_nights(wild, loose, 30, 5, rng).alarms == 0
    assert quiet_nights(wild, replace(loose, max_mde=inf), 30, 5, rng).alarms > 0
    at_delta, _ = detections(wild, DATASET_MEAN, 30, 2, rng)
    assert at_delta.tried == 0


def test_a_mean_is_of_the_noise_of_its_categories(rng):
    datasets = Datasets(Noise("x", "", missing=0.1), DATASET_MEAN, 300, rng)
    before = DATASET_MEAN.restore(datasets.run(40, missing=0.0))
    after = DATASET_MEAN.restore(datasets.run(40, effect=0.1))
    assert np.isnan(after).mean() == pytest.approx(0.1, abs=0.01)
    category = Cases(Noise("x", ""), QUALITY, 300, rng)
    spread = QUALITY.restore(category.run(40)).std(1).mean()
    assert before.std(1).mean() == pytest.approx(spread / CATEGORIES**0.5, rel=0.1)
    center = DATASET_MEAN.transform(before.mean(1))
    lost = before.mean(1) - np.nanmean(after, 1)
    assert lost == pytest.approx(DATASET_MEAN.size(center, 0.1), abs=0.001)


def test_loose_levels_do_alarm(rng):
    loose = replace(SPEED, delta=0.005, alpha_screen=0.4, alpha_confirm=0.2)
    assert quiet_nights(TOGETHER, loose, 100, 20, rng).alarms > 5


def test_a_changed_machine_raises_no_alarm(rng):
    shifts = Noise("shifts", "", shifts=1.0)
    quiet = quiet_nights(shifts, SPEED, 100, 20, rng)
    assert quiet.shifted >= 19
    assert quiet.alarms == 0


def test_noise_is_what_it_says(rng):
    noise = Noise("x", "", tails=5, correlation=0.3, missing=0.1)
    cases = Cases(noise, SPEED, 4000, rng)
    values = (cases.run(40, effect=0.02) - cases.level[:, None] + 0.02) / cases.deviation[:, None]
    assert np.isnan(values).mean() == pytest.approx(0.1, abs=0.01)
    assert np.nanmean(values) == pytest.approx(0, abs=0.02)
    assert np.nanstd(values) == pytest.approx(1, abs=0.02)
    products = values[:, 1:] * values[:, :-1]
    assert np.nanmean(products) == pytest.approx(0.3, abs=0.03)


def test_bisections_are_right_in_few_runs(rng):
    tally = search_commits(60, rng)
    assert tally.right >= tally.sure >= 57
    assert tally.runs < 7 < tally.max_runs <= MAX_RUNS < COMMITS
    patient = search_commits(60, rng, lead=2.0, most_runs=24)
    assert MAX_RUNS < patient.max_runs <= 24
    assert search_commits(20, rng, informative=False).runs > tally.runs


def test_the_drift_net_catches_a_decline_and_little_else(rng):
    drifts = net_drifts(FAMILIES[0], 150, DRIFT_NIGHTS, 0.1, rng)
    assert drifts.false < 3
    assert drifts.caught == 1
    assert 5 < drifts.delay < 40


def test_nights_that_can_show_the_bound():
    assert bound(0, MIN_NIGHTS) <= MAX_FALSE < bound(0, MIN_NIGHTS - 1)
    assert validate(20, 3, ["normal"], seed=0).broken == [
        "3 nights cannot show that alarms are rarer than 1 % of nights: wanted at least 299"
    ]


@pytest.mark.parametrize(
    ("power", "pairing", "said"),
    [
        (0.95, 0.0, None),
        (0.92, 0.0, "0.920 at the minimum detectable effect"),
        (0.92, 0.9, "0.920 at the minimum detectable effect"),
        (0.98, 0.0, "0.980 at the minimum detectable effect, more than it says"),
        (0.98, 0.9, None),
    ],
)
def test_more_power_than_promised_breaks_the_promise_unless_seeds_pair(power, pairing, said):
    found = Detection(1000, round(1000 * power), 1000)
    quiet = NightTally(MIN_NIGHTS, alarmed=[False] * MIN_NIGHTS)
    result = FamilyResult(Noise("x", "", pairing=pairing), QUALITY, quiet, Detection(), found)
    wanted = [f"x, quality: power {said}"] if said else []
    assert Validation(10, MIN_NIGHTS, 0, [result], {}, {}).broken == wanted


def test_the_command_writes_the_page(tmp_path, capsys):
    page = tmp_path / "new" / "SIMULATION.md"
    command = ["simulate", "--cases", "30", "--nights", "4", "--noise", "two modes"]
    command += ["--noise", "normal"]
    assert main([*command, "--jobs", "1", "--out", str(page)]) == 1
    text = page.read_text()
    assert (
        "`python -m bench simulate --cases 30 --nights 4 --noise 'two modes' --noise normal`"
        in text
    )
    assert re.search(r"\| speed +\| two modes \|", text)
    assert "4 nights cannot show" in capsys.readouterr().out
    again = tmp_path / "again.md"
    main([*command, "--jobs", "2", "--out", str(again)])
    assert again.read_text() == text


def test_an_unknown_noise_is_named(tmp_path, capsys):
    assert main(["simulate", "--noise", "nromal", "--out", str(tmp_path / "x.md")]) == 2
    assert "such as normal" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
