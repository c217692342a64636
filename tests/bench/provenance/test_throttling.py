"""How long heat slowed a processor, from the counters of Linux and of NVIDIA's library."""

import os
import time
from ctypes import POINTER, c_ulonglong, cast
from types import SimpleNamespace

import pytest
import torch

from bench.provenance import throttling as module
from bench.provenance.throttling import ThrottleMeter


@pytest.fixture
def clock(monkeypatch):
    """A clock in seconds that only the test advances."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def write(monkeypatch, tmp_path):
    """Write the counters, in milliseconds, of a processor of which two cores may be used."""
    monkeypatch.setattr(module, "_CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2})

    def write_counters(core, own, package):
        folder = tmp_path / f"cpu{core}" / "thermal_throttle"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "core_throttle_total_time_ms").write_text(f"{own}\n")
        (folder / "package_throttle_total_time_ms").write_text(f"{package}\n")

    return write_counters


def test_the_hottest_core_that_may_be_used_counts(write, clock):
    for core in range(3):
        write(core, 100, 50)
    meter = ThrottleMeter("cpu")
    clock[0] += 100
    write(1, 90_100, 50)  # another's core
    assert meter.read() == 0
    write(0, 900, 50)
    write(2, 1_900, 50)
    assert meter.read() == 1.8
    assert [meter.throttled(seconds) for seconds in (0.9, 1.8)] == [False, True]


def test_a_core_counts_whose_total_since_boot_is_below_anothers(write, clock):
    write(0, 500_000, 50)
    write(2, 100, 50)
    meter = ThrottleMeter("cpu")
    write(2, 3_100, 50)
    assert meter.read() == 3


def test_a_processor_without_counters_says_nothing(write):
    assert ThrottleMeter("cpu").read() is None


class FakeNvml:
    """Answers as NVML does: results through pointers, 0 for success."""

    known, nanoseconds, shut = b"GPU-8932f937", 5_000_000_000, 0

    def nvmlDeviceGetHandleByUUID(self, uuid, handle):
        return 0 if uuid == self.known else 6

    def nvmlDeviceGetViolationStatus(self, handle, policy, violation):
        assert policy.value == 1  # thermal
        times = cast(violation, POINTER(c_ulonglong))
        times[0], times[1] = 123, self.nanoseconds
        return 0

    def nvmlShutdown(self):
        FakeNvml.shut += 1


@pytest.mark.parametrize(("uuid", "seconds"), [("8932f937", 2.5), ("1234", None)])
def test_a_gpu_is_asked_by_its_uuid(monkeypatch, uuid, seconds):
    monkeypatch.setattr(module, "load_nvml", FakeNvml)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=uuid)
    )
    before = FakeNvml.shut
    meter = ThrottleMeter("cuda:1")
    monkeypatch.setattr(FakeNvml, "nanoseconds", 7_500_000_000)
    assert meter.read() == seconds
    assert FakeNvml.shut == before + 2


def test_without_nvidias_library_nothing_is_said_of_a_gpu(monkeypatch):
    monkeypatch.setattr(module, "load_nvml", lambda: None)
    assert ThrottleMeter("cuda").read() is None


@pytest.mark.gpu
def test_a_real_gpu_answers():
    seconds = ThrottleMeter("cuda:0").read()
    assert seconds is None or seconds >= 0
