"""The commit that the code comes from, where there is a git repository."""

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.provenance.fingerprint import ROOT

_SECONDS = 10.0
_DIGITS = 12


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


def short_commit(commit: str | None) -> str:
    """Return the first twelve digits of a commit's hash; "unknown" without one.

    >>> short_commit("0123456789abcdef0123456789abcdef01234567")
    '0123456789ab'
    >>> short_commit(None)
    'unknown'
    """
    return commit[:_DIGITS] if commit else "unknown"


def _git(folder: Path, *arguments: str) -> str | None:
    """Return git's output; None if there is no git or the command fails."""
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
