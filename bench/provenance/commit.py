"""The commit that the code comes from, where there is a git repository."""

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.provenance.fingerprint import ROOT

_SECONDS = 10.0


@dataclass(frozen=True)
class Commit:
    """A state of the repository.

    Attributes:
        commit: Full hash; None without git or a repository.
        dirty: Whether Python files differ from it, untracked ones included; None where unknown.
    """

    commit: str | None = None
    dirty: bool | None = None


@cache
def current_commit(root: Path = ROOT) -> Commit:
    """Return the commit that is checked out, and whether its code was changed.

    A copy of the code that merely lies in another repository, as an installed package may, has no
    commit.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        return Commit()
    head = _git(root, "rev-parse", "--verify", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", "*.py")
    return Commit(head, None if changes is None else bool(changes))


def _git(folder: Path, *arguments: str) -> str | None:
    """Return git's answer; None if there is no git or it has none."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
