"""Keeping freed memory, in separate processes because the setting applies to a whole process."""

import subprocess
import sys

import pytest

from bench.run import malloc

TOUCH = """
import resource, sys
import torch
from bench.run.malloc import trim, disable_trim

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(open("/proc/self/statm").read().split()[1])

kept = disable_trim() if sys.argv[1] == "keep" else False
for _ in range(8):
    torch.ones(1 << 24).add_(1)  # 64 MB
rounds = []
for _ in range(4):  # a small tensor above a large one may let the heap grow once
    before = faults()
    for _ in range(8):
        torch.ones(1 << 24).add_(1)
    rounds.append(faults() - before)
taken = sorted(rounds)[-2]
held = resident()
trim()
print(int(kept), taken, held - resident())
"""


@pytest.fixture
def touched(root):
    if malloc._glibc() is None:
        pytest.skip("this system's C library is not glibc")

    def run(how):
        command = [sys.executable, "-c", TOUCH, how]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        return tuple(map(int, done.stdout.split()))

    return run


@pytest.mark.slow
def test_kept_memory_is_not_faulted_in_again_and_can_be_given_back(touched):
    kept, faults, given_back = touched("keep")
    assert kept
    assert faults < 100
    assert given_back > 10_000  # pages of 4 KiB: more than half of a tensor


@pytest.mark.slow
def test_without_it_every_tensor_is(touched):
    kept, faults, _ = touched("leave")
    assert not kept
    assert faults > 8 * 16  # even in huge pages of 2 MB there are 32 per tensor


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(malloc, "_glibc", lambda: None)
    assert not malloc.disable_trim()
    malloc.trim()
