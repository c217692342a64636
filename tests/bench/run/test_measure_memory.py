"""Peak memory includes what was there only briefly, and is reset for the next block."""

import gc
import mmap
import subprocess
import sys

import numpy as np
import pytest
import torch

from bench.run.measure import memory
from bench.run.measure.memory import make_room, measure_memory, peak_host_memory

MB = 1_000_000


def touch(megabytes):
    np.ones(megabytes * MB, dtype=np.uint8)


def test_peak_sees_an_allocation_that_is_gone():
    gc.collect()
    with peak_host_memory() as small:
        touch(1)
    with peak_host_memory() as large:
        touch(200)
    with peak_host_memory() as after:
        touch(1)
    if not large.since_reset:
        pytest.skip("this system does not let a process reset its high-water mark")
    assert 190 * MB < large.peak_bytes - large.before_bytes < 300 * MB
    assert small.peak_bytes - small.before_bytes < 50 * MB
    assert after.peak_bytes < large.peak_bytes - 100 * MB


@pytest.mark.parametrize(("held", "free", "trims"), [(9, 8, 1), (8, 9, 0), (None, 0, 0)])
def test_memory_is_returned_where_less_is_free_than_held(monkeypatch, held, free, trims):
    calls = []
    monkeypatch.setattr(memory, "_status", lambda name: held if name == "VmRSS" else None)
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    monkeypatch.setattr(memory, "trim", lambda: calls.append(1))
    make_room()
    assert len(calls) == trims


def test_without_reset_the_peak_of_the_whole_life_is_reported_and_marked(monkeypatch, tmp_path):
    touch(150)
    monkeypatch.setattr(memory, "_CLEAR_REFS", tmp_path / "none")
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "none")
    with peak_host_memory() as considered:
        touch(1)
    assert considered.since_reset is False
    assert considered.before_bytes is None
    assert considered.peak_bytes > 150 * MB


def test_a_reset_that_is_ignored_is_noticed(monkeypatch, tmp_path):
    touch(200)  # the high-water mark stays above what is resident now
    accepts = tmp_path / "clear_refs"
    accepts.touch()
    with peak_host_memory():
        touch(200)
    monkeypatch.setattr(memory, "_CLEAR_REFS", accepts)
    with peak_host_memory() as considered:
        pass
    assert accepts.read_text() == "5"
    assert considered.since_reset is False


def test_peak_is_reported_when_the_block_raises():
    considered = []

    def step():
        with peak_host_memory() as peak:
            considered.append(peak)
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        step()
    assert considered[0].peak_bytes


def test_measure_memory_runs_the_step_and_has_no_device_on_cpu():
    calls = []

    def step():
        calls.append(touch(100))

    prepared = []
    rise = measure_memory(
        step, torch.device("cpu"), prepare=lambda: prepared.append(len(calls)), repeats=2
    )
    assert prepared == [0, 1]
    assert len(calls) == 2
    assert rise.seconds > 0
    assert not rise.steady
    measure_memory(step, torch.device("cpu"), limit_s=0.0)
    assert len(calls) == 3
    assert rise.device_bytes is None
    if rise.host_bytes is not None:  # the system lets a process reset its high-water mark
        assert 95 * MB < rise.host_bytes < 150 * MB


@pytest.mark.parametrize("kept", [0, 300])
def test_a_rise_does_not_depend_on_what_is_kept_or_read_from_files(kept, tmp_path):
    there = touched(kept)
    path = tmp_path / "features"
    np.ones(80 * MB, np.uint8).tofile(path)

    def step():
        mapped = np.memmap(path, np.uint8, mode="r")
        assert int(mapped[:: mmap.PAGESIZE].sum()) > 0  # now resident
        maps.append(mapped)
        touch(100)

    maps = []
    rise = measure_memory(step, torch.device("cpu"))
    if rise.host_bytes is None:
        pytest.skip("this system does not let a process reset its high-water mark")
    assert rise.host_bytes == pytest.approx(100 * MB, rel=0.05)
    assert len(there) == kept * MB


def touched(megabytes):
    return np.ones(megabytes * MB, dtype=np.uint8)


def test_lasting_buffers_of_first_calls_do_not_count():
    lasting = []

    def step():
        if len(lasting) < 2:
            lasting.append(touched(40))
        touch(100)

    rise = measure_memory(step, torch.device("cpu"))
    assert rise.steady
    if rise.host_bytes is not None:
        assert rise.host_bytes == pytest.approx(100 * MB, rel=0.05)


HOLES = """
from concurrent.futures import ThreadPoolExecutor
import torch
from bench.run.malloc import disable_trim
from bench.run.measure.memory import measure_memory

kept = []

def earlier():
    tensors = [torch.ones(50_000 + 1000 * size) for size in range(200)]
    kept.extend(tensors[::7])

def step():
    tensors = [torch.ones(90_000 * size) for size in range(1, 12)]
    double = tensors[3] * 2
    del tensors  # in a heap with holes it stays resident
    return [torch.ones(700_000) for _ in range(8)]

disable_trim()  # for the whole process
for _ in range(2):
    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(earlier) for _ in range(4)]:
            done.result()
    print(measure_memory(step, torch.device("cpu"), repeats=3).host_bytes)
"""


def test_a_rise_does_not_depend_on_holes_that_ended_threads_left(root):
    command = [sys.executable, "-c", HOLES]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    rises = done.stdout.split()
    if "None" in rises:
        pytest.skip("this system does not let a process reset its high-water mark")
    assert [int(rise) for rise in rises] == pytest.approx([4 * 90_000 * 70] * 2, rel=0.06)


THREADS = """
import os, time, torch
from bench.run.measure.memory import measure_memory

def threads():
    return len(os.listdir("/proc/self/task"))

torch.set_num_threads(4)
net, images = torch.nn.Conv2d(8, 8, 3), torch.randn(8, 8, 64, 64)
net(images)
before = threads()
measure_memory(lambda: net(images), torch.device("cpu"))
end = time.monotonic() + 10  # they end a moment after the call
while threads() > before + 1 and time.monotonic() < end:
    time.sleep(0.01)
print(before, threads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_the_threads_of_a_measurement_end_with_it_so_that_training_is_not_slower_after_it(root):
    command = [sys.executable, "-c", THREADS]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before >= 4
    assert after == before + 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kept", [1, 500])
def test_a_rise_on_a_device_is_torchs_allocation_whatever_is_kept(kept):
    device = torch.device("cuda")
    there = torch.empty(kept * MB, dtype=torch.uint8, device=device)
    rise = measure_memory(lambda: torch.empty(200 * MB, dtype=torch.uint8, device=device), device)
    assert rise.device_bytes == pytest.approx(200 * MB, rel=0.02)
    assert len(there) == kept * MB
