"""Runs of a case in fresh processes, base and head in turn, each kept so that none is repeated."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.case import Case
from bench.record import Record, RecordError, from_json
from bench.regression.code_tree import CodeTree, variables
from bench.settings import Settings

_SCRIPT = Path(__file__).with_name("one_run.py")
_MORE_SECONDS = 120.0  # to start, import torch and write


@dataclass(frozen=True)
class FreshRun:
    """A run in a process of its own.

    Attributes:
        record: Its record; None if there is none.
        problem: Why the run did not finish; empty if it did.
        folder: Results folder of the run, of which its artifacts are named.
    """

    record: Record | None
    problem: str
    folder: Path


def run_fresh(
    tree: CodeTree, case: Case, settings: Settings, folder: Path, timeout_s: float | None = None
) -> FreshRun:
    """Run a case with a tree's code in a fresh process, or return what it left before.

    Args:
        tree: The code.
        case: The case.
        settings: Options of the session; pictures and saved models are left out.
        folder: Folder of the run, its own.
        timeout_s: Maximum wall time; the session's where None.
    """
    answer = folder / "record.json"
    if not answer.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        problem = _start(tree, case, settings, folder, answer, timeout_s or settings.timeout_s)
        if problem:
            return FreshRun(None, problem, folder)
    return _read(answer, folder)


def run_sides(
    order: str,
    trees: dict[str, CodeTree],
    case_of: Callable[[int], Case],
    settings: Settings,
    folder: Path,
) -> dict[str, list[FreshRun]]:
    """Run sides in the order of a block's letters; return the runs of each letter.

    Args:
        order: Letters of ``trees``, such as ``ABBA``.
        trees: The code of each side.
        case_of: Returns the case of the n-th run of a side: another replicate each.
        settings: Options of the session.
        folder: Folder of the block.
    """
    runs: dict[str, list[FreshRun]] = {letter: [] for letter in trees}
    for letter in order:
        number = len(runs[letter])
        place = folder / f"{letter}{number}"
        runs[letter].append(run_fresh(trees[letter], case_of(number), settings, place))
    return runs


def _start(
    tree: CodeTree, case: Case, settings: Settings, folder: Path, answer: Path, timeout_s: float
) -> str:
    """Run a process to its end; return what went wrong, or nothing."""
    plain = replace(
        settings, results_dir=folder, plots=False, save_models=False, rerun=False, isolate=False
    )
    request = folder / "request.json"
    request.write_text(
        json.dumps({"case": asdict(case), "settings": _plain(asdict(plain)), "answer": str(answer)})
    )
    try:
        done = subprocess.run(
            [tree.python, "-P", str(_SCRIPT), str(request)],
            cwd=tree.folder,
            env=variables(tree),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s + _MORE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout_s + _MORE_SECONDS:.0f} s"
    except OSError as error:
        return f"{tree.python} could not be started: {error.strerror}"
    if not answer.is_file():
        said = done.stderr.strip().splitlines() or ["no output"]
        return f"its process ended with {done.returncode}: {said[-1]}"
    return ""


def _read(answer: Path, folder: Path) -> FreshRun:
    text = answer.read_text()
    try:
        problem = json.loads(text).get("problem", "")
        record = None if problem else from_json(text)
    except (json.JSONDecodeError, RecordError) as error:
        return FreshRun(None, f"its record cannot be read: {error}", folder)
    if record is not None and record.status != "ok":
        problem = (record.error or {}).get("message", record.outcome)
        return FreshRun(None, problem, folder)
    return FreshRun(record, problem, folder)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
