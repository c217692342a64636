"""Named baselines and the ledger: append-only, by machine, with segments."""

from dataclasses import asdict, replace

import pytest
from fake_records import make

from bench.lines import append_object
from bench.regression.baselines import Acceptance, Baselines, changed_constants, run_of
from bench.regression.ledger import Alarm, Ledger
from bench.regression.series import Quantity, series_of, values_of

CONFIGURATION = "rd_resnet18-surface.woven-default-pretrained"


def run(night="1", **fields):
    return run_of(make(finished=f"2026-01-0{night}T00:00:00+00:00", **fields), night)


def test_a_run_is_kept_once_and_read_again(tmp_path):
    baselines = Baselines(tmp_path)
    first = run(auroc=0.91)
    baselines.add([first, first])
    baselines.add([first])
    (again,) = Baselines(tmp_path).runs
    assert again == first
    assert again.values["single_scale.image_auroc"] == 0.91
    assert again.case == f"{CONFIGURATION}-s0"


def test_a_torn_line_costs_itself_alone(tmp_path):
    baselines = Baselines(tmp_path)
    baselines.add([run("1")])
    with baselines.path.open("a") as file:
        file.write('{"run": {"series"')
    Baselines(tmp_path).add([run("2")])
    assert [one.night for one in Baselines(tmp_path).runs] == ["1", "2"]


def test_an_acceptance_begins_a_segment(tmp_path):
    baselines = Baselines(tmp_path)
    baselines.add([run("1"), run("2")])
    series = run().series
    assert len(baselines.window(series)) == 2
    baselines.accept(Acceptance(CONFIGURATION, "larger batches", "abc"))
    assert baselines.window(series) == []
    assert "larger batches" in baselines.why_none(series)
    baselines.add([run("3")])
    assert [one.night for one in Baselines(tmp_path).window(series)] == ["3"]
    assert len(baselines.runs) == 3


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"environment": "H200 | torch 2.14"}, "machine cpu | torch 2.14, now H200"),
        ({"images": "other data"}, "data hash of surface"),
        ({"profile": "standard"}, "profile smoke, now standard"),
        ({"protocol": {"image_size": 64}}, "budget 128 px"),
        ({"protocol": {"fit": "pad"}}, "now 128 px, float32, pad"),
        ({"protocol": {"tiles": [2, 3], "overlap": 16}}, "2x3 tiles overlapping by 16 px"),
        ({"protocol": {"tiles": [2, 2], "overlap": 0}}, "2x2 tiles overlapping by 0 px"),
    ],
)
def test_other_conditions_are_another_history_and_named(tmp_path, changes, part):
    baselines = Baselines(tmp_path)
    baselines.add([run("1")])
    other = run("2", **changes).series
    assert baselines.window(other) == []
    assert part in baselines.why_none(other)


def test_a_few_shot_run_that_repeats_the_first_has_a_history_of_its_own():
    data = "0123456789abcdef" * 4
    own = {"first_data_sha256": data}
    runs = [make(images=data), make(images="e" * 64, seed=1, fingerprints=own)]
    runs += [make(images=data, seed=1), make(images="f" * 64, seed=1)]
    shared = [series_of(replace(one, case=replace(one.case, shots=4))).data for one in runs]
    assert shared[:2] == [data[:16]] * 2
    assert len(set(shared[1:])) == 3


def test_whole_images_that_are_squashed_keep_the_history_of_older_records():
    shape = {"fit": "squash", "tiles": None, "overlap": 0}
    assert series_of(make(protocol=shape)) == series_of(make())


def test_a_changed_recipe_is_compared_and_named(tmp_path):
    baselines = Baselines(tmp_path)
    before = run("1", protocol={"recipe": {"lr": 0.4, "source": "a"}}, recipe="a")
    now = run("2", protocol={"recipe": {"lr": 4.0, "source": "b"}}, recipe="b")
    baselines.add([before])
    assert baselines.window(now.series) == [before]
    assert changed_constants(before.protocol, now.protocol) == ["lr 0.4 → 4.0"]


def test_what_alarmed_is_not_compared_with(tmp_path):
    baselines = Baselines(tmp_path)
    worse = run_of(make(auroc=0.5), "2", outcome="regressed")
    baselines.add([run("1"), worse])
    assert [one.night for one in baselines.window(worse.series)] == ["1"]


def test_an_improvement_begins_the_window_once_three_runs_are_left_of_it(tmp_path):
    """A night of several seeds is kept whole; of repeated improvements the newest one counts."""
    baselines = Baselines(tmp_path)
    series = run().series

    def nights():
        return [one.night for one in baselines.window(series)]

    baselines.add([run("1"), run("2")])
    for seed in (0, 1):
        moment = "2026-01-03T00:00:00+00:00"
        better = make(auroc=0.95, seed=seed, finished=moment)
        baselines.add([run_of(better, "3", "improved")])
    assert nights() == ["1", "2", "3", "3"]
    baselines.add([run("4", auroc=0.95)])
    assert nights() == ["3", "3", "4"]
    assert [one.night for one in baselines.window(series, "4")] == ["1", "2", "3", "3"]
    baselines.add([replace(run("5", auroc=0.97), outcome="improved"), run("6", auroc=0.97)])
    assert nights() == ["3", "3", "4", "5", "6"]
    baselines.add([run("7", auroc=0.97)])
    assert nights() == ["5", "6", "7"]


def test_without_a_baseline_it_says_so(tmp_path):
    assert "no baseline yet" in Baselines(tmp_path).why_none(series_of(make()))


def test_watched_are_metrics_without_test_labels_and_measurements():
    metrics = {"f1_best": 0.9, "pixel_auroc": 0.8, "aupimo": 0.5, "f1": 0.7}
    measured = {"train_images_per_s": 10.0, "train_rise_host_bytes": 2.0**20, "parameters": 5}
    values = values_of(make(metrics=metrics, measurements=measured))
    names = {name for name in values if name.startswith("single_scale")}
    assert names == {"single_scale.image_auroc", "single_scale.pixel_auroc"}
    assert {"train_images_per_s", "train_rise_host_bytes"} <= values.keys()
    assert "parameters" not in values
    exact = values_of(make(model="dfm_resnet18", metrics=metrics))
    assert "score.f1" in exact


@pytest.mark.parametrize(
    ("name", "base", "value", "loss"),
    [
        ("score.image_auroc", 0.9, 0.8, 0.1),
        ("score.false_alarms", 0.1, 0.3, 0.2),
        ("train_images_per_s", 100.0, 90.0, 0.1),
        ("latency_p50_ms", 10.0, 11.0, 0.1),
        ("train_rise_host_bytes", 100.0, 150.0, 0.5),
    ],
)
def test_a_loss_is_what_is_worse(name, base, value, loss):
    assert Quantity(name).loss(base, value) == pytest.approx(loss)
    assert Quantity(name).loss(base, base) == 0


def alarm(head="b" * 40, quantity="score.image_auroc"):
    return Alarm(CONFIGURATION, quantity, 0.05, (0.03, 0.07), 1e-6, "a" * 40, head, "2026-01-01")


def test_an_open_alarm_is_not_duplicated_and_a_judged_one_counts(tmp_path):
    ledger = Ledger(tmp_path)
    assert ledger.precision() == "no alarm yet"
    assert ledger.raise_alarm(alarm())
    assert not ledger.raise_alarm(alarm())
    assert not ledger.raise_alarm(alarm(head="c" * 40))  # open since b
    assert ledger.raise_alarm(alarm(quantity="train_images_per_s"))
    first, second = ledger.open()
    ledger.add_verdict(first, "fixed", "commit c")
    ledger.add_verdict(second, "false", "a neighbor")
    again = Ledger(tmp_path)
    assert again.open() == []
    assert [one.verdict for one in again.alarms] == ["fixed", "false"]
    assert again.alarms[0].interval == (0.03, 0.07)
    assert "1 of 2" in again.precision()
    assert "50 %" in again.precision()


def test_a_verdict_is_one_of_three(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.raise_alarm(alarm())
    with pytest.raises(ValueError, match="accepted, fixed, false"):
        ledger.add_verdict(alarm(), "maybe", "")


def test_alarms_and_verdicts_of_another_version_are_ignored_and_counted(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.raise_alarm(alarm())
    others = [
        {"alarm": asdict(alarm(head="c" * 40)) | {"severity": 3}},
        {"alarm": {"configuration": CONFIGURATION}},
        {"alarm": None},
        {"verdict": "false", "of": alarm().id},
    ]
    for line in others:
        append_object(ledger.path, line)
    again = Ledger(tmp_path)
    assert again.alarms == again.open() == [alarm()]
    assert again.ignored == len(others)
    assert "4 lines were written by another version" in again.ignored_text()
