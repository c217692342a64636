"""The report of a night says what to do next, in whole sentences."""

import re
from dataclasses import replace

import numpy as np
import pytest
from fake_records import make

from bench.lines import append_object
from bench.regression.baselines import run_of
from bench.regression.compare import Pair, Screen, screen_all
from bench.regression.dataset_means import DatasetMean
from bench.regression.finding import Finding
from bench.regression.journal import Night
from bench.regression.ledger import Alarm, Ledger
from bench.regression.measures import QUALITY
from bench.regression.night_report import night_report, summary
from bench.regression.plan import LACKING, Plan, Planned
from bench.regression.verdicts import Verdicts

NAME = "rd_resnet18-surface.woven-default-pretrained"
MEAN = NAME.replace("woven", "mean_of_2")
QUANTITY = "single_scale.image_auroc"


@pytest.fixture
def verdicts(tmp_path):
    night = Night("2026-01-02", tmp_path / "x.jsonl", "2026-01-02", "c" * 40, False, "all", Plan())
    return Verdicts(night)


def found(name, outcome):
    return Finding(name, QUANTITY, outcome, 0.95, 0.91, 0.04, method="6 fresh runs of either side")


def test_an_alarm_comes_with_the_commands_that_follow_it(verdicts, tmp_path):
    verdicts.night.findings.append(found(NAME, "regressed"))
    ledger = Ledger(tmp_path)
    ledger.raise_alarm(Alarm(NAME, QUANTITY, 0.04, base="b" * 40, head="c" * 40))
    page, said = night_report(verdicts, ledger), summary(verdicts)
    for text in (page, said):
        assert f"python -m bench bisect {NAME}" in text
        assert f"accept {NAME} --reason" in text
        assert f"accept {NAME} --false-alarm" in text
    assert said.startswith(f"REGRESSED: {NAME}.")
    assert "worse at cccccccccccc than at bbbbbbbbbbbb" in page


def test_alarms_against_another_baseline_name_it(verdicts, tmp_path):
    ledger, alarm = Ledger(tmp_path), Alarm(NAME, QUANTITY, 0.04, base="b" * 40, head="c" * 40)
    for baseline in ("main", "branch"):
        ledger.raise_alarm(replace(alarm, baseline=baseline))
    lines = night_report(verdicts, ledger).splitlines()
    ends = [line.rpartition("b" * 12)[2] for line in lines if "open since" in line]
    assert ends == ["", " (baseline branch)"]


def test_a_night_without_changes_says_so(verdicts):
    assert summary(verdicts) == "No case changed, so none ran."


def test_a_night_that_could_run_nothing_says_so(verdicts, tmp_path):
    plan = verdicts.night.plan
    plan.skipped[LACKING] = 3
    assert summary(verdicts) == f"No case could run. 3 cases: {LACKING}."
    assert "Nothing: no case could run." in night_report(verdicts, Ledger(tmp_path))
    assert verdicts.exit_code == 11
    plan.unchanged = 2  # the others of them are known to be fine
    assert summary(verdicts) == "No case changed, so none ran."
    assert verdicts.exit_code == 0
    plan.lost = [make().key.id]
    assert summary(verdicts).endswith(
        f"1 case that finished before could not run: {make().key.id}."
    )
    assert verdicts.exit_code == 11


def test_a_mean_is_bisected_by_one_of_its_categories(verdicts):
    records = [make(data=f"surface.{name}") for name in ("grid", "woven")]
    run = replace(run_of(records[0]), commit="b" * 40)
    whole = Pair(replace(run.series, configuration=MEAN), [run], [run], fixed=False)
    verdicts.means = [DatasetMean([record.case for record in records], whole)]
    verdicts.night.findings.append(replace(found(MEAN, "regressed"), base_commit="b" * 40))
    searched = f"bisect {NAME.replace('woven', 'grid')} --good {'b' * 12} --bad {'c' * 12}"
    assert searched in summary(verdicts)
    assert f"accept {MEAN} --reason" in summary(verdicts)


def test_a_quiet_night_says_what_is_left(verdicts, tmp_path):
    case = make().case
    verdicts.night.findings += [found(NAME, "suspect"), found(MEAN, "ok")]
    verdicts.failed, verdicts.runs = [make(status="failed")], [run_of(make())]
    plan = verdicts.night.plan
    plan.over_budget = [Planned(case, "new", "never finished", 90.0, 1.0)]
    plan.unchanged, plan.skipped[LACKING] = 2, 1
    verdicts.incomplete = {MEAN: [NAME, NAME.replace("woven", "grid")]}
    page = night_report(verdicts, Ledger(tmp_path))
    assert "No regression was confirmed. 0 of 1 finished runs had a baseline: the next" in page
    assert "1 suspected loss could not be confirmed or ruled out." in page
    assert "1 case did not finish." in page
    assert "bisect" not in page
    assert "* 2 cases: nothing changed" in page
    assert "1 case: beyond --budget, which would have to be 90 s larger" in page
    assert "python -m bench data list" in page
    unseen = page.partition("## What cannot be seen tonight")[2]
    lacking = f"`{MEAN}` (not compared tonight: `{NAME}` and 1 more)"
    assert f"* without a mean of all categories: 1, such as {lacking}" in unseen


def test_every_case_that_ran_says_which_loss_it_would_have_shown(verdicts, tmp_path):
    noise = np.random.default_rng(0)
    runs = [
        run_of(make("stfpm_resnet18", auroc=0.9 + 0.003 * noise.normal(), seed=seed))
        for seed in range(8)
    ]
    case = make("stfpm_resnet18").case
    verdicts.screens = screen_all([Pair(runs[0].series, runs[:1], runs[1:], fixed=False)])[0]
    verdicts.night.plan.planned = [Planned(case, "stale", "its code changed", 9.0, 1.0)]
    (row,) = [
        line for line in night_report(verdicts, Ledger(tmp_path)).splitlines() if case.id in line
    ]
    assert re.search(r"score\.image_auroc \d+\.\d\d points", row)
    assert re.search(r"inference_images_per_s \d+\.\d %", row)


def test_cleared_suspects_are_those_that_stand_out_among_all_tests(verdicts, tmp_path):
    """Of 41 tests, three pass the screen: at a rate of 10 %, one is no chance."""
    p = [1e-5, 0.02, 0.025, *np.linspace(0.1, 1, 38)]
    names = [f"case{place}" for place in range(len(p))]
    tests = [replace(found(name, "ok"), p=x) for name, x in zip(names, p, strict=True)]
    moved = [replace(found(f"moved{place}", "env-shift"), p=1e-9) for place in range(40)]
    verdicts.screens = [Screen(QUALITY, QUANTITY, [], None, of) for of in (tests, moved)]
    exact = replace(found("case40", "ok"), quantity="inference_rise_host_bytes")
    cleared = [found(name, "ok") for name in ("case2", "case0", "case1")]
    verdicts.night.findings += [*cleared, exact]
    (section,) = _section_of(verdicts, tmp_path)
    left_out, *rows = section.splitlines()
    assert left_out.startswith("* not listed: 2 that do not stand out among the 41 tests")
    assert [row.split("`")[1] for row in rows] == ["case40", "case0"]
    verdicts.night.findings[:] = [found("case1", "suspect"), cleared[1]]
    (section,) = _section_of(verdicts, tmp_path)
    assert "not listed" not in section
    assert "`case1`" in night_report(verdicts, Ledger(tmp_path))  # a suspect that is left is named


def _section_of(verdicts, folder):
    page = night_report(verdicts, Ledger(folder))
    return re.findall(r"## Suspected, and cleared by fresh runs\n\n(.*?)(?:\n\n|$)", page, re.S)


def test_alarms_of_another_version_are_counted(verdicts, tmp_path):
    append_object(tmp_path / "alarms.jsonl", {"alarm": {"severity": 3}})
    said = night_report(verdicts, Ledger(tmp_path)).partition("## Alarms so far")[2]
    assert "alarms.jsonl: 1 line was written by another version of the program" in said
