"""Suspects are judged by fresh runs: exact scores by one of each side, all else by tests."""

from dataclasses import replace

import numpy as np
import pytest
from fake_records import make
from night_setup import BYTES, LATENCY, night_of, no_trees, record

from bench.provenance.fingerprint import Fingerprint
from bench.regression import confirmation
from bench.regression import verdicts as verdicts_module
from bench.regression.baselines import Baselines, run_of
from bench.regression.compare import Pair, fixed_findings, memory_findings, screen_all
from bench.regression.confirmation import (
    base_of,
    confirm,
    confirm_failure,
)
from bench.regression.finding import FINISHES
from bench.regression.fresh import FreshRun
from bench.regression.ledger import Ledger
from bench.regression.night_report import night_report
from bench.regression.remember import remember
from bench.regression.verdicts import evaluate_night
from bench.store import Store


def test_a_lost_score_and_a_larger_or_slower_program_are_all_confirmed(
    monkeypatch, context, tmp_path
):
    """One change may cost quality, memory and speed of a model without randomness at once."""
    sides = {"A": (0.9, 60.0, 10.0), "B": (0.8, 120.0, 20.0)}
    noise = np.random.default_rng(0)

    def fresh(order, trees, cases, settings, folder):
        runs = {}
        for letter, (auroc, size, latency) in sides.items():
            varying = [latency * (1 + 0.005 * noise.normal()) for _ in cases]
            runs[letter] = [FreshRun(record(auroc, size, x), "", tmp_path) for x in varying]
        return runs

    no_trees(monkeypatch)
    monkeypatch.setattr(confirmation, "run_block", fresh)
    before = [run_of(record(latency=10 * (1 + 0.005 * noise.normal()))) for _ in range(8)]
    pair = Pair(before[0].series, [run_of(record(*sides["B"]))], before, fixed=True)
    screens = screen_all([pair])[0]
    slower = [f for screen in screens for f in screen.findings if f.outcome == "suspect"]
    suspects = [*fixed_findings(pair), *memory_findings(pair), *slower]
    assert {f.quantity for f in suspects} == {"score.image_auroc", "score.pixel_auroc"} | {
        BYTES,
        LATENCY,
    }
    found = confirm(context, [record().case], pair, suspects, screens)
    outcomes = {f.quantity: f.outcome for f in found}
    assert outcomes.pop("score.image_auroc") == "changed"  # without scores there is no paired test
    assert outcomes == dict.fromkeys(["score.pixel_auroc", BYTES, LATENCY], "regressed")


@pytest.mark.parametrize(("fixed", "expected"), [(True, "b"), (False, "c")])
def test_the_base_is_a_run_whose_code_can_be_run_again(monkeypatch, fixed, expected):
    gone = {("a" * 40, False): "gone", ("d" * 40, True): "dirty"}
    monkeypatch.setattr(confirmation, "why_unreachable", lambda *code: gone.get(code))
    window = [
        run_of(record(commit=name * 40, dirty=dirty))
        for name, dirty in (("a", False), ("b", False), ("c", False), ("d", True))
    ]
    pair = Pair(window[0].series, window[:1], window, fixed)
    assert base_of(pair, [LATENCY]).commit == expected * 40
    nothing = Pair(window[0].series, window[:1], [window[0], window[3]], fixed)
    assert base_of(nothing, [LATENCY]) == nothing.base


@pytest.mark.parametrize(
    ("changes", "is_good"),
    [
        ({}, True),
        ({"outcome": "improved"}, True),
        ({"outcome": "underpowered"}, False),
        ({"outcome": "env-shift"}, False),
        ({"values": {BYTES: 1.0}}, False),  # its speed was not judged
    ],
)
def test_a_run_that_was_not_judged_is_no_base(monkeypatch, changes, is_good):
    no_trees(monkeypatch)
    good, newest = (run_of(record(commit=name * 40), outcome="ok") for name in "ab")
    window = [good, replace(newest, **changes)]
    pair = Pair(good.series, window[:1], window, fixed=False)
    assert base_of(pair, [LATENCY]).commit == ("b" if is_good else "a") * 40
    pair = replace(pair, window=window[1:])
    assert (base_of(pair, [LATENCY]) is None) != is_good


def test_a_speed_lost_on_a_busy_night_is_confirmed_on_the_next(monkeypatch, context, tmp_path):
    """The busy night's commit is slower too, and must not count as good."""
    latency, noise = {"a": 10.0, "b": 12.0}, np.random.default_rng(0)

    def at(commit, day, busy=False):
        moment = f"2026-01-{day:02}T00:00:00+00:00"
        value = latency[commit[0]] * (1 + 0.005 * noise.normal())
        made = record(latency=value, commit=commit, finished=moment)
        made.environment["busy"] = busy
        return made

    def fresh(order, trees, cases, settings, folder):
        commits = {letter: tree.commit for letter, tree in trees.items()}
        return {
            letter: [FreshRun(at(commit, 20), "", tmp_path) for _ in cases]
            for letter, commit in commits.items()
        }

    no_trees(monkeypatch)
    monkeypatch.setattr(confirmation, "run_block", fresh)
    baselines, ledger = Baselines(tmp_path), Ledger(tmp_path)
    before = [at("a" * 40, day) for day in range(1, 9)]
    baselines.add([run_of(one, str(day), "ok") for day, one in enumerate(before)])
    context = replace(context, busy=False, commit="b" * 40)
    for day, busy in ((9, True), (10, False)):
        tonight = [at("b" * 40, day, busy)]
        night = replace(night_of(tmp_path, tonight), name=str(day), findings=[])
        verdicts = evaluate_night(tonight, night, baselines, context, print)
        remember(verdicts, baselines, ledger)
    (alarm,) = ledger.alarms
    assert (alarm.quantity, alarm.base) == (LATENCY, "a" * 40)


@pytest.mark.parametrize("commit", ["b" * 40, None])
@pytest.mark.parametrize("kind", ["fixed", "varying"])
def test_code_that_is_edited_during_a_night_confirms_nothing(
    monkeypatch, context, tmp_path, commit, kind
):
    """A commit runs in its own worktree; without one, an edit shows in the hash of the code."""
    seen = []

    def fresh(order, trees, cases, settings, folder):
        seen.append(trees["B"].commit)
        codes = {"A": "a" * 40, "B": trees["B"].commit or "edited".ljust(40)}
        return {
            letter: [FreshRun(record(**of_side, commit=codes[letter]), "", tmp_path) for _ in cases]
            for letter, of_side in (("A", {}), ("B", worse))
        }

    no_trees(monkeypatch)
    monkeypatch.setattr(confirmation, "run_block", fresh)
    before = [run_of(record(latency=10 + 0.01 * number)) for number in range(8)]
    baselines = Baselines(tmp_path)
    baselines.add(before)
    worse = {"auroc": 0.5} if kind == "fixed" else {"latency": 20.0}
    tonight = [record(**worse, commit="b" * 40, finished="2026-01-02T00:00:00+00:00")]
    context = replace(context, commit=commit)
    found = evaluate_night(tonight, night_of(tmp_path, tonight), baselines, context, print).findings
    assert set(seen) == {commit}
    edited = {
        "the code was edited before the confirming runs" in finding.method for finding in found
    }
    assert edited == {finding.outcome == "invalid" for finding in found} == {commit is None}


@pytest.mark.parametrize(
    ("lacking", "asked", "missing"),
    [
        ({"measurements": {BYTES: 2.0**20, LATENCY: None}}, {}, [LATENCY]),
        ({"measurements": {BYTES: 0, LATENCY: 10.0}}, {}, []),  # none is needed any more
        ({"measurements": {"parameters": 1}}, {"measurements": False}, []),
        ({"metrics": {}}, {}, ["score.pixel_auroc"]),
    ],
)
def test_a_quantity_that_disappears_is_invalid(context, tmp_path, lacking, asked, missing):
    baselines = Baselines(tmp_path)
    baselines.add([run_of(record(latency=10 + 0.01 * number)) for number in range(8)])
    reasons = {LATENCY: "this would have exceeded the limit"}
    late = "2026-01-02T00:00:00+00:00"
    tonight = [record(finished=late, asked=asked, reasons=reasons, **lacking)]
    verdicts = evaluate_night(tonight, night_of(tmp_path, tonight), baselines, context, print)
    assert [(f.quantity, f.outcome) for f in verdicts.findings] == [
        (name, "invalid") for name in missing
    ]
    assert verdicts.exit_code == (11 if missing else 0)
    if LATENCY in missing:
        page = night_report(verdicts, Ledger(tmp_path))
        said = "10 ms → none, no value tonight: this would have exceeded the limit"
        assert f"{LATENCY} {said}" in page


@pytest.mark.parametrize(
    ("again", "before", "outcome", "said"),
    [
        (True, True, "invalid", "failed once and then finished"),
        (False, False, "invalid", "and so does the baseline's code"),
        (False, True, "regressed", "fails twice, and finishes with aaaaaaa"),
    ],
)
def test_a_case_that_no_longer_finishes_is_run_again_on_both_sides(
    monkeypatch, context, tmp_path, again, before, outcome, said
):
    def fresh(tree, cases, settings, folder):
        finishes = before if tree.commit else again
        return [FreshRun(record() if finishes else None, "" if finishes else "broken", tmp_path)]

    no_trees(monkeypatch)
    monkeypatch.setattr(confirmation, "run_fresh", fresh)
    found = confirm_failure(context, record().case, [run_of(record())], "it broke")
    assert (found.quantity, found.outcome) == (FINISHES, outcome)
    assert said in found.method


def test_a_case_that_no_longer_finishes_is_bisected_from_its_newest_commit(
    monkeypatch, context, tmp_path
):
    """The newest run may be of uncommitted code, and no run of tonight finished."""
    no_trees(monkeypatch)
    monkeypatch.setattr(
        confirmation, "why_unreachable", lambda _, dirty: "dirty" if dirty else None
    )
    baselines, ledger = Baselines(tmp_path), Ledger(tmp_path)
    days = ((1, "a", False), (2, "b", False), (3, "c", True))
    for day, commit, dirty in days:
        moment = f"2026-01-0{day}T00:00:00+00:00"
        baselines.add([run_of(record(commit=commit * 40, dirty=dirty, finished=moment))])

    def fresh(tree, cases, settings, folder):
        return [FreshRun(record() if tree.commit else None, "broken", tmp_path)]

    monkeypatch.setattr(confirmation, "run_fresh", fresh)
    broken = record(status="failed")
    remember(
        evaluate_night([broken], night_of(tmp_path, [broken]), baselines, context, print),
        baselines,
        ledger,
    )
    (alarm,) = ledger.alarms
    assert (alarm.quantity, alarm.base) == (FINISHES, "b" * 40)


def test_a_large_loss_that_one_seed_cannot_judge_is_on_the_page(context, tmp_path):
    baselines = Baselines(tmp_path)
    baselines.add([run_of(make("stfpm_resnet18", auroc=0.9, images=None))])
    tonight = [make("stfpm_resnet18", auroc=0.87, finished="2026-01-02T00:00:00+00:00")]
    verdicts = evaluate_night(tonight, night_of(tmp_path, tonight), baselines, context, print)
    (found,) = [f for f in verdicts.findings if f.quantity == "score.image_auroc"]
    assert found.outcome == "underpowered"
    assert "more runs tell" in found.method


def test_a_throttled_night_judges_no_speed_and_keeps_its_qualities(context, tmp_path):
    baselines = Baselines(tmp_path)
    baselines.add([run_of(record(latency=10 + 0.01 * number)) for number in range(8)])
    hot = record(latency=20.0, finished="2026-01-02T00:00:00+00:00")
    hot.environment["throttled"] = True
    verdicts = evaluate_night([hot], night_of(tmp_path, [hot]), baselines, context, print)
    (found,) = verdicts.findings
    assert (found.quantity, found.outcome) == (LATENCY, "invalid")
    assert verdicts.exit_code == 11
    remember(verdicts, baselines, Ledger(tmp_path))
    run = baselines.runs[-1]
    assert run.outcome == "ok"
    assert run.values.keys() == {"score.image_auroc", "score.pixel_auroc", BYTES}


def test_a_gain_that_is_lost_again_is_suspect(context, tmp_path):
    baselines, ledger = Baselines(tmp_path), Ledger(tmp_path)
    noise, outcomes = np.random.default_rng(0), []

    def at(latency, day):
        moment = f"2026-01-{day:02}T00:00:00+00:00"
        return record(latency=latency * (1 + 0.002 * noise.normal()), finished=moment)

    baselines.add([run_of(at(10.0, day)) for day in range(1, 9)])
    for day, latency in enumerate((6.5, 6.5, 6.5, 9.7), start=9):
        tonight = [at(latency, day)]
        night = replace(night_of(tmp_path, tonight), name=f"2026-01-{day:02}", findings=[])
        verdicts = evaluate_night(tonight, night, baselines, context, print)
        remember(verdicts, baselines, ledger)
        outcomes.append(baselines.runs[-1].outcome)
    assert outcomes == ["improved", "improved", "improved", "suspect"]
    (found,) = verdicts.findings
    assert found.quantity == LATENCY
    assert found.base == pytest.approx(6.5, rel=0.01)


def test_a_gain_of_a_model_without_randomness_that_is_lost_again_is_suspect(
    monkeypatch, context, tmp_path
):
    """A metric without a paired test changes as well; the case improved all the same."""

    def judged(context, cases, pair, suspects, screens):
        gains = {"score.image_auroc": "improved", "score.pixel_auroc": "changed"}
        return [
            replace(f, outcome=gains[f.quantity] if f.loss < 0 else "suspect") for f in suspects
        ]

    monkeypatch.setattr(verdicts_module, "confirm", judged)
    baselines, ledger = Baselines(tmp_path), Ledger(tmp_path)
    outcomes = []
    for number, auroc in enumerate((0.9, 0.95, 0.9)):
        moment = f"2026-01-{number + 1:02}T00:00:00+00:00"
        tonight = [record(auroc, finished=moment)]
        night = replace(night_of(tmp_path, tonight), name=moment[:10], findings=[])
        remember(evaluate_night(tonight, night, baselines, context, print), baselines, ledger)
        outcomes.append(baselines.runs[-1].outcome)
    assert outcomes == ["first", "improved", "suspect"]


@pytest.mark.parametrize("slowed", [{}, {"busy": True}, {"throttled": True}])
def test_a_canary_that_was_slowed_does_not_say_that_the_machine_changed(context, tmp_path, slowed):
    baselines = Baselines(tmp_path)
    baselines.add([run_of(record(latency=10 + 0.01 * number)) for number in range(8)])
    canary = record(latency=12.0, finished="2026-01-02T00:00:00+00:00")
    canary.environment |= {"exclusive": True, "busy": False} | slowed
    night = night_of(tmp_path, [canary], "canary")
    notes = evaluate_night([canary], night, baselines, replace(context, busy=False), print).notes
    assert any("ENV-SHIFT" in note for note in notes) == (not slowed)


def test_a_throttled_confirmation_confirms_nothing(monkeypatch, context, tmp_path):
    sides = {"A": 10.0, "B": 20.0}

    def fresh(order, trees, cases, settings, folder):
        runs = {
            letter: [record(latency=latency + number / 100) for number, _ in enumerate(cases)]
            for letter, latency in sides.items()
        }
        runs["A"][-1].environment["throttled"] = True
        return {
            letter: [FreshRun(one, "", tmp_path) for one in of_side]
            for letter, of_side in runs.items()
        }

    no_trees(monkeypatch)
    monkeypatch.setattr(confirmation, "run_block", fresh)
    before = [run_of(record(latency=10 + 0.01 * number)) for number in range(8)]
    pair = Pair(before[0].series, [run_of(record(latency=20.0))], before, fixed=True)
    screens = screen_all([pair])[0]
    suspects = [f for screen in screens for f in screen.findings if f.outcome == "suspect"]
    (found,) = confirm(context, [record().case], pair, suspects, screens)
    assert (found.quantity, found.outcome) == (LATENCY, "invalid")
    assert found.method == "thermal throttling in a fresh run"


@pytest.mark.parametrize(
    ("changed", "judged"),
    [(["models/dfm.py"], False), (["scratch.py"], True), ([], False)],  # since then committed
)
def test_uncommitted_code_of_a_case_raises_no_alarm(
    monkeypatch, context, tmp_path, changed, judged
):
    confirmed = []
    monkeypatch.setattr(verdicts_module, "uncommitted_files", lambda: changed)
    monkeypatch.setattr(
        verdicts_module, "confirm", lambda *arguments: confirmed.append(arguments) or []
    )
    baselines = Baselines(tmp_path)
    baselines.add([run_of(record(auroc=0.9))])
    worse = record(auroc=0.5, finished="2026-01-02T00:00:00+00:00")
    Store(context.settings.runs_dir).keep_code(Fingerprint("a" * 8, {"models/dfm.py": "1"}))
    broken = replace(worse, status="failed", outcome="crash", error={"message": "it broke"})
    night = night_of(tmp_path, [worse], dirty=True)
    verdicts = evaluate_night([worse], night, baselines, context, print)
    assert bool(confirmed) == judged
    assert verdicts.exit_code == 0
    if not judged:
        found = [f for f in verdicts.findings if f.quantity == "score.image_auroc"]
        assert [f.outcome for f in found] == ["suspect"]
        assert "uncommitted changes" in found[0].method
        (failed,) = evaluate_night([broken], night, baselines, context, print).findings[-1:]
        assert (failed.quantity, failed.outcome) == (FINISHES, "invalid")
        assert "uncommitted changes" in failed.method
