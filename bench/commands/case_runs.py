"""Runs and saved models that users of the commands name by a case's id or a part of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.command import CommandError
from bench.commands.record_files import RECORDS

if TYPE_CHECKING:
    from bench.report.finished_run import Run

_SUFFIXES = {".pth", ".pt", ".pt2", ".onnx"}


def runs_of(runs: "Sequence[Run]", case: str, profile: str | None = None) -> "list[Run]":
    """Return the runs of the case that a text names, the newest last.

    Args:
        runs: Runs of all cases.
        case: Id of the case, or a part that only one id has.
        profile: Profile of the runs; None for all.

    Raises:
        CommandError: No case or several have the text in their id, or no run has the profile.
    """
    from bench.aggregate.frame import recency_key
    from bench.near_names import did_you_mean

    known = {run.record.key.id for run in runs}
    ids = [case] if case in known else sorted(name for name in known if case in name)
    if not ids:
        models = {name.partition("-")[0] for name in known}
        meant = did_you_mean(case, known | models, " Did you mean")
        raise CommandError(
            f"Wanted a case in the records, found none called {case} among {len(known)}.{meant} "
            "python -m bench leaderboard lists them all."
        )
    if len(ids) > 1:
        more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
        raise CommandError(
            f"Wanted one case, found {len(ids)} with {case} in their id: "
            f"{', '.join(ids[:5])}{more}. Name one of them."
        )
    own = [run for run in runs if run.record.key.id == ids[0]]
    chosen = [run for run in own if profile in {None, run.record.key.profile}]
    if not chosen:
        profiles = sorted({run.record.key.profile for run in own})
        raise CommandError(
            f"Wanted a run of {ids[0]} under profile {profile}, found runs under "
            f"{', '.join(profiles)}: name one of these with --profile."
        )
    return sorted(chosen, key=lambda run: recency_key(run.record))


def read_runs(files: Sequence[Path]) -> "list[Run]":
    """Return every run of files of records."""
    from bench.report.finished_run import Run
    from bench.store import read_records

    return [Run(record, file) for file in files for record in read_records([file])]


def model_file(given: Path, records: Path = RECORDS) -> Path:
    """Return the file of a saved model: the one that was given, or the newest of a case.

    Args:
        given: A file, or a case's id or a part that only one case with a saved model has.
        records: File of the records that name the saved models.

    Raises:
        CommandError: It is not a file, and not exactly one case with a saved model matches.
    """
    if given.exists() or len(given.parts) > 1 or given.suffix in _SUFFIXES:
        return given
    name = str(given)
    if not records.is_file():
        raise CommandError(
            f"Wanted the file of a saved model or the id of a case, found no file {name} and no "
            f"records at {records}. Correct the path, or train a model here: pytest bench "
            f"-k {name} --save-models."
        )
    runs = read_runs([records])
    saved = [run for run in runs if _saved(run) is not None]
    if not any(name in run.record.key.id for run in saved):
        case = runs_of(runs, name)[-1].record.key.id  # raises if there is none
        raise CommandError(
            f"Wanted a saved model of {case}, found none: the session that ran it kept none. Run "
            f"it again with --save-models: pytest bench -k {case} --save-models."
        )
    path = _saved(runs_of(saved, name)[-1])
    assert path is not None
    return path


def _saved(run: "Run") -> Path | None:
    """Return the path of a run's saved model; None where it has none, or has it no longer."""
    name = run.record.artifacts.get("model")
    path = run.folder / name if name else None
    return path if path is not None and path.is_file() else None
