"""Runs and saved models that users of the commands name by a case's id or a part of it."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.command import CommandError
from bench.commands.record_files import RECORDS
from bench.short_ids import did_you_mean_id, ids_with, listed

if TYPE_CHECKING:
    from bench.report.finished_run import FinishedRun

_SUFFIXES = {".pth", ".pt", ".pt2", ".onnx"}


def id_with(part: str, ids: Collection[str]) -> str | None:
    """Return the id equal to the text, or else the only id that contains it; None if none does.

    Raises:
        CommandError: Several ids contain it.
    """
    matches = ids_with(part, ids)
    if len(matches) > 1:
        raise CommandError(
            f"Wanted one case, found {len(matches)} with {part} in their id: {listed(matches)}. "
            "Name one of them."
        )
    return matches[0] if matches else None


def runs_of(
    runs: "Sequence[FinishedRun]", case: str, profile: str | None = None
) -> "list[FinishedRun]":
    """Return the runs of the case that a text names, the newest last.

    Args:
        runs: Runs of all cases.
        case: Id of the case, or a part that only one id has.
        profile: Profile of the runs; None for all.

    Raises:
        CommandError: No case or several have the text in their id, or no run has the profile.
    """
    from bench.aggregate.frame import recency_key

    known = _ids(runs)
    name = id_with(case, known)
    if name is None:
        hint = f" They have {listed(known)}." if known else ""
        raise CommandError(
            f"Wanted a case in the records, found none called {case} among {len(known)}."
            f"{did_you_mean_id(case, known, ' Did you mean') or hint}"
        )
    own = [run for run in runs if run.record.key.id == name]
    chosen = [run for run in own if profile in {None, run.record.key.profile}]
    if not chosen:
        profiles = sorted({run.record.key.profile for run in own})
        raise CommandError(
            f"Wanted a run of {name} under profile {profile}, found runs under "
            f"{', '.join(profiles)}: name one of these with --profile."
        )
    return sorted(chosen, key=lambda run: recency_key(run.record))


def read_runs(files: Sequence[Path]) -> "list[FinishedRun]":
    """Return every run of files of records."""
    from bench.report.finished_run import FinishedRun
    from bench.store import read_records

    return [FinishedRun(record, file) for file in files for record in read_records([file])]


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
    if not ids_with(name, _ids(saved)):
        raise CommandError(_no_model(name, runs, saved))
    path = _saved(runs_of(saved, name)[-1])
    assert path is not None
    return path


def _no_model(name: str, runs: "Sequence[FinishedRun]", saved: "Sequence[FinishedRun]") -> str:
    """Return an error: no case whose id contains the name has a saved model; list those that do."""
    from bench.report.repeat import repeat_command

    others = f" Saved models: {listed(_ids(saved))}." if saved else ""
    ran = ids_with(name, _ids(runs))
    if not ran:
        return (
            f"Wanted the file of a saved model or the id of a case with one, found neither called "
            f"{name}.{did_you_mean_id(name, _ids(saved), ' Did you mean')}"
            f"{others or ' pytest bench … --save-models keeps models.'}"
        )
    if len(ran) > 1:
        return (
            f"Wanted a saved model, found none of the {len(ran)} cases with {name} in their id: "
            f"{listed(ran)}. Run one again with --save-models.{others}"
        )
    command = repeat_command(runs_of(runs, ran[0])[-1].record, "--save-models")
    return (
        f"Wanted a saved model of {ran[0]}, found none: the session that ran it kept none."
        f"{others} Run it again: {command}"
    )


def _ids(runs: "Sequence[FinishedRun]") -> set[str]:
    return {run.record.key.id for run in runs}


def _saved(run: "FinishedRun") -> Path | None:
    """Return the path of a run's saved model; None where it has none, or has it no longer."""
    name = run.record.artifacts.get("model")
    path = run.folder / name if name else None
    return path if path is not None and path.is_file() else None
