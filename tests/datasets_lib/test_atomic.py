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
    old, young = (target.with_name(f".{target.name}.{number}.tmp") for number in range(2))
    for leftover, hours in ((old, 25), (young, 23)):
        leftover.write_text("half")
        moment = time.time() - 3600 * hours
        os.utime(leftover, (moment, moment))
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
    assert sorted(names(target.parent)) == sorted([young.name, target.name])


def test_atomic_path_needs_the_block_to_write_a_file(target):
    with pytest.raises(FileNotFoundError), atomic_path(target):
        pass
    assert names(target.parent) == []
