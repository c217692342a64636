"""What a night leaves behind: runs in the baseline, alarms, and a journal to resume from."""

import errno
import json
from dataclasses import replace

import numpy as np
import pytest
from fake_records import make
from night_setup import BYTES, LATENCY, night_of, no_trees, record

from bench.lines import append_object
from bench.regression import journal
from bench.regression import verdicts as verdicts_module
from bench.regression.baselines import Baselines, run_of
from bench.regression.compare import Pair, screen_all
from bench.regression.dataset_means import DatasetMean, drift_name
from bench.regression.finding import FINISHES, Finding
from bench.regression.journal import Journals
from bench.regression.ledger import Alarm, Ledger
from bench.regression.plan import Plan
from bench.regression.remember import remember
from bench.regression.verdicts import Verdicts, evaluate_night


@pytest.mark.parametrize(
    ("reason", "code", "kept"),
    [("stale", "a", False), ("canary", "a", True), ("canary", "b", False)],
)
def test_a_speed_on_a_machine_that_moved_is_no_baseline_for_changed_code(
    tmp_path, reason, code, kept
):
    """Code that changed on another such night is as new as if it had changed tonight."""
    before = [run_of(record(latency=10 + 0.01 * number)) for number in range(8)]
    late = "2026-01-02T00:00:00+00:00"
    tonight = record(latency=20.0, commit=code * 40, finished=late)
    pair = Pair(before[0].series, [run_of(tonight)], before, fixed=True)
    screens, _, moved = screen_all([pair], canaries={"other": -0.2})
    assert moved
    verdicts = Verdicts(night_of(tmp_path, [tonight], reason))
    verdicts.runs, verdicts.pairs, verdicts.screens = [run_of(tonight)], [pair], screens
    baselines = Baselines(tmp_path)
    remember(verdicts, baselines, Ledger(tmp_path))
    (run,) = baselines.runs
    assert (LATENCY in run.values) == kept
    assert run.values["score.image_auroc"] == 0.9
    assert BYTES in run.values


def test_a_night_without_a_value_keeps_the_sum_of_a_quantity(context, tmp_path):
    baselines, late = Baselines(tmp_path), "2026-01-09T00:00:00+00:00"
    before = [run_of(record(latency=10 + 0.01 * number)) for number in range(8)]
    drift = {LATENCY: 7.5, "score.image_auroc": 1.5}
    baselines.add([replace(run, night=str(n), drift=drift) for n, run in enumerate(before)])
    tonight = [record(measurements={BYTES: 60.0 * 2**20}, finished=late)]
    night = night_of(tmp_path, tonight)
    remember(evaluate_night(tonight, night, baselines, context, print), baselines, Ledger(tmp_path))
    assert LATENCY not in baselines.runs[-1].values
    assert baselines.runs[-1].drift == drift


def test_the_drift_of_a_mean_adds_up_over_nights(monkeypatch, context, tmp_path):
    """No run is stored of a mean: its parts keep the sum."""
    monkeypatch.setattr(verdicts_module, "confirm", lambda *_: [])
    mean = "stfpm_resnet18-surface.mean_of_3-default-pretrained"
    rng, quantity = np.random.default_rng(4), "score.image_auroc"

    def records(day, drop):
        levels = 0.95 - drop + rng.normal(0, 0.003, 3)
        return [
            make("stfpm_resnet18", f"surface.{name}", day, auroc, finished=f"2026-01-0{day}")
            for name, auroc in zip("abc", levels, strict=True)
        ]

    baselines, sums = Baselines(tmp_path), {drift_name(mean, quantity): 6.5}
    window = [run_of(one) for day in range(1, 5) for one in records(day, 0.0)]
    baselines.add(replace(run, drift=sums) for run in window)
    for day in (5, 6):
        tonight = records(day, 0.01)
        night = replace(night_of(tmp_path, tonight), name=f"2026-01-0{day}")
        verdicts = evaluate_night(tonight, night, baselines, context, print)
        remember(verdicts, baselines, Ledger(tmp_path))
        (note,) = [note for note in verdicts.notes if note.startswith(f"{mean}: {quantity} has")]
        assert note.endswith(
            "history stfpm_resnet18-surface.a-default-pretrained shows a part of it"
        )
    before = verdicts.means[0].pair.window[-1].drift[quantity]
    assert 8 < before < baselines.runs[-1].drift[drift_name(mean, quantity)]


@pytest.mark.parametrize("outcome", ["suspect", "underpowered"])
def test_a_mean_that_was_not_cleared_decides_for_its_categories(tmp_path, outcome):
    """A suspected one is compared again; the code of one that no test can judge is not good."""
    runs = [run_of(make("stfpm_resnet18", data=f"surface.{name}")) for name in ("grid", "woven")]
    pairs = [Pair(run.series, [run], [run], fixed=False) for run in runs]
    mean = Pair(replace(runs[0].series, configuration="mean"), runs[:1], runs[:1], fixed=False)
    verdicts = Verdicts(night_of(tmp_path, []))
    verdicts.runs, verdicts.pairs = runs, pairs
    cases = [make("stfpm_resnet18", data=f"surface.{name}").case for name in ("grid", "woven")]
    verdicts.means = [DatasetMean(cases, mean)]
    verdicts.night.add_findings(
        "mean", [Finding("mean", "score.image_auroc", outcome, 0.9, 0.8, 0.1)]
    )
    baselines = Baselines(tmp_path)
    remember(verdicts, baselines, Ledger(tmp_path))
    assert [run.outcome for run in baselines.runs] == [outcome, outcome]


def test_a_killed_night_judges_a_configuration_again_unless_all_of_it_was_written(
    monkeypatch, context, tmp_path
):
    """An alarm and a gain of one change: without the alarm, the case would have improved."""
    judged = []

    def confirmed(context, cases, pair, suspects, screens):
        judged.append(pair.series.configuration)
        return [replace(finding, outcome="regressed") for finding in suspects]

    monkeypatch.setattr(verdicts_module, "confirm", confirmed)
    baselines, ledger = Baselines(tmp_path), Ledger(tmp_path)
    baselines.add([run_of(record(latency=10 + 0.01 * number)) for number in range(8)])
    tonight = [record(auroc=0.5, latency=5.0, finished="2026-01-02T00:00:00+00:00")]
    journals = Journals(tmp_path / "nightly")
    night = journals.begin("2026-01-02", "b" * 40, False, "all", Plan())
    with monkeypatch.context() as full:
        full.setattr(journal, "append_object", full_disk)
        with pytest.raises(OSError, match="No space"):
            evaluate_night(tonight, night, baselines, context, print)
    for _ in range(2):  # what was written whole is not judged again
        night = journals.unfinished()
        verdicts = evaluate_night(tonight, night, baselines, context, print)
        outcomes = {finding.quantity: finding.outcome for finding in verdicts.findings}
        assert outcomes["score.image_auroc"] == "regressed"
        assert outcomes[LATENCY] == "improved"
    assert len(judged) == 2
    remember(verdicts, baselines, ledger)
    assert {alarm.quantity for alarm in ledger.alarms} >= {"score.image_auroc"}
    assert baselines.runs[-1].outcome == "regressed"


def full_disk(path, line):
    """Take one finding, and no other."""
    if f"{path.read_text()}{json.dumps(line)}".count('"quantity"') > 1:
        raise OSError(errno.ENOSPC, "No space left on device")
    append_object(path, line)


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize(("later", "verdict"), [("b", ""), ("c", "fixed"), ("bc", "")])
def test_a_loss_that_is_gone_with_the_same_code_was_not_fixed(
    monkeypatch, context, tmp_path, later, verdict, broken
):
    def judged(context, cases, pair, suspects, screens):
        return [replace(finding, outcome="regressed") for finding in suspects]

    def failing(context, case, window, message):
        return Finding(case.configuration, FINISHES, "regressed", 1, 0, 1)

    no_trees(monkeypatch)
    monkeypatch.setattr(verdicts_module, "confirm", judged)
    monkeypatch.setattr(verdicts_module, "confirm_failure", failing)
    baselines, ledger = Baselines(tmp_path), Ledger(tmp_path)
    baselines.add([run_of(record(0.9))])
    for day, code in enumerate(f"b{later}", start=2):
        auroc = 0.8 if day == 2 else 0.9
        tonight = record(auroc, commit=code * 40, finished=f"2026-01-0{day}T00:00:00+00:00")
        if broken and day == 2:
            error = {"message": "it broke"}
            tonight = replace(tonight, status="failed", outcome="crash", error=error)
        night = replace(night_of(tmp_path, [tonight]), name=f"2026-01-0{day}", findings=[])
        verdicts = evaluate_night([tonight], night, baselines, context, print)
        remember(verdicts, baselines, ledger)
    assert {alarm.quantity == FINISHES for alarm in ledger.alarms} == {broken}
    assert {alarm.verdict for alarm in ledger.alarms} == {verdict}
    notes = [note for note in verdicts.notes if "not seen again with the same code" in note]
    assert bool(notes) == (not verdict)
    assert ("found fixed by a later nightly run" in ledger.precision()) == bool(verdict)


@pytest.mark.parametrize(("reason", "named"), [("stale", True), ("canary", False)])
def test_a_category_that_keeps_a_mean_from_being_formed_is_named(context, tmp_path, reason, named):
    baselines = Baselines(tmp_path)
    parts = [f"surface.{name}" for name in ("grid", "woven", "woven2")]
    baselines.add([run_of(make("stfpm_resnet18", data=data)) for data in parts])
    late = "2026-01-02T00:00:00+00:00"
    tonight = [make("stfpm_resnet18", data=data, finished=late) for data in parts[1:]]
    night = night_of(tmp_path, tonight, reason)
    verdicts = evaluate_night(tonight, night, baselines, context, print)
    grid = "stfpm_resnet18-surface.grid-default-pretrained"
    assert verdicts.incomplete == ({grid.replace("grid", "mean_of_3"): [grid]} if named else {})


@pytest.mark.parametrize(
    ("profile", "machine", "baseline", "verdict"),
    [
        ("", "", "main", "fixed"),
        ("own", "own", "main", "fixed"),
        ("own", "own", "other", ""),
        ("own", "a GPU", "main", ""),
        ("standard", "own", "main", ""),
    ],
)
def test_only_runs_under_its_own_conditions_close_an_alarm(
    context, tmp_path, profile, machine, baseline, verdict
):
    before = [run_of(record(finished=f"2026-01-0{day}T00:00:00+00:00")) for day in (1, 2, 3)]
    Baselines(tmp_path).add(before)
    series = before[0].series
    where = {
        "profile": series.profile if profile == "own" else profile,
        "machine": series.machine if machine == "own" else machine,
    }
    ledger = Ledger(tmp_path)
    where["baseline"] = baseline
    alarm = Alarm(series.configuration, "score.image_auroc", 0.1, code="worse", **where)
    assert ledger.raise_alarm(alarm)
    assert ledger.raise_alarm(replace(alarm, machine="another")) == bool(machine)
    assert not ledger.raise_alarm(replace(alarm, head="c" * 40))
    tonight = [record(finished="2026-01-09T00:00:00+00:00")]
    remember(
        evaluate_night(tonight, night_of(tmp_path, tonight), Baselines(tmp_path), context, print),
        Baselines(tmp_path),
        ledger,
    )
    assert Ledger(tmp_path).alarms[0].verdict == verdict
