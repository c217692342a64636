"""A model from a checkpoint, ready to predict."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.checkpoint.file import Checkpoint, read_checkpoint
from bench.checkpoint.metadata import CheckpointError, Metadata, Preprocessing, is_plain
from bench.error_text import first_line
from bench.near_names import near_names
from bench.predict.preprocessing import decode
from bench.predict.stream import BatchScores
from bench.provenance.commit import short_commit
from bench.run.batch import make_batch
from bench.run.device import untuned, use_device
from bench.run.predict import HeadPredictions, joined, merge_tiles, predict_all
from bench.run.training.precision import to_float
from datasets_lib.batches.tiles import Tiles
from datasets_lib.images.decode import UInt8, read_file
from models.catalog import MODELS
from models.components.base import AnomalyModel, Classifier, Prediction
from models.components.checkpoints import load_tensors
from models.components.winograd import use_winograd

BATCH = 32
"""Images per batch by default, as in the evaluation after training: results are bit-identical."""

_TUNED = (1, BATCH)
"""Sizes of batches that come often enough for cuDNN to try its algorithms."""


class Predictor:
    """Predicts images with a trained model.

    Attributes:
        metadata: What the checkpoint says about the model.
        model: The model, on its device.
        device: The device.
    """

    def __init__(
        self, metadata: Metadata, model: AnomalyModel | Classifier, device: torch.device
    ) -> None:
        self.metadata, self.model, self.device = metadata, model, device
        self._tiles = _tiles(metadata.preprocessing)

    def predict(
        self, images: Tensor | Sequence[Path | str], batch_size: int = BATCH
    ) -> dict[str, HeadPredictions]:
        """Return raw scores ``(N,)`` and maps ``(N, H, W)`` by head.

        Args:
            images: ``(N, 3, H, W)`` uint8 RGB, as the checkpoint's preprocessing makes them, or
                image files. All of their maps are held in memory.
            batch_size: Number of images per batch. A score depends on it only by rounding.

        Raises:
            DatasetError: A file cannot be read or is damaged.
            NonFiniteScoresError: A score is NaN.
            TypeError: The model is a classifier.
        """
        if not isinstance(self.model, AnomalyModel):
            raise TypeError(f"{self.metadata.model} is a classifier: use probabilities().")
        pixels = self._pixels(images)
        predictions = predict_all(
            self.model,
            pixels if self._tiles is None else self._tiles.cut(pixels),
            batch_size=batch_size,
            device=self.device,
            progress=lambda *_: None,
        )
        return predictions if self._tiles is None else merge_tiles(predictions, self._tiles)

    def probabilities(
        self, images: Tensor | Sequence[Path | str], batch_size: int = BATCH
    ) -> Tensor:
        """Return probabilities ``(N, classes)`` of a classifier, in the order of its classes.

        Raises:
            DatasetError: A file cannot be read or is damaged.
            TypeError: The model is not a classifier.
        """
        if not isinstance(self.model, Classifier):
            raise TypeError(f"{self.metadata.model} is an anomaly model: use predict().")
        self.model.eval()
        with torch.inference_mode():
            batches = torch.split(self._pixels(images), batch_size)
            logits = [self.model.predict(to_float(batch, self.device)) for batch in batches]
        return torch.cat(logits).softmax(1).cpu()

    def score(self, pixels: UInt8) -> BatchScores:
        """Return the model's predictions for a batch of images ``(B, H, W, 3)``.

        An image whose score or map is not a number has the score NaN.
        """
        images = as_tensor(pixels)
        with torch.inference_mode():
            if isinstance(self.model, Classifier):
                with untuned(len(images) not in _TUNED):
                    logits = self.model.predict(to_float(images, self.device))
                return BatchScores({}, {}, logits.float().softmax(1).cpu().numpy())
            tiles = images if self._tiles is None else self._tiles.cut(images)
            parts = torch.split(tiles, BATCH)
            predictions = joined([self._predicted(part) for part in parts])
        if self._tiles is not None:
            predictions = merge_tiles(predictions, self._tiles)
        scores, maps = {}, {}
        for head, prediction in predictions.items():
            scores[head] = prediction.scores.cpu().numpy()
            if prediction.maps is not None:
                maps[head] = prediction.maps.cpu().numpy()
                scores[head][np.isnan(maps[head]).any(axis=(1, 2))] = np.nan
        return BatchScores(scores, maps)

    def _predicted(self, part: Tensor) -> dict[str, Prediction]:
        assert isinstance(self.model, AnomalyModel)
        with untuned(len(part) not in _TUNED):
            return self.model.predict(make_batch(self.model, part, self.device))

    def _pixels(self, images: Tensor | Sequence[Path | str]) -> Tensor:
        if isinstance(images, Tensor):
            return images
        own = self.metadata.preprocessing
        paths = [Path(file) for file in images]
        decoded = [decode(read_file(path), path, own).pixels for path in paths]
        return as_tensor(np.stack(decoded))


def _tiles(own: Preprocessing) -> Tiles | None:
    """Return the tiles that frames are cut into; None where they are not cut."""
    if own.tiles is None:
        return None
    rows, columns = own.tiles
    height, width = (
        (side + (count - 1) * own.overlap) // count
        for side, count in ((own.height, rows), (own.width, columns))
    )
    return Tiles(rows, columns, own.overlap, height, width)


def as_tensor(pixels: UInt8) -> Tensor:
    """Return images ``(N, H, W, 3)`` as ``(N, 3, H, W)``, channels last in memory."""
    # Decoded images may be read-only, and torch warns of those, as it cannot keep them so.
    writable = pixels if pixels.flags.writeable else pixels.copy()
    return torch.from_numpy(writable).permute(0, 3, 1, 2)


def load_checkpoint(path: Path, device: str = "cpu") -> Predictor:
    """Load a checkpoint that ``--save-models`` wrote; nothing in it is run.

    Args:
        path: Path of the file.
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        CheckpointError: The file is not a checkpoint, is damaged, or does not fit this version's
            model.
        DeviceError: There is no such device.
    """
    torch_device = use_device(device)
    checkpoint = read_checkpoint(path)
    try:
        model = _build(checkpoint)
    except CheckpointError as error:
        raise CheckpointError(f"The checkpoint {path} cannot be used: {error}") from None
    except Exception as error:  # options and tensors of another version's model raise any exception
        raise CheckpointError(
            f"The checkpoint {path} does not fit this version's {checkpoint.metadata.model}: "
            f"{first_line(error)}. Train it again, or use the commit that saved it "
            f"({short_commit(checkpoint.metadata.code.get('commit'))})."
        ) from error
    return Predictor(checkpoint.metadata, model.to(torch_device).eval(), torch_device)


def _build(checkpoint: Checkpoint) -> AnomalyModel | Classifier:
    """Build the catalog's model and give it the checkpoint's tensors."""
    metadata = checkpoint.metadata
    if metadata.model not in MODELS:
        close = near_names(metadata.model, MODELS)
        raise CheckpointError(
            f"its model '{metadata.model}' is not in the catalog"
            f"{f' (there is {close[0]})' if close else ''}. If a plugin registers it, name it "
            "before the command: python -m bench --plugin FILE.py predict …"
        )
    entry = MODELS[metadata.model]
    if entry.task != metadata.task:
        raise CheckpointError(f"its model '{entry.name}' is for {entry.task} here.")
    with torch.random.fork_rng([]):  # what is drawn at random is overwritten
        model: AnomalyModel | Classifier = entry.load_build()(
            weights=entry.weights, state=None, **_options(metadata)
        )
    if metadata.score_version != getattr(model, "score_version", 1):
        raise CheckpointError(
            "the scores of its model have changed since, so its thresholds do not fit them. Train "
            f"it again, or use the commit that saved it "
            f"({short_commit(metadata.code.get('commit'))})."
        )
    frozen = {name: getattr(model, name) for name in getattr(model, "frozen_parts", ())}
    frozen = {name: part for name, part in frozen.items() if part is not None}
    if frozen.keys() != checkpoint.frozen.keys():
        raise CheckpointError(
            f"it has the pretrained parts {sorted(checkpoint.frozen)}, but its model has "
            f"{sorted(frozen)}."
        )
    for name, part in frozen.items():
        load_tensors(part, checkpoint.frozen[name])
    model.load_checkpoint(checkpoint.model)
    use_winograd(model)
    return model


def _options(metadata: Metadata) -> dict[str, Any]:
    """Return the arguments of ``build``: plain ones of the checkpoint, others of the catalog.

    Only plain values are taken from the file, and only those that the model's build function knows,
    so that no file decides what is imported or opened.
    """
    entry = MODELS[metadata.model]
    known = inspect.signature(entry.load_build()).parameters
    recipe = entry.recipes.get(metadata.recipe)
    own = {**entry.options, **(recipe.options if recipe else {})}
    unsaved = {name: value for name, value in own.items() if not is_plain(value)}
    saved = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in metadata.options.items()
        if is_plain(value) and name not in ("weights", "state")
    }
    if unknown := saved.keys() - known.keys():
        raise CheckpointError(f"it has options {sorted(unknown)}, which its model does not take.")
    return {**unsaved, **saved}
