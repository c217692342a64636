"""Find two runs among records and compare their predictions on the same images."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.aggregate.frame import recency_key, run_quality
from bench.record import CROP_SUFFIX, Record
from bench.report.finished_run import ArraysError, ComparisonError, FinishedRun, load_arrays
from bench.report.repeat import repeat_command
from bench.short_ids import did_you_mean_id
from bench.studies import ranking_of
from bench.study import RANKING, task_of

if TYPE_CHECKING:
    from bench.metrics.comparison import Comparison

_THRESHOLD = "calibrated_p95"


def find_runs(
    candidates: Sequence[FinishedRun], ids: tuple[str, str], profile: str | None
) -> tuple[FinishedRun, FinishedRun]:
    """Return the finished run that stands for each case id in the tables, both of one profile.

    A whole run of the catalog's recipe comes before a quick look at it, then the newest.

    Args:
        candidates: Runs of all cases.
        ids: Ids of the two cases.
        profile: Profile of both runs; None if only one profile has both.

    Raises:
        ComparisonError: There are no such runs, or several profiles have them.
    """
    runs: dict[tuple[str, str], FinishedRun] = {}
    for run in sorted(candidates, key=_table_key):
        key = run.record.key
        if run.record.status == "ok" and profile in {None, key.profile}:
            runs[key.id, key.profile] = run
    by_id = {case: {name for id_, name in runs if id_ == case} for case in ids}
    for case, profiles in by_id.items():
        if not profiles:
            raise ComparisonError(_no_run(case, profile, [run.record for run in candidates]))
    shared = set.intersection(*by_id.values())
    if len(shared) != 1:
        have = "; ".join(f"{case}: {', '.join(sorted(names))}" for case, names in by_id.items())
        advice = "name one with --profile" if shared else "run both under one profile"
        raise ComparisonError(
            f"Wanted two runs of one profile, found {have}. Budgets differ between profiles: "
            f"{advice}."
        )
    (name,) = shared
    return runs[ids[0], name], runs[ids[1], name]


def _table_key(run: FinishedRun) -> tuple[object, ...]:
    return run_quality(run.record), recency_key(run.record)


def _no_run(case: str, profile: str | None, records: Sequence[Record]) -> str:
    """Return a message that a case has no finished run, and what the records have instead."""
    under = f" under profile {profile}" if profile else ""
    of_case = [record for record in records if record.key.id == case]
    ended = f" (its last one ended as {of_case[-1].outcome})" if of_case else ""
    none = f"The records have no finished run of {case}{under}{ended}."
    known = {record.key.id for record in records}
    if not of_case and (meant := did_you_mean_id(case, known, "Did you mean")):
        return f"{none} {meant}"
    same = [record for record in of_case if profile in {None, record.key.profile}]
    command = repeat_command(same[-1]) if same else f"pytest bench -k {case}"
    return f"{none} Name the files that have it with --records, or run it: {command}"


def _check_data(first: FinishedRun, second: FinishedRun) -> None:
    """Reject runs on different data, and runs of one model for all categories."""
    one, other = first.record, second.record
    for run in (first, second):
        if run.record.categories:
            raise ComparisonError(
                f"{run.name} is one model for all categories, whose scores share no scale: wanted "
                "runs of one category each. python -m bench leaderboard shows its categories."
            )
    if one.case.data != other.case.data:
        raise ComparisonError(
            f"{first.name} ran on {one.case.data}, {second.name} on {other.case.data}: a paired "
            "comparison needs the same test images. Compare cases of one dataset and category; "
            "python -m bench leaderboard shows models over all of them."
        )


def compare_runs(
    first: FinishedRun, second: FinishedRun, head: str | None = None, metric: str | None = None
) -> "Comparison":
    """Compare two runs by their predictions.

    Args:
        first: A run.
        second: Another run of the same task on the same images.
        head: Scoring head; None for the one that ranks each run, as in its summary.
        metric: ``image_auroc``, ``top1``, one of `bench.metrics.comparison.BOOTSTRAPPED` or of
            `bench.metrics.pixel_jackknife.JACKKNIFED`; None for the metric that ranks the task.

    Raises:
        ComparisonError: Artifacts are missing or damaged, the images are not the same, or the runs
            have no such head or metric.
    """
    from bench.metrics.comparison import BOOTSTRAPPED
    from bench.metrics.pixel_jackknife import JACKKNIFED

    task, other = task_of(first.record), task_of(second.record)
    if task != other:
        raise ComparisonError(
            f"{first.name} is a case of {task}, {second.name} one of {other}: only runs of one "
            "task on the same images can be compared."
        )
    _check_data(first, second)
    runs = (first, second)
    heads = [head or ranking_of(run.record)[0] for run in runs]
    for run, name in zip(runs, heads, strict=True):
        # A crop's domain leaves images out, so it cannot be paired.
        known = tuple(h for h in run.record.metrics if not h.endswith(CROP_SUFFIX))
        _check_known("head", name, known, run.name)
    metric = metric or RANKING[task]
    metrics = ("top1",) if task == "classification" else ("image_auroc", *BOOTSTRAPPED, *JACKKNIFED)
    _check_known("metric", metric, metrics, f"a comparison of {task}")
    if task == "classification":
        return _compare_classes(runs)
    return _compare_scores(runs, heads, metric)


def _compare_classes(runs: tuple[FinishedRun, FinishedRun]) -> "Comparison":
    """Compare the predicted classes of two runs."""
    from torch import from_numpy

    from bench.metrics.comparison import compare_classifiers

    arrays = _predictions(runs, "predictions", ["predicted"] * 2)
    right = [from_numpy(a["predicted"] == a["labels"]) for a in arrays]
    return compare_classifiers(right[0], right[1])


def _compare_scores(
    runs: tuple[FinishedRun, FinishedRun], heads: Sequence[str], metric: str
) -> "Comparison":
    """Compare the scores, or the maps, of one head of each of two runs."""
    from torch import from_numpy

    from bench.metrics.comparison import compare_aurocs, compare_resampled
    from bench.metrics.pixel_jackknife import JACKKNIFED
    from bench.report.paired_maps import compare_maps

    columns = [f"scores.{name}" for name in heads]
    arrays = _predictions(runs, "scores", columns)
    scores = from_numpy(arrays[0][columns[0]]), from_numpy(arrays[1][columns[1]])
    labels = from_numpy(arrays[0]["labels"])
    if metric in JACKKNIFED:
        return compare_maps(metric, runs, heads, arrays[0]["names"], arrays[0]["labels"])
    if metric == "image_auroc":
        return compare_aurocs(*scores, labels)
    thresholds = math.nan, math.nan
    if metric == "f1":
        thresholds = _threshold(runs[0], heads[0]), _threshold(runs[1], heads[1])
    return compare_resampled(metric, *scores, labels, thresholds)


def changed_images(first: FinishedRun, second: FinishedRun) -> bool:
    """Return whether images of equal names had other contents, or were read in another way.

    The hash also covers the training images, so runs with other shots cannot be told apart.
    """
    one, other = first.record, second.record
    hashes = [record.shared_images for record in (one, other)]
    return all(hashes) and one.case.shots == other.case.shots and hashes[0] != hashes[1]


def _check_known(kind: str, name: str, known: tuple[str, ...], owner: str) -> None:
    if name not in known:
        raise ComparisonError(
            f"Wanted the {kind} {name}, found that {owner} has {', '.join(known)}: name one of "
            f"these with --{kind}."
        )


def _threshold(run: FinishedRun, head: str) -> float:
    value = run.record.thresholds.get(head, {}).get(_THRESHOLD)
    if value is None:
        reason = run.record.reasons.get(f"{head}.threshold.{_THRESHOLD}", "none was recorded")
        raise ComparisonError(
            f"{run.name} has no calibrated threshold for f1 ({reason}): compare f1_best, whose "
            "threshold sees the test labels, or run both under a profile with a calibration split."
        )
    return value


def _predictions(
    runs: tuple[FinishedRun, FinishedRun], artifact: str, columns: list[str]
) -> list[Mapping[str, Any]]:
    """Return both runs' arrays, for the same images with the same labels in the same order."""
    arrays = [_arrays(run, artifact, name) for run, name in zip(runs, columns, strict=True)]
    for name, noun in (("names", "test images"), ("labels", "labels")):
        first, second = (a[name] for a in arrays)
        if len(first) != len(second) or (first != second).any():
            differ = (
                f"{len(first)} and {len(second)} of them"
                if len(first) != len(second)
                else f"the first difference is image {int((first != second).argmax())}"
            )
            raise ComparisonError(
                f"{runs[0].name} and {runs[1].name} were evaluated on different {noun} ({differ}). "
                "A paired comparison needs the same images. The dataset's files changed between "
                "the runs: run both again with --rerun."
            )
    return arrays


def _arrays(run: FinishedRun, artifact: str, column: str) -> Mapping[str, Any]:
    path = run.path_of(artifact)
    try:
        arrays = load_arrays(path, "names", "labels", column)
    except ArraysError as error:
        raise ComparisonError(
            f"The predictions of {run.name} in {path} cannot be read ({error}): run the case again "
            "with --rerun."
        ) from error
    if arrays is None:
        where = f"{path} is missing" if path else f"its record names no {artifact}"
        raise ComparisonError(f"The predictions of {run.name} are not there: {where}. {_get(run)}")
    if len({len(values) for values in arrays.values()}) != 1 or not len(arrays["names"]):
        raise ComparisonError(
            f"The predictions of {run.name} in {path} do not have one value per image: run the "
            "case again with --rerun."
        )
    return arrays


def _get(run: FinishedRun) -> str:
    """Return how to get the missing predictions of a run."""
    if run.own:
        return (
            "Bring the run's folder along with its records, or run the case again with --rerun, "
            "under the same profile."
        )
    return (
        f"{run.file} keeps records without the files of their runs. Compare runs of your own: "
        f"run both cases with pytest bench, and leave --records out."
    )
