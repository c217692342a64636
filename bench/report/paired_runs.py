"""Finding two runs among records and reading what both predicted of the same images."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from bench.aggregate.rows import recency_key
from bench.record import Record
from bench.store import read_records
from bench.studies import table_spec_of

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics.comparison import Comparison

_THRESHOLD = "calibrated_p95"


class ComparisonError(Exception):
    """Two runs cannot be compared; the message says why and what to do."""


@dataclass(frozen=True)
class Run:
    """A finished run and the results folder its artifacts lie in."""

    record: Record
    folder: Path

    @property
    def name(self) -> str:
        """Case and profile, in words."""
        return f"{self.record.key.id} (profile {self.record.key.profile})"


def find_runs(files: Iterable[Path], ids: tuple[str, str], profile: str | None) -> tuple[Run, Run]:
    """The newest finished run of each case id, both of one profile.

    Args:
        files: JSONL files of records, each in ``RESULTS/runs``.
        ids: Of the two cases.
        profile: Name; None where only one has both.

    Raises:
        ComparisonError: There are no such runs, or several profiles have them.
    """
    runs: dict[tuple[str, str], Run] = {}
    found = [Run(record, file.parent.parent) for file in files for record in read_records([file])]
    for run in sorted(found, key=lambda run: recency_key(run.record)):
        key = run.record.key
        if run.record.status == "ok" and profile in {None, key.profile}:
            runs[key.id, key.profile] = run
    by_id = {case: {of for name, of in runs if name == case} for case in ids}
    for case, profiles in by_id.items():
        if not profiles:
            under = f" under profile {profile}" if profile else ""
            raise ComparisonError(
                f"The records have no finished run of {case}{under}. Run it with "
                f"pytest bench -k {case}, or name the files that have it with --records."
            )
    shared = set.intersection(*by_id.values())
    if len(shared) != 1:
        have = "; ".join(f"{case}: {', '.join(sorted(of))}" for case, of in by_id.items())
        advice = "name one with --profile" if shared else "run both under one profile"
        raise ComparisonError(
            f"Wanted two runs of one profile, found {have}. Budgets differ between profiles: "
            f"{advice}."
        )
    (of,) = shared
    return runs[ids[0], of], runs[ids[1], of]


def compare_runs(
    first: Run, second: Run, head: str | None = None, figure: str | None = None
) -> "Comparison":
    """Compare two runs by their predictions.

    Args:
        first: A run.
        second: Another of the same task on the same images.
        head: Scoring head; None for the one that ranks.
        figure: ``image_auroc``, ``top1`` or one of
            `bench.metrics.comparison.BOOTSTRAPPED`; None for the one that ranks.

    Raises:
        ComparisonError: Artifacts are missing or damaged, the images are not the same, or the task
            has no such head or figure.
    """
    from bench.metrics.comparison import (
        BOOTSTRAPPED,
        compare_aurocs,
        compare_classifiers,
        compare_resampled,
    )

    shown, other = table_spec_of(first.record), table_spec_of(second.record)
    if shown.task != other.task:
        raise ComparisonError(
            f"{first.name} is a case of {shown.task}, {second.name} one of {other.task}: only runs "
            "of one task on the same images can be compared."
        )
    head, figure = head or shown.heads[0], figure or shown.ranking
    known = ("top1",) if shown.task == "classification" else ("image_auroc", *BOOTSTRAPPED)
    for wanted, there, what in ((head, shown.heads, "head"), (figure, known, "figure")):
        if wanted not in there:
            raise ComparisonError(
                f"Runs of {shown.task} have no {what} {wanted} to compare; there are "
                f"{', '.join(there)}."
            )
    if shown.task == "classification":
        one, two = _predictions((first, second), "predictions", "predicted")
        labels = one["labels"]
        return compare_classifiers(*(_tensor(of["predicted"] == labels) for of in (one, two)))
    column = f"scores.{head}"
    one, two = _predictions((first, second), "scores", column)
    scores = _tensor(one[column]), _tensor(two[column])
    labels = _tensor(one["labels"])
    if figure == "image_auroc":
        return compare_aurocs(*scores, labels)
    thresholds = math.nan, math.nan
    if figure == "f1":
        thresholds = _threshold(first, head), _threshold(second, head)
    return compare_resampled(figure, *scores, labels, thresholds)


def _threshold(run: Run, head: str) -> float:
    value = run.record.thresholds.get(head, {}).get(_THRESHOLD)
    if value is None:
        reason = run.record.reasons.get(f"{head}.threshold.{_THRESHOLD}", "none was recorded")
        raise ComparisonError(
            f"{run.name} has no calibrated threshold for f1 ({reason}): compare f1_best, whose "
            "threshold sees the test labels, or run both under a profile with a calibration split."
        )
    return value


def _predictions(runs: tuple[Run, Run], artifact: str, column: str) -> list[Mapping[str, Any]]:
    """Both runs' arrays, of the same images with the same labels in the same order."""
    found = [_arrays(run, artifact, column) for run in runs]
    for name, wanted in (("names", "test images"), ("labels", "labels")):
        one, two = (of[name] for of in found)
        if len(one) != len(two) or (one != two).any():
            differ = (
                f"{len(one)} and {len(two)} of them"
                if len(one) != len(two)
                else f"the first difference is image {int((one != two).argmax())}"
            )
            raise ComparisonError(
                f"{runs[0].name} and {runs[1].name} were judged on different {wanted} ({differ}). "
                "A paired comparison needs the same images: run both on the same data."
            )
    return found


def _arrays(run: Run, artifact: str, column: str) -> Mapping[str, Any]:
    recorded = run.record.artifacts.get(artifact)
    path = run.folder / recorded if recorded else None
    if path is None or not path.is_file():
        where = f"{path} is missing" if path else f"its record names no {artifact}"
        raise ComparisonError(
            f"The predictions of {run.name} are not there: {where}. Bring the run's folder along "
            "with its records, or run the case again with --rerun."
        )
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            found = {name: file[name] for name in ("names", "labels", column)}
    except (KeyError, ValueError, OSError, EOFError, BadZipFile) as error:
        raise ComparisonError(
            f"The predictions of {run.name} in {path} cannot be read ({error}): run the case again "
            "with --rerun."
        ) from error
    if len({len(values) for values in found.values()}) != 1 or not len(found["names"]):
        raise ComparisonError(
            f"The predictions of {run.name} in {path} are not one for each image: run the case "
            "again with --rerun."
        )
    return found


def _tensor(values: Any) -> "Tensor":
    import torch

    return torch.from_numpy(np.ascontiguousarray(values))
