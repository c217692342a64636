"""The summary of a session: counts, speeds that were disturbed, why nothing ran, what is next."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fake_records import make

from bench.session import Tally
from bench.settings import Settings
from bench.summary import write_summary


@pytest.fixture
def summary(tmp_path):
    """Return the lines of the summary of a session with some records."""

    def summarize(records, selected=1, *, options=None, **fields):
        lines = []
        option = SimpleNamespace(keyword="tiny", markexpr="")
        manager = SimpleNamespace(get_plugin=lambda _: SimpleNamespace(testscollected=selected))
        terminal = SimpleNamespace(
            section=lambda *_, **__: None,
            write_line=lambda line, **_: lines.append(line),
            config=SimpleNamespace(option=option, getini=lambda _: [], pluginmanager=manager),
            stats={"deselected": [None] * 9, **fields.pop("stats", {})},
        )
        folders = ((tmp_path / "data",), ())
        places = tmp_path, tmp_path / "cache"
        settings = Settings("smoke", "cpu", *folders, *places, **(options or {}))
        outcomes = fields.pop("outcomes", Counter(record.outcome for record in records))
        write_summary(terminal, Tally(records=records, outcomes=outcomes, **fields), settings)
        return lines

    return summarize


def ran(count, **conditions):
    records = [make(seed=seed) for seed in range(count)]
    for record in records:
        record.environment |= conditions
    return records


@pytest.mark.parametrize("conditions", [{"busy": True}, {"exclusive": False}])
def test_disturbed_speeds_are_counted(summary, conditions):
    lines = summary([*ran(2, **conditions), *ran(1, busy=False, exclusive=True)])
    (line,) = [line for line in lines if "busy machine" in line]
    assert line.startswith("2 of 3 cases ran on a busy machine: their speeds are marked")
    assert "they run again when it is idle" in line


def test_throttled_speeds_are_counted_apart(summary):
    hot = ran(1, busy=False, exclusive=True, throttled=True)
    lines = summary([*hot, *ran(2, busy=False, exclusive=True, throttled=False)])
    (line,) = [line for line in lines if "throttled" in line]
    assert line.startswith("1 of 3 cases ran on a thermally throttled machine")
    assert not [line for line in lines if "busy" in line]


def test_cases_without_a_speed_have_none_that_was_disturbed(summary):
    conditions = {"busy": True, "throttled": True}
    for untimed in ({"fit_seconds": 3.0}, {"inference_images_per_s": None}):
        record = make(measurements=untimed)
        record.environment |= conditions
        assert not [line for line in summary([record]) if "machine" in line]
    lines = [line for line in summary([record, *ran(1, **conditions)]) if "machine" in line]
    assert [line[:13] for line in lines] == ["1 of 1 cases "] * 2


def test_speeds_of_an_idle_machine_are_not_mentioned(summary):
    assert not [line for line in summary(ran(2, busy=False)) if "busy" in line]


@pytest.mark.parametrize(
    ("classes", "said"),
    [(["old", "new"], ["new"]), (["old", None], ["old"]), ([None, None], [])],
)
def test_the_newest_known_environment_is_named(summary, classes, said):
    records = [replace(make(seed=n), environment={"class": c}) for n, c in enumerate(classes)]
    records[-1].environment |= {"exclusive": True}
    lines = [line for line in summary(records) if line.startswith("environment")]
    assert lines == [f"environment  {name}" for name in said]


def test_reasons_to_run_again_are_counted_and_the_rest_is_summed_up(summary):
    reruns = {f"reason {number}": ["case"] * number for number in range(1, 6)}
    lines = summary(ran(1), reruns=reruns)
    assert [line for line in lines if line.startswith("ran again")] == [
        "ran again 1: reason 1",
        "ran again 2: reason 2",
        "ran again 3: reason 3",
    ]
    assert "… and 2 more reasons" in lines


def failed(outcome, data="parts.all"):
    record = make(data=data, status="failed")
    record.outcome = outcome
    record.environment |= {"busy": True, "throttled": True}
    return record


def test_failed_cases_are_counted_as_such_and_have_no_speeds(summary):
    first, *lines = summary([failed("data"), failed("data"), failed("oom")], seconds=240.4)
    assert first == "3 failed (2 data, 1 oom) · profile smoke · ran 240 s"
    assert not [line for line in lines if "busy" in line or "throttled" in line]
    both = summary([*ran(1, busy=True), failed("data")])
    assert [line for line in both if line.startswith("1 of 1 cases ran on a busy machine")]


@pytest.mark.parametrize(
    ("records", "names"),
    [
        ([failed("data"), failed("data", "parts.b"), failed("data", "mvtec.nut")], "parts mvtec"),
        ([failed("oom")], ""),
        ([failed("data", "surface.woven")], ""),  # it is generated
    ],
)
def test_failures_of_data_are_answered_with_the_command_that_lists_bad_files(
    summary, tmp_path, monkeypatch, records, names
):
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    command = f"python -m bench data verify {names} --data-dir {tmp_path / 'data'}"
    said = [line for line in summary(records) if line.startswith("next")]
    assert said == ([f"next         {command}  (lists every bad file)"] if names else [])


@pytest.mark.parametrize("folder", ["부품", "custom/부품"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "--format onnx --data-dir data"),
        ({"fit": "pad"}, "--format onnx --frames --data-dir data"),
        ({"max_megapixels": 200}, "--format onnx --data-dir data --max-megapixels 200"),
        ({"tiles": (1, 2)}, None),
    ],
)
def test_the_commands_that_use_a_saved_model_work_as_printed(
    summary, tmp_path, monkeypatch, write_category, folder, options, words
):
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    monkeypatch.chdir(tmp_path)
    write_category(tmp_path / "data" / folder / "너트", 1, 1, 1)
    record = replace(make("padim_resnet18", "bupum.neoteu"), artifacts={"model": "model.pth"})
    said = summary([record], options={"save_models": True, **options})
    predict, *export = [line.split(maxsplit=1)[1] for line in said if line.startswith("next")]
    images = f"data/{folder}/너트/test"
    assert predict == f"python -m bench predict model.pth '{images}' --maps maps"
    assert export == ([f"python -m bench export model.pth {words}"] if words else [])


@pytest.mark.parametrize(
    ("selected", "stats", "why"),
    [
        (
            *(0, {}),
            "-k 'tiny' selected none of 9; python -m bench data where lists the datasets and their "
            "tasks",
        ),
        (1, {"failed": [SimpleNamespace(user_properties=[])]}, "1 ended with the errors above"),
        (1, {}, "the session ended before the first one"),
    ],
)
def test_nothing_was_selected_only_if_that_is_so(summary, selected, stats, why):
    assert summary([], selected, stats=stats)[0] == f"no case was run: {why}"


@pytest.mark.parametrize(
    ("gate", "outcomes", "line"),
    [
        (None, Counter(ok=1), []),
        (
            Counter({"in baseline": 1}),
            Counter(cached=1),
            ["0 of 1 compared (1 is the baseline's own run: --rerun runs it again), 0 regressed"],
        ),
        (
            Counter({"in baseline": 2}),
            Counter(cached=2, skipped=10),
            [
                "0 of 12 compared (2 are the baseline's own runs: --rerun runs them again; 10 "
                "skipped), 0 regressed"
            ],
        ),
        (
            Counter({"compared": 2, "no baseline": 1}),
            Counter(ok=2, regressed=1, data=1),
            [
                "2 of 4 compared (1 without a baseline: python -m bench nightly makes one; 1 not "
                "finished), 1 regressed"
            ],
        ),
    ],
)
def test_a_gate_always_says_what_it_compared(summary, gate, outcomes, line):
    lines = summary([], outcomes=outcomes, gate=gate)
    assert [said.removeprefix("gate         ") for said in lines if "gate  " in said] == line
