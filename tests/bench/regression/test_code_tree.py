"""Worktrees of commits, and why a baseline's commit cannot be run; on tiny repositories."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_repository import Repository

from bench.regression import code_tree as module
from bench.regression.code_tree import (
    CodeTreeError,
    remove_trees,
    tree_of,
    uncommitted_files,
    variables,
    why_no_repository,
    why_unreachable,
)

PROJECT = '[project]\nname = "p"\ndependencies = ["torch>=2"]\n'


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path / "repository")
    made.commit(bench__code="1", pyproject_toml=PROJECT)
    return made


def worktrees(repository):
    return len(repository.git("worktree", "list").splitlines())


def test_a_worktree_has_the_commits_code_and_this_interpreter(repository, tmp_path):
    old = repository.git("rev-parse", "HEAD")
    repository.commit(bench__code="2")
    tree = tree_of(old, tmp_path / "trees", repository.folder)
    assert (tree.folder / "bench" / "code").read_text() == "1"
    assert (tree.python, tree.environment) == (sys.executable, "shared")
    assert variables(tree)["PYTHONPATH"].split(":")[0] == str(tree.folder)
    assert tree_of(old, tmp_path / "trees", repository.folder) == tree  # not created twice
    remove_trees(tmp_path / "trees", repository.folder)
    assert not tree.folder.exists()
    assert worktrees(repository) == 1


def test_a_half_made_worktree_is_made_again(repository, tmp_path):
    head = repository.git("rev-parse", "HEAD")
    (tmp_path / "trees" / head[:12] / "bench").mkdir(parents=True)
    tree = tree_of(head, tmp_path / "trees", repository.folder)
    assert (tree.folder / "bench" / "code").read_text() == "1"


def test_a_worktree_of_which_git_was_killed_is_made_again(repository, tmp_path):
    head, trees = repository.git("rev-parse", "HEAD"), tmp_path / "trees"
    place = trees / head[:12]
    repository.git("worktree", "add", "--detach", "--no-checkout", str(place), head)
    repository.git("worktree", "lock", str(place))  # as git does until all files are there
    (place / "bench").mkdir()
    tree = tree_of(head, trees, repository.folder)
    assert (tree.folder / "bench" / "code").read_text() == "1"
    repository.git("worktree", "lock", str(place))
    remove_trees(trees, repository.folder)
    assert not trees.exists()
    assert worktrees(repository) == 1


def test_a_worktree_that_cannot_be_made_leaves_nothing(monkeypatch, repository, tmp_path):
    real, trees = module.git, tmp_path / "trees"

    def late(folder, *arguments):
        answer = real(folder, *arguments)
        if arguments[:2] == ("worktree", "add"):
            raise CodeTreeError("git could not be run: timed out after 60 seconds")
        return answer

    monkeypatch.setattr(module, "git", late)
    with pytest.raises(CodeTreeError, match="timed out"):
        tree_of(repository.git("rev-parse", "HEAD"), trees, repository.folder)
    assert list(trees.iterdir()) == []
    assert worktrees(repository) == 1


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv makes the environments")
def test_a_commit_of_other_requirements_has_an_environment_of_its_own(repository, tmp_path):
    no_packages = (
        '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = []\n'
    )
    old = repository.commit(pyproject_toml=no_packages)
    repository.commit(pyproject_toml=PROJECT)
    tree = tree_of(old, tmp_path / "trees", repository.folder)
    assert tree.environment == "own"
    script = "import sys; print(sys.prefix)"
    done = subprocess.run([tree.python, "-c", script], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == tree.folder / ".venv"
    assert tree_of(old, tmp_path / "trees", repository.folder) == tree


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv makes the environments")
def test_an_environment_that_cannot_be_made_says_why(repository, tmp_path):
    old = repository.commit(pyproject_toml='[project]\nname = "p"\nversion = "no version"\n')
    repository.commit(pyproject_toml=PROJECT)
    with pytest.raises(CodeTreeError, match=r"uv could not make the environment of .*: .+"):
        tree_of(old, tmp_path / "trees", repository.folder)


def test_a_commit_that_is_there_can_be_reached(repository):
    head = repository.git("rev-parse", "HEAD")
    assert why_no_repository(repository.folder) is None
    assert why_unreachable(head, False, repository.folder) is None


def test_a_dirty_or_unnamed_baseline_is_reported(repository):
    head = repository.git("rev-parse", "HEAD")
    assert "uncommitted changes" in why_unreachable(head, True, repository.folder)
    assert "names no commit" in why_unreachable(None, None, repository.folder)


def test_uncommitted_files_are_python_files_that_git_does_not_ignore(repository):
    assert uncommitted_files(repository.folder) == []
    repository.commit(bench__code="1")
    (repository.folder / "bench" / "code.py").write_text("2")
    (repository.folder / "bench" / "new.py").touch()
    (repository.folder / "notes.md").touch()
    assert uncommitted_files(repository.folder) == ["bench/code.py", "bench/new.py"]


def test_a_rebased_commit_is_reported(repository):
    why = why_unreachable("1234567" + "0" * 33, False, repository.folder)
    assert "1234567 is not in this clone" in why
    assert "rebased" in why


def test_a_shallow_clone_says_how_to_deepen_it(repository, tmp_path):
    old = repository.git("rev-parse", "HEAD")
    repository.commit(bench__code="2")
    source = f"file://{repository.folder}"
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", source, str(tmp_path / "shallow")], check=True
    )
    assert "git fetch --unshallow" in why_unreachable(old, False, tmp_path / "shallow")


def test_a_folder_without_git_is_reported(tmp_path):
    assert "not a git repository" in why_no_repository(tmp_path)
    assert "only a clone can run an older commit" in why_unreachable("a" * 40, False, tmp_path)


def test_a_folder_in_somebody_elses_repository_is_reported(repository):
    inside = repository.folder / "bench"
    assert f"a folder inside {repository.folder}" in why_no_repository(inside)


def test_a_repository_that_git_refuses_is_reported_with_gits_remedy(monkeypatch, repository):
    """In containers and on build machines a clone often belongs to another user."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")  # it may allow every folder
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    why = why_no_repository(repository.folder)
    assert "fatal: detected dubious ownership" in why
    assert f"git config --global --add safe.directory {repository.folder}" in why
    assert "\n" not in why
