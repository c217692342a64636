"""Means over a dataset's categories: over what all of them have, gated at a smaller step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_records import make

from bench.regression import confirmation
from bench.regression.baselines import run_of
from bench.regression.compare import Pair, screen_all
from bench.regression.confirmation import _with_block_verdict, base_of
from bench.regression.dataset_means import (
    dataset_means,
    drift_name,
    incomplete_means,
    parts_of,
    screen_dataset_means,
)
from bench.regression.fresh import FreshRun
from bench.regression.measures import DATASET_MEAN

NAMES = [f"surface.texture{number:02}" for number in range(15)]
MEAN = "stfpm_resnet18-surface.mean_of_15-default-pretrained"


def run(data, auroc, seed, **fields):
    return make("stfpm_resnet18", data=data, auroc=auroc, seed=seed, **fields)


def dataset(drop=0.0, deviation=0.001, seeds=8, names=NAMES, tonight=3):
    """Return pairs, cases and baseline runs of fifteen categories that all lose the same."""
    rng = np.random.default_rng(5)
    pairs, cases, known = [], {}, []
    for name in names:
        level = rng.uniform(0.9, 0.97)
        old = [run(name, level + rng.normal(0, deviation), seed) for seed in range(seeds)]
        new = [
            run(name, level - drop + rng.normal(0, deviation), seed + 20, finished="2026-02-01")
            for seed in range(tonight)
        ]
        window = [run_of(record) for record in old]
        pair = Pair(window[0].series, [run_of(record) for record in new], window, fixed=False)
        pairs.append(pair)
        cases[pair.series.configuration] = new[0].case
        known += window
    return pairs, cases, known


def finding(means):
    (screen,) = [s for s in screen_dataset_means(means) if s.quantity == "score.image_auroc"]
    assert screen.measure is DATASET_MEAN
    (found,) = screen.findings
    return found


def test_a_mean_is_over_all_categories_of_each_seed():
    pairs, cases, known = dataset()
    (mean,) = dataset_means(pairs, cases, known)
    assert mean.configuration == MEAN
    assert mean.parts == set(cases)
    assert len(mean.pair.window) == 8
    for seed, whole in enumerate(mean.pair.window):
        of_each = [pair.window[seed].values["score.image_auroc"] for pair in pairs]
        assert whole.replicate == seed
        assert whole.values["score.image_auroc"] == pytest.approx(np.mean(of_each))
        assert whole.images == 15 * 64
        assert set(whole.values) == {"score.image_auroc"}  # a mean of speeds has no meaning


def test_the_drift_of_a_mean_is_kept_by_its_parts_and_starts_again_with_any_of_them():
    pairs, cases, known = dataset(seeds=1)
    sums = {drift_name(MEAN, "score.image_auroc"): 2.5, "score.image_auroc": 1.0}
    kept = [replace(pair, window=[replace(pair.window[0], drift=sums)]) for pair in pairs]
    (mean,) = dataset_means(kept, cases, known)
    assert mean.pair.window[0].drift == {"score.image_auroc": 2.5}
    (mean,) = dataset_means([pairs[0], *kept[1:]], cases, known)  # one was accepted
    assert mean.pair.window[0].drift == {}


def test_a_seed_that_a_category_lacks_has_no_mean():
    pairs, cases, known = dataset()
    short = [Pair(pairs[0].series, pairs[0].tonight, pairs[0].window[1:], False), *pairs[1:]]
    (mean,) = dataset_means(short, cases, known)
    assert [run.replicate for run in mean.pair.window] == list(range(1, 8))


def test_repeats_of_a_seed_are_matched_from_the_newest_back():
    pairs, cases, known = dataset(seeds=1)

    def repeated(pair, nights):
        (run,) = pair.window
        name = "score.image_auroc"
        window = [
            replace(run, finished=f"2026-01-0{night}", values={name: night / 10})
            for night in nights
        ]
        return replace(pair, window=window)

    later = [repeated(pairs[0], (3, 4)), *(repeated(pair, (1, 2, 3, 4)) for pair in pairs[1:])]
    (mean,) = dataset_means(later, cases, known)
    values = [run.values["score.image_auroc"] for run in mean.pair.window]
    assert values == pytest.approx([0.3, 0.4])


@pytest.mark.parametrize(
    ("of_a_category", "of_the_mean", "base"),
    [
        ("first", "ok", "b"),
        ("ok", "ok", "b"),
        ("improved", "improved", "b"),
        ("underpowered", "underpowered", "a"),
        ("env-shift", "env-shift", "a"),
    ],
)
def test_a_mean_is_no_better_judged_than_the_worst_of_its_categories(
    monkeypatch, of_a_category, of_the_mean, base
):
    """The base of a loss is an earlier commit if a category was not judged good at the newest."""
    monkeypatch.setattr(confirmation, "why_unreachable", lambda *_: None)
    pairs, cases, known = dataset(seeds=1, tonight=1)

    def over_two_nights(pair, newest):
        (run,) = pair.window
        old = replace(run, commit="a" * 40, outcome="ok")
        new = replace(run, commit="b" * 40, outcome=newest, finished="2026-01-02")
        return replace(pair, window=[old, new])

    outcomes = [*["ok"] * 14, of_a_category]
    pairs = [over_two_nights(*each) for each in zip(pairs, outcomes, strict=True)]
    (mean,) = dataset_means(pairs, cases, known)
    assert [run.outcome for run in mean.pair.window] == ["ok", of_the_mean]
    assert base_of(mean.pair, ["score.image_auroc"]).commit == base * 40


def test_the_name_of_a_mean_tells_its_categories():
    pairs, cases, known = dataset()
    (mean,) = dataset_means(pairs, cases, known)
    others = {
        "stfpm_resnet18-surface.x-default-scratch",
        "rd_resnet18-surface.x-default-pretrained",
    }
    assert set(parts_of(mean.configuration, mean.parts | others)) == mean.parts
    assert parts_of(known[0].series.configuration, mean.parts) == []


def test_there_is_no_mean_unless_every_category_ran():
    pairs, cases, known = dataset()
    assert dataset_means(pairs[1:], cases, known) == []
    assert dataset_means(pairs[:1], cases, pairs[0].window) == []  # a mean of one is the category
    fixed = [Pair(pair.series, pair.tonight, pair.window, fixed=True) for pair in pairs]
    assert dataset_means(fixed, cases, known) == []


def test_one_model_for_all_categories_is_no_category():
    pairs, cases, known = dataset()
    known.append(run_of(run("surface.all", 0.9, 0)))
    (mean,) = dataset_means(pairs, cases, known)
    assert mean.configuration == MEAN
    assert set(parts_of(MEAN, [one.series.configuration for one in known])) == mean.parts


def test_a_mean_that_lacks_a_category_is_named_unless_nothing_changed():
    pairs, cases, known = dataset()
    assert incomplete_means(pairs, cases, known) == {}
    lacking = {MEAN: [pairs[0].series.configuration]}
    assert incomplete_means(pairs[1:], cases, known) == lacking
    unchanged = {pair.series.configuration for pair in pairs}
    assert incomplete_means(pairs[1:], cases, known, unchanged) == {}
    assert incomplete_means(pairs[1:], cases, known, list(unchanged)[:3]) == lacking


def test_a_loss_that_no_category_shows_is_suspect_in_the_mean():
    screens, _, _ = screen_all(dataset(drop=0.004, deviation=0.004, tonight=1)[0])
    (screen,) = [one for one in screens if one.quantity == "score.image_auroc"]
    assert sum(one.outcome == "suspect" for one in screen.findings) < 15 / 2
    found = finding(dataset_means(*dataset(drop=0.004, deviation=0.002)))
    assert found.mde <= DATASET_MEAN.delta
    assert found.outcome == "suspect"
    assert found.loss == pytest.approx(0.004, abs=0.002)
    assert finding(dataset_means(*dataset())).outcome == "ok"


def test_a_mean_whose_mde_is_above_the_step_gates_nothing():
    found = finding(dataset_means(*dataset(drop=0.02, deviation=0.03, seeds=4)))
    assert found.mde > DATASET_MEAN.delta
    assert found.outcome in {"ok", "underpowered"}
    lost = finding(dataset_means(*dataset(drop=0.1, deviation=0.03, seeds=4)))
    assert lost.outcome == "underpowered"
    assert "MDE" in lost.method


@pytest.mark.parametrize(("drop", "outcome"), [(0.0, "ok"), (0.003, "regressed")])
def test_fresh_runs_of_all_categories_confirm_the_mean(drop, outcome):
    """Categories differ by far more than the drop: only the mean of a seed's runs shows it."""
    (mean,) = dataset_means(*dataset(drop=drop, deviation=0.002))
    (screen,) = [s for s in screen_dataset_means([mean]) if s.quantity == "score.image_auroc"]
    rng = np.random.default_rng(1)

    def side(drop):
        return [
            FreshRun(
                run(case.data, 0.9 + 0.005 * at - drop + rng.normal(0, 0.002), seed), "", Path()
            )
            for seed in range(5)
            for at, case in enumerate(mean.cases)
        ]

    blocks = [{"A": side(0.0), "B": side(drop)} for _ in range(2)]
    suspect = replace(screen.findings[0], outcome="suspect")
    found = _with_block_verdict(
        suspect, (DATASET_MEAN, screen.baseline, 1), blocks, len(mean.cases)
    )
    assert found.outcome == outcome
    assert "10 fresh runs of either side" in found.method
    assert found.base == pytest.approx(0.9 + 0.005 * 7, abs=0.001)
    assert found.low < drop < found.high
    lacking = [{"A": side(0.0), "B": [FreshRun(None, "it broke", Path()), *side(drop)[1:]]}]
    whole = _with_block_verdict(
        suspect, (DATASET_MEAN, screen.baseline, 1), lacking, len(mean.cases)
    )
    assert whole.outcome == "ok"  # four seeds are complete, and one block is no alarm
