"""The files a classification run leaves: curves, predictions, pictures, the trained network."""

from pathlib import Path

import numpy as np
from torch import Tensor

from bench import plots as plots
from bench.atomic import save_tensors
from bench.metrics.classification import predicted_classes
from bench.record import Record
from bench.run.classification_pictures import write_pictures
from bench.run.device_data import LabeledData
from bench.run.job import Job
from bench.run.labeled_split import LabeledSplit
from models.components.base import Classifier


def write_artifacts(
    job: Job, record: Record, model: Classifier, data: LabeledData, logits: Tensor
) -> None:
    """Write the run's files and note their paths, relative to the results folder.

    Raises:
        OSError: A file could not be written.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    written = {
        "predictions": _predictions(job.folder / "predictions.npz", data.test, logits),
        "curve": plots.training_curves(record, job.folder / "curve.png"),
        **write_pictures(job.folder, job.case.id, model, data.test, logits),
    }
    if job.save_model:
        written["model"] = save_tensors(model.checkpoint(), job.folder / "model.pth")
    record.artifacts = {
        name: path.relative_to(job.results_dir).as_posix() for name, path in written.items()
    }


def _predictions(path: Path, test: LabeledSplit, logits: Tensor) -> Path:
    """What each image counts as, ties decided as the figures do, and log-probabilities.

    The latter as fp16: enough for ensembles, and half of the logits' size.
    """
    np.savez(
        path,
        names=np.array(test.names),
        labels=test.labels.cpu().numpy(),
        predicted=predicted_classes(logits, test.labels).cpu().numpy(),
        log_probabilities=logits.log_softmax(1).half().cpu().numpy(),
    )
    return path
