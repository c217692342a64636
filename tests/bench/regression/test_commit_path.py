"""The line of commits between two, through merges, and the files that each changed."""

from itertools import pairwise

import pytest
from small_repository import Repository

from bench.regression.code_tree import CodeTreeError
from bench.regression.commit_path import (
    changed_files,
    commit_of,
    commits_between,
    merges_of_branch,
    with_other_names,
)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "repository")


def test_commits_between_are_oldest_first_with_their_files(repository):
    root, good = repository.folder, repository.commit(one="1")
    first, second = repository.commit(bench__one="1"), repository.commit(bench__two="2")
    assert commits_between(good, second, root) == [first, second]
    assert commits_between(good, good, root) == []
    assert changed_files(good, first, root) == [("bench/one",)]
    assert changed_files(first, first, root) == []
    with pytest.raises(CodeTreeError, match="no ancestor"):
        commits_between(second, good, root)


def test_a_merged_branch_is_one_commit_of_the_mainline(repository):
    good = repository.commit(one="1")
    repository.git("checkout", "-q", "-b", "topic")
    repository.commit(two="2")
    repository.git("checkout", "-q", "main")
    main = repository.commit(three="3")
    merge = repository.merge("topic")
    assert commits_between(good, merge, repository.folder) == [main, merge]
    assert merges_of_branch(good, [main, merge], repository.folder) == []
    assert changed_files(main, merge, repository.folder) == [("two",)]


def test_every_commit_contains_a_good_one_on_a_branch(repository):
    """Commits of the mainline before the merge never had what the branch made good."""
    repository.commit(one="1")
    repository.git("checkout", "-q", "-b", "topic")
    good, later = repository.commit(two="2"), repository.commit(two="3")
    repository.git("checkout", "-q", "main")
    repository.commit(three="3")
    repository.commit(three="4")
    merge = repository.merge("topic")
    after = repository.commit(three="5")
    line = commits_between(good, after, repository.folder)
    assert line == [later, merge, after]
    assert merges_of_branch(good, line, repository.folder) == [merge]
    assert changed_files(later, merge, repository.folder) == [("three",)]


@pytest.mark.parametrize(
    ("begin", "depth"), [("--orphan", 9), ("-b", 2)], ids=["unrelated history", "shallow clone"]
)
def test_a_merged_branch_may_begin_without_a_parent(repository, begin, depth):
    repository.commit(one="1")
    repository.git("checkout", "-q", begin, "topic")
    repository.commit(two="2")
    repository.commit(two="3")
    repository.git("checkout", "-q", "main")
    good = repository.commit(three="3")
    merge = repository.merge("topic")
    clone = repository.folder.with_name("clone")
    url = f"file://{repository.folder}"
    repository.git("clone", "-q", "--depth", str(depth), url, str(clone))
    assert commits_between(good, merge, clone) == [merge]
    assert merges_of_branch(good, [merge], clone) == []


def test_a_renamed_file_is_the_same_file_at_all_commits(repository):
    text = "\n".join(map(str, range(20)))
    line = [
        repository.commit(models__old="text"),
        repository.commit(models__old=text),
        repository.move("models/old", "models/a name"),
        repository.commit(other="1"),
        repository.move("models/a name", "models/new"),
    ]
    changes = [changed_files(*step, repository.folder) for step in pairwise(line)]
    old, middle, new = "models/old", "models/a name", "models/new"
    assert changes == [[(old,)], [(old, middle)], [("other",)], [(middle, new)]]
    for known in (old, middle, new):
        assert with_other_names([known], changes) == {old, middle, new}
    assert with_other_names(["other"], changes) == {"other"}


def test_a_revision_that_names_no_commit_is_named_with_what_to_give(repository):
    repository.commit(one="1")
    with pytest.raises(CodeTreeError, match=r"--good, found 'nosuch'.* HEAD~10") as error:
        commit_of("nosuch", "--good", repository.folder)
    assert "shallow" not in str(error.value)
    head = repository.git("rev-parse", "HEAD")
    assert commit_of("main", "--good", repository.folder) == head
    shallow = repository.folder.with_name("shallow")
    repository.commit(one="2")
    repository.git("clone", "-q", "--depth", "1", f"file://{repository.folder}", str(shallow))
    with pytest.raises(CodeTreeError, match="git fetch --unshallow"):
        commit_of(head, "--good", shallow)
