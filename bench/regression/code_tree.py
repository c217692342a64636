"""The code of a commit in a git worktree, and the interpreter that runs it."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.provenance.fingerprint import ROOT

_SECONDS = 60
_SYNC_SECONDS = 1800


class CodeTreeError(Exception):
    """The code of a commit cannot be run; the message says why and what to do."""


@dataclass(frozen=True)
class CodeTree:
    """A folder of code, and the interpreter that runs it.

    Attributes:
        folder: Folder of the packages.
        commit: Commit of the code; None for the current folder.
        python: Interpreter.
        environment: ``own`` if made from the tree's own requirements, else ``shared``.
    """

    folder: Path
    commit: str | None
    python: str
    environment: str = "shared"


def git(folder: Path, *arguments: str) -> str:
    """Return the output of a git command.

    Raises:
        CodeTreeError: There is no git or no repository, or the command fails.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CodeTreeError(f"git could not be run: {error}. Install git.") from None
    if done.returncode:
        raise CodeTreeError(f"git {arguments[0]}: {_reason(done.stderr)}")
    return done.stdout.strip()


def why_no_repository(root: Path = ROOT) -> str | None:
    """Return a clause that says why a folder of code is not a git repository; None if it is one.

    The clause quotes git, which may refuse a repository and say how to allow it.
    """
    try:
        top = Path(git(root, "rev-parse", "--show-toplevel"))
    except CodeTreeError as error:
        return f"{root} is not a git repository that can be read ({error})"
    if top.resolve() != root.resolve():
        return f"{root} is not a git repository of its own but a folder inside {top}"
    return None


def is_shallow(root: Path = ROOT) -> bool:
    """Return whether a repository lacks the older part of its history."""
    return git(root, "rev-parse", "--is-shallow-repository") == "true"


def why_unreachable(commit: str | None, dirty: bool | None, root: Path = ROOT) -> str | None:
    """Return a clause that says why a baseline's commit cannot be run again; None if it can."""
    if why := why_no_repository(root):
        return f"{why}: only a clone can run an older commit"
    if commit is None:
        return "the baseline's record names no commit"
    if dirty:
        return f"the baseline ran with uncommitted changes on {commit[:7]}: commit, and run again"
    try:
        git(root, "cat-file", "-e", f"{commit}^{{commit}}")
    except CodeTreeError:
        rebased = "rebased away? accept a new baseline"
        mend = "git fetch --unshallow" if is_shallow(root) else rebased
        return f"the baseline's commit {commit[:7]} is not in this clone ({mend})"
    return None


def current_tree() -> CodeTree:
    """Return the tree of the running code."""
    return CodeTree(ROOT, None, sys.executable)


def tree_of(commit: str, folder: Path, root: Path = ROOT) -> CodeTree:
    """Return a worktree of a commit, creating it if needed.

    The interpreter is the current one if the commit requires the same packages, so that only the
    code differs. Otherwise uv makes an environment; without uv the current one is used.

    Args:
        commit: Full hash.
        folder: Folder of worktrees.
        root: The repository.

    Raises:
        CodeTreeError: The commit is missing, or its environment cannot be made.
    """
    worktree = folder / commit[:12]
    if not (_marker(worktree).is_file() and worktree.is_dir()):
        _check_out(commit, worktree, root)
    if _requirements(worktree) == _requirements(root) or shutil.which("uv") is None:
        return CodeTree(worktree, commit, sys.executable)
    return CodeTree(worktree, commit, _own_environment(worktree), "own")


def remove_trees(folder: Path, root: Path = ROOT) -> None:
    """Remove the worktrees below a folder, and git's records of them."""
    if folder.is_dir():
        for worktree in filter(Path.is_dir, list(folder.iterdir())):
            _remove_tree(worktree, root)
        shutil.rmtree(folder, ignore_errors=True)


def variables(tree: CodeTree) -> dict[str, str]:
    """Return the environment variables of a process that runs a tree's code.

    A worktree keeps its bytecode for later runs, because compiling the project takes seconds.
    """
    inherited = os.environ.get("PYTHONPATH", "")
    paths = os.pathsep.join(filter(None, [str(tree.folder), inherited]))
    more = {} if tree.commit else {"PYTHONDONTWRITEBYTECODE": "1"}
    return {**os.environ, "PYTHONPATH": paths, **more}


def uncommitted_files(root: Path = ROOT) -> list[str]:
    """Return the Python files that differ from the commit, untracked ones included."""
    changed = git(root, "diff", "--name-only", "--relative", "HEAD", "--", "*.py").splitlines()
    others = git(root, "ls-files", "--others", "--exclude-standard", "--", "*.py").splitlines()
    return sorted({*changed, *others})


def _reason(stderr: str) -> str:
    """Return git's error and the advice that follows it, on one line."""
    lines = stderr.split("\n")
    errors = [n for n, line in enumerate(lines) if line.startswith(("fatal:", "error:"))]
    return " ".join("\n".join(lines[errors[-1] if errors else 0 :]).split()) or "no reason given"


def _marker(worktree: Path) -> Path:
    """Return the file next to a worktree that marks it as complete."""
    return worktree.with_suffix(".whole")


def _check_out(commit: str, worktree: Path, root: Path) -> None:
    """Create a worktree, replacing what a killed attempt left; remove it again on failure."""
    _remove_tree(worktree, root)
    worktree.parent.mkdir(parents=True, exist_ok=True)
    try:
        git(root, "worktree", "add", "--detach", "--force", str(worktree), commit)
    except CodeTreeError:
        _remove_tree(worktree, root)
        raise
    _marker(worktree).touch()


def _remove_tree(worktree: Path, root: Path) -> None:
    """Remove whatever exists of a worktree, and git's record of it.

    Where git was killed, the record is locked, and ``git worktree prune`` would keep it.
    """
    _marker(worktree).unlink(missing_ok=True)
    shutil.rmtree(worktree, ignore_errors=True)
    with suppress(CodeTreeError):  # there is no record
        git(root, "worktree", "remove", "--force", "--force", str(worktree))


def _requirements(folder: Path) -> Sequence[str]:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return []
    return sorted(project.get("dependencies", []))


def _own_environment(worktree: Path) -> str:
    python = worktree / ".venv" / "bin" / "python"
    if not python.is_file():
        try:
            done = subprocess.run(
                ["uv", "sync", "--quiet", "--no-dev", "--python", sys.executable],
                cwd=worktree,
                capture_output=True,
                text=True,
                timeout=_SYNC_SECONDS,
                check=False,
                env={k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"},
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise CodeTreeError(
                f"uv could not make the environment of {worktree}: {error}"
            ) from None
        if done.returncode:
            stderr_lines = done.stderr.strip().splitlines() or ["no reason given"]
            raise CodeTreeError(
                f"uv could not make the environment of {worktree}: {stderr_lines[-1]}"
            )
    return str(python)
