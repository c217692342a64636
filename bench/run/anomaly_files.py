"""The files of an anomaly run: scores per image, plots of the scores and of the worst errors."""

import math
from pathlib import Path

from bench import plots
from bench.aggregate.conditions import budget_share
from bench.aggregate.markdown import percent
from bench.record import Record
from bench.run.crop import paste
from bench.run.device_data import SplitData
from bench.run.job import Inputs, Job
from bench.run.kept_predictions import MAPS_LIMIT, write_maps, write_scores
from bench.run.multi_class import at_rows, images_of, rows_of
from bench.run.predict import HeadPredictions
from bench.run.whole_images import over_whole_images, windows_of
from datasets_lib.batches.image_set import ImageSet
from models.catalog import MODELS

_DRAWN = ("calibrated_p95", "best_f1")
"""Thresholds in the plot of the scores; those of pixels are on another scale."""


def write_files(
    job: Job,
    record: Record,
    data: SplitData,
    predictions: dict[str, HeadPredictions],
    calibrated: dict[str, HeadPredictions],
) -> dict[str, Path]:
    """Write scores, maps and, where plots are wanted, plots into the job's folder.

    Args:
        job: The job.
        record: Its record so far.
        data: Test images and held-out normal images.
        predictions: Predictions of the test images by head, on the host.
        calibrated: Predictions of the held-out normal images; empty where there are none.

    Returns:
        Paths by artifact name.

    Raises:
        OSError: A file could not be written.
    """
    test = data.shown
    scores = job.folder / "scores.npz"
    written = {"scores": write_scores(scores, test, predictions, data.held_out_names, calibrated)}
    if maps := _write_maps(job, data, predictions, calibrated):
        written["maps"] = maps
    if job.settings.plots:
        if record.curve:
            written["curve"] = plots.plot_learning_curve(record, job.folder / "curve.png")
        assert isinstance(job.inputs, Inputs)
        # One scale of colors for the maps of all categories of a model.
        labels = test.labels.cpu().numpy().astype(bool)
        scales = {
            head: plots.normal_scale(result.maps.numpy(), labels)
            for head, result in predictions.items()
            if result.maps is not None
        }
        for category in job.inputs.categories or ("",):
            shown, results = _of_category(job.inputs, test, predictions, category)
            for head, result in results.items():
                scale = scales.get(head)
                written |= _plots_of_head(job, record, shown, head, result, category, scale)
    if job.settings.panels:
        written["panels"] = _panels(job, record, test, predictions)
    return written


def _of_category(
    inputs: Inputs, test: ImageSet, predictions: dict[str, HeadPredictions], category: str
) -> tuple[ImageSet, dict[str, HeadPredictions]]:
    """Return the test images and predictions of a category; all for the empty name."""
    if not category:
        return test, predictions
    shown = images_of(test, category, has_masks=inputs.has_masks[category])
    return shown, at_rows(predictions, rows_of(test.names, category))


def _panels(
    job: Job, record: Record, test: ImageSet, predictions: dict[str, HeadPredictions]
) -> Path:
    """Draw a picture of every test image, by the head that ranks, and return their folder."""
    assert isinstance(job.inputs, Inputs)
    folder = job.folder / "panels"
    head, result = next(iter(predictions.items()))
    for category in job.inputs.categories or ("",):
        shown, results = _of_category(job.inputs, test, {head: result}, category)
        own = results[head]
        threshold, _ = _shown_threshold(record.thresholds_of(head, category))
        panels = plots.Panels(
            images=shown.images.permute(0, 2, 3, 1).cpu().numpy(),
            masks=None if shown.masks is None else shown.masks.cpu().numpy(),
            maps=None if own.maps is None else own.maps.numpy(),
            scores=own.scores.numpy(),
            labels=shown.labels.cpu().numpy(),
            names=shown.names,
            threshold=threshold,
        )
        plots.draw_image_panels(panels, folder / category)
    return folder


def _plots_of_head(
    job: Job,
    record: Record,
    test: ImageSet,
    head: str,
    result: HeadPredictions,
    category: str,
    scale: tuple[float, float] | None,
) -> dict[str, Path]:
    """Draw the plots of a head, of one category where a model has several."""
    own = record.thresholds_of(head, category)
    name = f"{head}_{category}" if category else head
    histogram = plots.plot_scores(
        result.scores.numpy(),
        test.labels.cpu().numpy(),
        {rule: own[rule] for rule in _DRAWN if rule in own},
        job.folder / f"histogram_{name}.png",
        title=" · ".join(filter(None, (job.case.id, head, category))),
    )
    written = {f"histogram.{name}": histogram}
    if result.maps is not None:
        path = job.folder / f"errors_{name}.jpg"
        about = _kind_of_run(job, record)
        written[f"errors.{name}"] = _worst_errors(path, test, result, own, about, scale)
    return written


def _shown_threshold(thresholds: dict[str, float | None]) -> tuple[float | None, str]:
    """Return the threshold by which pictures call images defective, and how it was chosen."""
    calibrated = thresholds.get("calibrated_p95")
    if calibrated is not None and math.isfinite(calibrated):
        return calibrated, "calibrated on held-out normal images"
    return thresholds.get("best_f1"), "best F1 on test labels"


def _worst_errors(
    path: Path,
    test: ImageSet,
    result: HeadPredictions,
    thresholds: dict[str, float | None],
    about: str,
    scale: tuple[float, float] | None,
) -> Path:
    assert result.maps is not None
    threshold, rule = _shown_threshold(thresholds)
    return plots.plot_errors(
        images=test.images.permute(0, 2, 3, 1).cpu().numpy(),
        masks=test.masks.cpu().numpy() if test.masks is not None else None,
        maps=result.maps.numpy(),
        scores=result.scores.numpy(),
        labels=test.labels.cpu().numpy(),
        names=test.names,
        threshold=threshold,
        path=path,
        rule=rule,
        about=about,
        scale=scale,
    )


def _kind_of_run(job: Job, record: Record) -> str:
    """Return what limits a run, so that nobody mistakes it for the model's full performance."""
    parts = [f"profile {record.key.profile}"]
    if MODELS[job.case.model].weights and not job.case.pretrained:
        parts.append("random weights")
    share = budget_share(record)
    if share is not None and share < 1:
        parts.append(f"{percent(share)} of its budget")
    return ", ".join(parts)


def _write_maps(
    job: Job,
    data: SplitData,
    predictions: dict[str, HeadPredictions],
    calibrated: dict[str, HeadPredictions],
) -> Path | None:
    """Write maps of whole frames or images: as they are evaluated, not as a crop shows them."""
    assert isinstance(job.inputs, Inputs)
    plan, masks = job.protocol, data.shown.masks
    if plan.crop is not None:
        predictions, masks = paste(predictions, plan.image_size), data.frame_masks
    elif plan.fit != "squash":
        predictions = over_whole_images(predictions, windows_of(job.inputs.test, plan.frame))
        calibrated = over_whole_images(calibrated, windows_of(job.inputs.calibration, plan.frame))
        masks = data.frame_masks
    if not all(job.inputs.has_masks.values()):
        masks = None  # those of a category without any are empty, as if it had no defects
    limit = None if job.settings.keep_maps else MAPS_LIMIT
    path = job.folder / "maps.npz"
    return write_maps(path, data.shown.names, predictions, calibrated, masks, limit)
