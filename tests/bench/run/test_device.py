"""Whether a device exists, and whether this process alone uses it."""

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import torch

from bench.run import device as module
from bench.run.device import DeviceError, DeviceMissingError, exclusive_use, use_device

HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
"""Hold a lock until the input ends."""


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The folder of the lock files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def two_gpus(monkeypatch):
    """A torch that reports two CUDA devices."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    named = SimpleNamespace
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda n: named(uuid=f"GPU-{n}"))


def test_a_device_that_another_process_uses_is_shared_until_it_ends(folder):
    with exclusive_use("cpu") as alone:
        assert alone()
        lock = min(folder.glob("*.lock"))
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with exclusive_use("cpu") as alone:
            assert not alone()
        other.communicate("")
    with exclusive_use("cpu") as alone:
        assert alone()


@pytest.mark.parametrize(
    ("first", "second", "exclusive"),
    [("cuda:0", "cuda:1", True), ("cuda", "cuda:0", False), ("cuda:1", "cpu", True)],
)
def test_each_gpu_has_a_user_of_its_own(folder, two_gpus, first, second, exclusive):
    with exclusive_use(first) as alone:
        assert alone()
        with exclusive_use(second) as also:
            assert also() == alone() == exclusive
        assert alone() == exclusive  # as a case ends, others that came and went count


def test_a_session_that_shares_a_device_is_seen_by_every_case_of_the_other(folder):
    with ExitStack() as second:
        with exclusive_use("cpu"):
            second.enter_context(exclusive_use("cpu"))  # begins later and runs for longer
        with exclusive_use("cpu") as alone:
            assert not alone()


def test_nothing_is_known_where_no_file_can_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with exclusive_use("cpu") as alone:
        assert alone()


@pytest.mark.parametrize(("shown", "error"), [(3, DeviceError), (2, DeviceMissingError)])
def test_a_device_is_missing_only_if_the_driver_does_not_show_it(
    two_gpus, monkeypatch, shown, error
):
    monkeypatch.setattr(module, "visible_devices", lambda: shown)
    with pytest.raises(DeviceError, match=f"sees 2 .* shows {shown}.*--device cpu") as caught:
        use_device("cuda:2")
    assert caught.type is error
