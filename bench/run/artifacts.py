"""The files a run leaves beside its record: pictures, per-image scores, the trained model."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from bench import plots as plots
from bench.atomic import save_tensors
from bench.record import Record
from bench.run.evaluate import Predictions
from bench.run.job import Job
from datasets_lib.batches.image_set import ImageSet
from models.components.base import AnomalyModel


def write_artifacts(
    job: Job,
    record: Record,
    model: AnomalyModel,
    test: ImageSet,
    predictions: dict[str, Predictions],
) -> None:
    """Write the run's files and note their paths, relative to the results folder.

    Raises:
        OSError: A file could not be written.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    written = {"scores": _scores(job.folder / "scores.npz", test, predictions)}
    if job.plots:
        written |= _pictures(job, record, test, predictions)
    if job.save_model:
        written["model"] = save_tensors(model.checkpoint(), job.folder / "model.pth")
    record.artifacts = {
        name: path.relative_to(job.results_dir).as_posix() for name, path in written.items()
    }


def _pictures(
    job: Job, record: Record, test: ImageSet, predictions: dict[str, Predictions]
) -> dict[str, Path]:
    written = {}
    if record.curve:
        written["curve"] = plots.learning_curve(record, job.folder / "curve.png")
    for head, result in predictions.items():
        thresholds = record.thresholds.get(head, {})
        written[f"histogram.{head}"] = plots.score_histogram(
            result.scores.numpy(),
            test.labels.cpu().numpy(),
            thresholds,
            job.folder / f"histogram_{head}.png",
            title=f"{job.case.id} · {head}",
        )
        if result.maps is not None:
            path = job.folder / f"errors_{head}.jpg"
            written[f"errors.{head}"] = _worst_errors(path, test, result, thresholds)
    return written


def _worst_errors(
    path: Path, test: ImageSet, result: Predictions, thresholds: dict[str, float | None]
) -> Path:
    assert result.maps is not None
    honest = thresholds.get("calibrated_p95")
    has_honest = honest is not None and math.isfinite(honest)
    return plots.worst_errors(
        images=test.images.permute(0, 2, 3, 1).cpu().numpy(),
        masks=test.masks.cpu().numpy() if test.masks is not None else None,
        maps=result.maps.numpy(),
        scores=result.scores.numpy(),
        labels=test.labels.cpu().numpy(),
        names=test.names,
        threshold=honest if has_honest else thresholds.get("best_f1"),
        path=path,
        rule="calibrated on held-out normal images" if has_honest else "best F1 on test labels",
    )


def _scores(path: Path, test: ImageSet, predictions: dict[str, Predictions]) -> Path:
    arrays: dict[str, Any] = {f"scores.{head}": s.scores.numpy() for head, s in predictions.items()}
    np.savez(path, names=np.array(test.names), labels=test.labels.cpu().numpy(), **arrays)
    return path
