"""The commits from a good one to a bad one, and the files that each changed."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from bench.provenance.fingerprint import ROOT
from bench.regression.code_tree import CodeTreeError, git, is_shallow

Names = tuple[str, ...]
"""Names of one changed file: its name, or the old and the new one of a renamed file."""


def commit_of(revision: str, option: str, root: Path = ROOT) -> str:
    """Return the full hash of the commit that a revision names.

    Args:
        revision: Hash, branch, tag or anything else that git resolves.
        option: Option that the revision was given with, to name in the error.
        root: The repository.

    Raises:
        CodeTreeError: It names no commit of the repository.
    """
    try:
        return git(root, "rev-parse", "--verify", f"{revision}^{{commit}}")
    except CodeTreeError:
        mend = " or git fetch --unshallow first: this clone is shallow" if is_shallow(root) else ""
        raise CodeTreeError(
            f"wanted a commit for {option}, found '{revision}', which names none in this clone: "
            f"give a hash, branch or tag, such as HEAD~10 (git log --oneline lists them){mend}."
        ) from None


def commits_between(good: str, bad: str, root: Path = ROOT) -> list[str]:
    """Return a line of commits after ``good`` up to ``bad``, each a child of the one before.

    All of them contain ``good``. At a merge the line follows the first parent that contains
    ``good``: the mainline, unless ``good`` is on a branch that was merged later.

    Raises:
        CodeTreeError: A commit is unknown, or ``good`` is not an ancestor of ``bad``.
    """
    first, last = commit_of(good, "--good", root), commit_of(bad, "--bad", root)
    if first == last:
        return []
    # Empty for a commit that does not contain the first one.
    listed = git(root, "rev-list", "--parents", "--ancestry-path", f"{first}..{last}").splitlines()
    parents = {commit: of_it for commit, *of_it in map(str.split, listed)}
    if last not in parents:
        raise CodeTreeError(
            f"wanted a good commit that comes before the bad one, found that {good} is no ancestor "
            f"of {bad}. Swap them, or name another."
        )
    line, contain = [last], {first, *parents}
    while (before := next(one for one in parents[line[-1]] if one in contain)) != first:
        line.append(before)
    return line[::-1]


def merges_of_branch(good: str, commits: Sequence[str], root: Path = ROOT) -> list[str]:
    """Return the merges of a line of commits at which it comes from a merged branch.

    Args:
        good: Full hash of the commit before the line.
        commits: Full hashes, as `commits_between` returns them.
        root: The repository.
    """
    listed = git(root, "rev-list", "--parents", f"{good}..{commits[-1]}").splitlines()
    # A commit off the line may have no parent: of unrelated history, or where a clone is shallow.
    first_parent = {commit: of_it[0] for commit, *of_it in map(str.split, listed) if of_it}
    steps = pairwise([good, *commits])
    return [commit for before, commit in steps if first_parent[commit] != before]


def changed_files(before: str, commit: str, root: Path = ROOT) -> list[Names]:
    """Return the files that differ between two commits, a renamed one under both of its names."""
    listed = git(root, "diff-tree", "-r", "-M", "--name-status", "-z", before, commit)
    words = iter(listed.split("\0"))
    return [
        (next(words), next(words)) if status.startswith("R") else (next(words),)
        for status in words
        if status
    ]


def with_other_names(files: Iterable[str], changes: Sequence[Sequence[Names]]) -> frozenset[str]:
    """Return files with the names that they had earlier and have later.

    Args:
        files: Names at any of the commits.
        changes: Changed files of each commit, oldest first.

    Example:
        >>> sorted(with_other_names(["b"], [[("a", "b")], [("b",), ("c",)], [("b", "d")]]))
        ['a', 'b', 'd']
    """
    known = set(files)
    renamed = [names for change in changes for names in change if len(names) > 1]
    for names in (*reversed(renamed), *renamed):
        if not known.isdisjoint(names):
            known.update(names)
    return frozenset(known)
