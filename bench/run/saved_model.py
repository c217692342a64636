"""Saving a trained model as a checkpoint: the model, and its description from the case."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.checkpoint.file import write_checkpoint
from bench.checkpoint.map_range import map_range
from bench.checkpoint.metadata import Calibration, Metadata, Preprocessing, is_plain
from bench.environment import environment
from bench.record import Record, from_json
from bench.run.job import Job
from bench.run.multi_class import at_rows, rows_of
from bench.run.predict import HeadPredictions
from datasets_lib.batches.image_set import ImageSet
from models.catalog import MODELS, WEIGHTS
from models.components.base import AnomalyModel, Classifier
from models.components.image_size import height_width

_VERSIONS = ("python", "torch", "torchvision", "timm", "numpy", "pillow", "device", "class")

Predictions = dict[str, HeadPredictions]


def save_model(
    job: Job, model: AnomalyModel | Classifier, record: Record, path: Path, **fields: Any
) -> Path:
    """Write a checkpoint of a case's trained model.

    Args:
        job: The case.
        model: Its model.
        record: What is known so far: metrics, thresholds, fingerprints.
        path: Path of the file.
        fields: What the task adds to the `Metadata`: options, heads, calibrations, classes.

    Raises:
        OSError: The file cannot be written.
    """
    record = from_json(record.to_json())  # plain values: no NaN
    case, protocol, entry = job.case, job.protocol, MODELS[job.case.model]
    weights = WEIGHTS.get(entry.weights or "")
    frame = protocol.frame
    metadata = Metadata(
        model=case.model,
        recipe=case.recipe,
        task=entry.task,
        preprocessing=Preprocessing(
            height=frame.height,
            width=frame.width,
            crop=None if protocol.crop is None else height_width(protocol.crop),
            fit=protocol.fit,
            tiles=protocol.tiles,
            overlap=protocol.overlap,
            bits=job.settings.bits,
            mean=weights.mean if weights and protocol.normalize else (),
            std=weights.std if weights and protocol.normalize else (),
        ),
        dataset=case.dataset,
        category=case.category,
        weights=_weights(job),
        protocol=protocol.as_dict(),
        seed=job.seed,
        metrics=record.metrics,
        case=case.id,
        images=job.inputs.images,
        data_sha256=job.inputs.data_hash,
        code=record.code,
        versions={
            name: str(value)
            for name, value in environment(job.settings.device).items()
            if name in _VERSIONS
        },
        created=record.finished,
        **fields,
    )
    return write_checkpoint(path, model, metadata)


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a model that are numbers, strings or sequences of them.

    Others, such as options of options, are taken from the catalog when the model is built again.
    """
    return {name: value for name, value in options.items() if is_plain(value)}


def calibrations(
    categories: Sequence[str],
    record: Record,
    test: ImageSet,
    predictions: Predictions,
    held_out: Predictions | None,
    held_out_names: Sequence[str],
) -> dict[str, dict[str, Calibration]]:
    """Return what scores mean, by category (``""`` for a model of one) and head.

    Args:
        categories: Categories of a multi-category model.
        record: Its thresholds.
        test: The test set, whose normal images give colors where none are held out.
        predictions: Predictions of the test set by head.
        held_out: Predictions of held-out normal images by head; None if there are none.
        held_out_names: Names of these images.
    """
    found = {}
    for category in categories or ("",):
        rows = rows_of(test.names, category) if category else list(range(len(test)))
        labels = test.labels.cpu()
        normal = at_rows(predictions, [row for row in rows if not labels[row]])
        own = held_out
        if held_out and category:
            own = at_rows(held_out, rows_of(held_out_names, category)) or None
        found[category] = {
            head: _calibration(record, category, head, own[head] if own else None, normal[head])
            for head in predictions
        }
    return found


def _calibration(
    record: Record,
    category: str,
    head: str,
    held_out: HeadPredictions | None,
    normal: HeadPredictions,
) -> Calibration:
    prefix = f"{category}." if category else ""
    saw_labels = set(record.fingerprints.get("thresholds_that_saw_test_labels", ()))
    rules = {
        name: (f"{prefix}{name}" in saw_labels, value)
        for name, value in record.thresholds_of(head, category).items()
        if value is not None and abs(value) < torch.inf
    }
    shown, source = held_out, "held-out normal images"
    if shown is None or not len(shown.scores):
        shown, source = normal, "normal test images"
    maps = shown.maps if len(shown.scores) else None
    own_maps = held_out.maps if held_out else None
    return Calibration(
        scores=_ascending(held_out.scores) if held_out else (),
        peaks=() if own_maps is None else _ascending(own_maps.amax((1, 2))),
        thresholds={name: value for name, (seen, value) in rules.items() if not seen},
        test_thresholds={name: value for name, (seen, value) in rules.items() if seen},
        map_range=None if maps is None else map_range(maps),
        map_range_of="" if maps is None else source,
    )


def _ascending(values: Tensor) -> tuple[float, ...]:
    """Return finite values in order; infinite ones stay the largest or lowest."""
    limit = torch.finfo(torch.float32).max
    return tuple(values.float().cpu().clamp(-limit, limit).sort().values.tolist())


def _weights(job: Job) -> dict[str, str]:
    entry, resolved = MODELS[job.case.model], job.inputs.weights
    if resolved is None or entry.weights is None:
        return {}
    published = WEIGHTS[entry.weights]
    return {
        "tag": published.tag,
        "file": resolved.path.name,
        "sha256": resolved.sha256,
        "license": published.license_text,
        "license_page": published.license_page,
        "url": published.url,
    }
