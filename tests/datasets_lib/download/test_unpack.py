import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
from archive_files import KINDS, content_of, tar_info, write_archive, write_tar

from datasets_lib.download import unpack as unpack_module
from datasets_lib.download.unpack import DamagedArchiveError, unpack
from datasets_lib.layouts.category import DatasetError

FILES = {
    "set/train/good/000.png": bytes(range(256)) * 5000,
    "set/train/good/ÿ → 界.png": b"name",
    "set/empty.csv": b"",
    "set/test/" + "long/" * 25 + "x.png": b"deep",
    "set/inner.zip": b"PK\3\4 not to be looked into",
}


@pytest.fixture
def target(tmp_path):
    return tmp_path / "store/set"


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


def unpacked(archive, target, **options):
    unpack(archive, target, **options)
    assert names(target) == [target.name]
    return content_of(target)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_unpacks_to_the_same_bytes(tmp_path, target, kind):
    # The kind is told from the content, not from the name.
    archive = write_archive(tmp_path / "archive", kind, FILES.items(), ["set", "set/void"])
    seen = []
    assert unpacked(archive, target, progress=lambda *step: seen.append(step)) == FILES
    assert (target / "set/void").is_dir()
    size = archive.stat().st_size
    assert seen == sorted(seen)
    assert seen[-1] == (size, size)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_of_every_tar_format(tmp_path, target, form):
    archive = tmp_path / "a.tar"
    files = {**FILES, "a" * 99 + "/" + "b" * 99: b"long"}
    write_tar(archive, "tar", files.items(), ["c" * 90 + "/" + "d" * 90], form)
    assert unpacked(archive, target) == files
    assert (target / ("c" * 90) / ("d" * 90)).is_dir()


def test_what_the_systems_own_tar_writes(tmp_path, target):
    source = tmp_path / "source"
    for name, content in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    subprocess.run(["tar", "-czf", tmp_path / "a.tgz", "-C", source, "."], check=True)
    assert unpacked(tmp_path / "a.tgz", target) == FILES


def test_a_pax_header_may_give_the_size(tmp_path, target):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tar_info("x")
        info.pax_headers = {"size": "600", "comment": "a = b\nc"}
        archive.addfile(info)
        archive.fileobj.write(b"7" * 600 + bytes(424))
        archive.addfile(tar_info("y"))
    assert unpacked(tmp_path / "a.tar", target) == {"x": b"7" * 600, "y": b""}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_modes_are_plain(tmp_path, target, kind, run_in_child):
    archive = tmp_path / "archive"
    source = tmp_path / "tool"
    source.write_bytes(b"#!/bin/sh")
    source.chmod(0o6777)
    shutil.make_archive(str(archive), kind, tmp_path, "tool")

    def run():
        os.umask(0o022)
        unpack(archive.with_suffix(f".{kind}"), target)

    run_in_child(run)
    assert stat.S_IMODE((target / "tool").stat().st_mode) == 0o644
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("strip", ["set", "set/train"])
def test_a_top_folder_is_left_away(tmp_path, target, kind, strip):
    files = {"set/train/x.png": b"1", "set/train/good/y.png": b"2"}
    archive = write_archive(tmp_path / "a", kind, files.items(), ["set", "set/train"])
    expected = {name.removeprefix(f"{strip}/"): content for name, content in files.items()}
    assert unpacked(archive, target, strip=strip) == expected


@pytest.mark.parametrize("name", ["other/x.png", "x.png", "set", "settle/x.png"])
def test_what_is_not_in_the_top_folder_is_an_error(tmp_path, target, name):
    archive = write_archive(tmp_path / "a.zip", "zip", [(name, b"")])
    with pytest.raises(DamagedArchiveError, match="is not in its folder set"):
        unpack(archive, target, strip="set")
    assert names(target) == []


def test_a_target_that_is_there_stays(tmp_path, target):
    target.mkdir(parents=True)
    (target / "mine").write_bytes(b"")
    unpack(write_archive(tmp_path / "a.zip", "zip", FILES.items()), target)
    assert content_of(target) == {"mine": b""}


def test_limit_is_of_the_contents_to_the_byte(tmp_path, target):
    total = sum(map(len, FILES.values()))
    for kind in KINDS:
        archive = write_archive(tmp_path / kind, kind, FILES.items())
        with pytest.raises(DatasetError, match=f"more than the limit of {total - 1:,} bytes"):
            unpack(archive, target, limit_bytes=total - 1)
        assert names(target) == []
        unpack(archive, target, limit_bytes=total)
        shutil.rmtree(target)


def test_a_missing_archive_is_a_clear_error(tmp_path, target):
    with pytest.raises(DatasetError, match=r"Wanted to unpack .*a\.zip.*No such file"):
        unpack(tmp_path / "a.zip", target)
    assert names(target) == []


def test_an_archive_that_may_not_be_read_is_not_to_be_deleted(tmp_path, target, run_unprivileged):
    archive = write_archive(tmp_path / "a.zip", "zip", FILES.items())
    archive.chmod(0)
    target.parent.mkdir()
    target.parent.chmod(0o777)  # the target could be made
    with pytest.raises(DatasetError, match=r"a\.zip.* cannot be read: Permission denied") as error:
        run_unprivileged(lambda: unpack(archive, target))
    assert not isinstance(error.value, DamagedArchiveError)
    assert "elete" not in str(error.value)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_a_disk_that_fails_while_the_archive_is_read_is_no_damage(tmp_path, target, kind):
    unreadable = Path("/proc/self/mem")  # every read at its beginning is an input/output error
    if not unreadable.exists():
        pytest.skip("needs Linux's /proc")
    rng = random.Random(0)
    archive = write_archive(tmp_path / "a", kind, [("set/noise", rng.randbytes(3_000_000))])

    def fail(done, total):
        for link in Path("/proc/self/fd").iterdir():
            if link.is_symlink() and link.readlink() == archive:
                with unreadable.open("rb") as file:
                    os.dup2(file.fileno(), int(link.name))

    with pytest.raises(DatasetError, match="cannot be read: Input/output error") as error:
        unpack(archive, target, progress=fail)
    assert not isinstance(error.value, DamagedArchiveError)
    assert names(target) == []


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path, target):
    target.parent.write_bytes(b"a file where the store should be")
    archive = write_archive(tmp_path / "a.zip", "zip", FILES.items())
    with pytest.raises(DatasetError, match="cannot be written"):
        unpack(archive, target)


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path, target, monkeypatch):
    archive = write_archive(tmp_path / "a.zip", "zip", FILES.items())
    open_path = Path.open

    def open_full(path, mode="r", *rest, **options):
        if mode == "xb" and path.name == "inner.zip":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open_path(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(DatasetError, match=r"the disk is full\. Make room"):
        unpack(archive, target)
    assert names(target) == []


def test_a_write_that_fails_halfway_is_a_clear_error_and_leaves_nothing(
    tmp_path, target, run_in_child
):
    resource = pytest.importorskip("resource")
    archive = write_archive(tmp_path / "a.tar", "tar", FILES.items())

    def run():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        unpack(archive, target)

    with pytest.raises(DatasetError, match=r"cannot be written.*File too large"):
        run_in_child(run)
    assert names(target) == []


CHILD = """
import sys, time
from pathlib import Path
from datasets_lib.download.unpack import unpack
def progress(done, total):
    print(done, flush=True)
    time.sleep(60)
unpack(Path(sys.argv[1]), Path(sys.argv[2]), progress=progress)
"""


@pytest.fixture
def busy(tmp_path, target):
    """An archive, and a process that is in the middle of it."""
    archive = write_archive(tmp_path / "a.tar.gz", "tar.gz", FILES.items())
    command = [sys.executable, "-c", CHILD, str(archive), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        yield archive, child
        child.kill()


def test_what_a_killed_process_left_is_cleared(target, busy):
    archive, child = busy
    child.kill()
    child.wait()
    left = names(target)
    assert left == [".set.unpacking"]
    (target.parent / left[0] / "stray").symlink_to(archive.parent)
    assert unpacked(archive, target) == FILES
    assert archive.exists()


def test_others_wait_for_the_one_that_unpacks(target, busy, monkeypatch):
    archive, child = busy
    fills = []
    fill = unpack_module._fill
    monkeypatch.setattr(
        unpack_module, "_fill", lambda *arguments: (fills.append(1), fill(*arguments))
    )
    threads = [threading.Thread(target=unpack, args=(archive, target)) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert fills == []
    child.kill()
    for thread in threads:
        thread.join()
    assert fills == [1]
    assert content_of(target) == FILES
    assert names(target) == ["set"]


def test_an_interrupt_leaves_nothing(tmp_path, target):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(write_archive(tmp_path / "a", "zip", FILES.items()), target, progress=interrupt)
    assert names(target) == []
