import os
import time

import pytest

from datasets_lib.atomic import atomic_path


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "note[1].txt"  # its name is not a glob pattern


def names(folder):
    return [file.name for file in folder.iterdir()]


def test_atomic_path_replaces_the_file_on_success(target):
    for text in ("old", "new"):
        with atomic_path(target) as temporary:
            temporary.write_text(text)
            assert not target.exists() or target.read_text() == "old"
        assert target.read_text() == text
        assert names(target.parent) == [target.name]


@pytest.mark.parametrize("before", [[], ["old"]])
def test_atomic_path_leaves_the_old_file_on_failure(target, before):
    for text in before:
        with atomic_path(target) as temporary:
            temporary.write_text(text)

    def interrupted():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [file.read_text() for file in target.parent.iterdir()] == before


def test_atomic_path_removes_leftovers_of_killed_processes_after_a_day(target):
    target.parent.mkdir()
    leftovers = [target.with_name(f".{target.name}.0123abc{number}.tmp") for number in range(2)]
    others = [target.with_name(f".{target.name}.{name}.tmp") for name in ("mine", "1.0123abcd")]
    for file, hours in zip([*leftovers, *others], (25, 23, 25, 25), strict=True):
        file.write_text("half")
        moment = time.time() - 3600 * hours
        os.utime(file, (moment, moment))
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
    kept = [leftovers[1], *others, target]
    assert sorted(names(target.parent)) == sorted(file.name for file in kept)


def test_atomic_path_needs_the_block_to_write_a_file(target):
    with pytest.raises(FileNotFoundError), atomic_path(target):
        pass
    assert names(target.parent) == []


def test_atomic_path_replaces_the_target_of_a_link(tmp_path, target):
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    for text in ("new", "newer"):
        with atomic_path(link) as temporary:
            temporary.write_text(text)
        assert link.is_symlink()
        assert target.read_text() == text
        assert names(target.parent) == [target.name]


def test_atomic_path_writes_to_a_pipe_directly(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with atomic_path(pipe) as place:
            place.write_text("whole")
        assert os.read(reader, 100) == b"whole"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_atomic_path_replaces_no_folder(target):
    target.mkdir(parents=True)
    with pytest.raises(OSError, match="not a regular file"), atomic_path(target):
        pass
    assert names(target.parent) == [target.name]
