"""The load of a machine, from its counters and next to a process that is really busy."""

import os
import subprocess
import sys
import time

import pytest

from bench.provenance import load as module
from bench.provenance.load import Load, LoadMeter


@pytest.mark.parametrize(
    ("others", "stolen", "cores", "threads", "disturbed"),
    [
        (0.05, 0.0, 2, 2, False),  # daemons
        (0.50, 0.0, 2, 2, True),
        (0.90, 0.0, 2, 1, False),  # each has its own processor
        (1.20, 0.0, 2, 1, True),
        (30.0, 0.0, 64, 16, False),
        (50.0, 0.0, 64, 16, True),
        (0.00, 0.1, 2, 1, True),  # another virtual machine
        (0.00, 0.01, 2, 2, False),
    ],
)
def test_a_computation_is_disturbed_if_it_lacks_processors(
    others, stolen, cores, threads, disturbed
):
    assert Load(others, stolen, cores).disturbs(threads) is disturbed


@pytest.fixture
def counters(monkeypatch, tmp_path):
    """Counters of two processors, of which this process may use the first."""
    monkeypatch.setattr(module, "_STAT", tmp_path / "stat")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    own, clock = [0.0], [100.0]
    monkeypatch.setattr(module, "_own_seconds", lambda: own[0])
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    tick = os.sysconf("SC_CLK_TCK")

    def write(busy, idle, stolen=0.0, own_seconds=0.0, now=100.0):
        own[0], clock[0] = own_seconds, now
        row = [busy, 0, 0, idle, 0, 0, 0, stolen, 0, 0]
        first = " ".join(str(int(seconds * tick)) for seconds in row)
        (tmp_path / "stat").write_text(f"cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 {first}\ncpu1 9 0 0 9\n")

    write(10, 90)
    return write


def test_own_time_is_not_others_and_idle_is_nobodys(counters):
    meter = LoadMeter()
    counters(18, 91, stolen=1, own_seconds=3, now=110)
    assert meter.read() == Load(others=0.5, stolen=0.1, cores=1)


def test_without_counters_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_STAT", tmp_path / "none")
    assert LoadMeter().read() is None


@pytest.mark.skipif(not module._STAT.exists(), reason="this system has no /proc/stat")
def test_a_busy_process_is_seen():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        meter, end = LoadMeter(), time.monotonic() + 0.6
        while time.monotonic() < end:
            pass
        busy = meter.read()
        process.kill()
    assert busy.others > 0.2  # at least its share of a crowded processor


def test_own_time_is_the_processor_time_of_this_process():
    before, processor = module._own_seconds(), time.process_time()
    while time.process_time() - processor < 0.2:
        pass
    spent = time.process_time() - processor
    assert module._own_seconds() - before == pytest.approx(spent, abs=0.1)  # it counts in ticks
