"""The summary of a session says which of its speeds other processes disturbed."""

from collections import Counter
from types import SimpleNamespace

import pytest
from fake_records import make

from bench.session import Tally
from bench.settings import Settings
from bench.summary import write_summary


@pytest.fixture
def summary(tmp_path):
    """Return the lines of the summary of a session with some records."""

    def summarize(records, **fields):
        lines = []
        terminal = SimpleNamespace(
            section=lambda *_, **__: None, write_line=lambda line, **_: lines.append(line)
        )
        settings = Settings("smoke", "cpu", (), (), tmp_path, tmp_path / "cache")
        tally = Tally(records=records, outcomes=Counter(ok=len(records)), **fields)
        write_summary(terminal, tally, settings)
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


def test_speeds_of_an_idle_machine_are_not_mentioned(summary):
    assert not [line for line in summary(ran(2, busy=False)) if "busy" in line]


def test_reasons_to_run_again_are_counted_and_the_rest_is_summed_up(summary):
    reruns = {f"reason {number}": ["case"] * number for number in range(1, 6)}
    lines = summary(ran(1), reruns=reruns)
    assert [line for line in lines if line.startswith("ran again")] == [
        "ran again 1: reason 1",
        "ran again 2: reason 2",
        "ran again 3: reason 3",
    ]
    assert "… and 2 more reasons" in lines
