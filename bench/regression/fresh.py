"""Runs in fresh processes that alternate base and head, each stored so that none is repeated."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench.case import Case
from bench.lines import read_objects
from bench.record import Record, RecordError, from_json
from bench.regression.code_tree import CodeTree, variables
from bench.settings import Settings

_SCRIPT = Path(__file__).with_name("one_run.py")
_MORE_SECONDS = 120.0  # to start, import torch and write the answer

_NEUTRAL = {
    *("results_dir", "cache_dir", "feature_cache", "cache_limit"),
    *("seeds", "recipes", "augmentations", "shots", "multi_class"),  # they select cases
    *("rerun", "keep_stale", "isolate", "stall_timeout_s"),
    *("plots", "panels", "save_models", "keep_maps", "keep_state"),
}
"""Settings that change no result of a case in a fresh process."""


@dataclass(frozen=True)
class FreshRun:
    """A run in its own process.

    Attributes:
        record: Its record; None if there is none.
        problem: Why the run did not finish; empty if it did.
        folder: Results folder of the run, to which the paths of its artifacts are relative.
        files: Files that the cases of its process depend on; empty if unknown.
    """

    record: Record | None
    problem: str
    folder: Path
    files: frozenset[str] = frozenset()


def run_fresh(
    tree: CodeTree, cases: Sequence[Case], settings: Settings, folder: Path
) -> list[FreshRun]:
    """Run cases with a tree's code in a fresh process, except those that have already run.

    Args:
        tree: The code.
        cases: The cases, run one after another in one process.
        settings: Options of the session; no pictures are drawn and no models saved.
        folder: Folder for these runs only.
    """
    answer, problem = folder / "records.jsonl", ""
    done = _answers(answer)
    left = [case for case in cases if case.id not in done]
    if left:
        folder.mkdir(parents=True, exist_ok=True)
        problem = _start(tree, left, settings, folder, answer)
        done = _answers(answer)
    runs = []
    for case in cases:
        record = done.get(case.id)
        if record is not None and record.status == "ok":
            runs.append(FreshRun(record, "", folder, done.files))
            continue
        reason = (record.error or {}).get("message", record.outcome) if record else ""
        reason = reason or done.problem or problem or "no answer"
        runs.append(FreshRun(None, reason, folder, done.files))
    return runs


def kept_runs(folder: Path) -> list[FreshRun]:
    """Return the finished runs of earlier calls in a folder."""
    answers = _answers(folder / "records.jsonl")
    finished = [record for record in answers.values() if record.status == "ok"]
    return [FreshRun(record, "", folder, answers.files) for record in finished]


def settings_digest(settings: Settings) -> str:
    """Return eight hex digits over the settings that may change a result of a case."""
    fields = {name: x for name, x in asdict(settings).items() if name not in _NEUTRAL}
    text = json.dumps(fields, sort_keys=True, default=os.fspath)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def run_block(
    order: str,
    trees: Mapping[str, CodeTree],
    cases: Sequence[Case],
    settings: Settings,
    folder: Path,
) -> dict[str, list[FreshRun]]:
    """Run one block; return the runs of each letter.

    Args:
        order: Letters of ``trees``. With one of each, such as ``AB``, one process runs all cases of
            a side, which is enough for scores, whose replicates are seeds. With as many of each as
            there are cases, such as ``ABBA``, every run has its own process, as speeds require.
        trees: The code of each side.
        cases: The case once for each seed; both sides run the same.
        settings: Options of the session.
        folder: Folder of the block.
    """
    runs: dict[str, list[FreshRun]] = {letter: [] for letter in trees}
    together = len(order) == len(trees)
    for letter in order:
        number = len(runs[letter])
        of_process = cases if together else [cases[number]]
        of_letter = folder / (letter if together else f"{letter}{number}")
        runs[letter] += run_fresh(trees[letter], of_process, settings, of_letter)
    return runs


def _start(
    tree: CodeTree, cases: Sequence[Case], settings: Settings, folder: Path, answer: Path
) -> str:
    """Run a process to its end; return what went wrong, or an empty string."""
    plain = replace(
        settings, results_dir=folder, plots=False, save_models=False, rerun=False, isolate=False
    )
    request = folder / "request.json"
    wanted = {"cases": list(map(asdict, cases)), "settings": asdict(plain)}
    request.write_text(json.dumps({**wanted, "answer": answer}, default=os.fspath))
    seconds = settings.timeout_s * len(cases) + _MORE_SECONDS
    try:
        done = subprocess.run(
            [tree.python, "-P", str(_SCRIPT), str(request)],
            cwd=tree.folder,
            env=variables(tree),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {seconds:.0f} s"
    except OSError as error:
        return f"{tree.python} could not be started: {error.strerror}"
    stderr_lines = done.stderr.strip().splitlines() or ["no output"]
    return (
        f"its process ended with {done.returncode}: {stderr_lines[-1]}" if done.returncode else ""
    )


class _Answers(dict[str, Record]):
    """Records by case id, the problem that kept the others from running, and files of all."""

    problem = ""
    files: frozenset[str] = frozenset()


def _answers(file: Path) -> _Answers:
    answers = _Answers()
    for line in read_objects(file):
        if problem := line.get("problem"):
            answers.problem = problem
            continue
        if files := line.get("files"):
            answers.files = answers.files.union(files)
            continue
        with suppress(RecordError):
            record = from_json(json.dumps(line))
            answers[record.key.id] = record
    return answers
