"""Predictions of a whole image set, in batches, checked for NaN."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.run.batch import make_batch
from bench.run.device import untuned
from bench.run.features.store import Features
from bench.run.job import ProgressCallback
from bench.run.measure.memory import make_room
from datasets_lib.batches.tiles import Tiles
from models.components.base import AnomalyModel, Prediction


class NonFiniteScoresError(Exception):
    """A model gave an image a score that is NaN."""


@dataclass(frozen=True)
class HeadPredictions:
    """Predictions of one head over a set.

    Attributes:
        scores: ``(N,)`` float32.
        maps: ``(N, H, W)`` float32, or None for a head without maps.
    """

    scores: Tensor
    maps: Tensor | None

    def cpu(self) -> "HeadPredictions":
        """Return the same on the host."""
        return HeadPredictions(self.scores.cpu(), None if self.maps is None else self.maps.cpu())


def predict_all(
    model: AnomalyModel,
    images: Tensor,
    *,
    batch_size: int,
    device: torch.device,
    progress: ProgressCallback,
    features: Features | None = None,
) -> dict[str, HeadPredictions]:
    """Return predictions by head, in float32 and evaluation mode.

    Args:
        model: The model, on its device.
        images: ``(N, 3, H, W)`` uint8, on the device or on the host.
        batch_size: Number of images per batch.
        device: Where the model is.
        progress: Called after every batch.
        features: Features of the images, where they were computed beforehand.

    Raises:
        NonFiniteScoresError: A score or a map holds NaN.
    """
    parts: list[dict[str, Prediction]] = []
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            make_room()
            rows = slice(start, start + batch_size)
            cached = features.batch(rows) if features is not None else None
            with untuned(rows.stop > len(images)):
                batch = make_batch(model, images[rows], device, features=cached)
                parts.append(model.predict(batch))
            progress("predict", {"step": min(rows.stop, len(images)), "steps": len(images)})
    by_head = joined(parts)
    for head, result in by_head.items():
        _require_numbers(head, result)
    return by_head


def joined(parts: Sequence[Mapping[str, Prediction]]) -> dict[str, HeadPredictions]:
    """Return the predictions of batches as one, in float32, by head."""
    by_head = {}
    for head in parts[0] if parts else ():
        predictions = [part[head] for part in parts]
        scores = torch.cat([prediction.scores.float() for prediction in predictions])
        maps = [each.maps.float() for each in predictions if each.maps is not None]
        by_head[head] = HeadPredictions(scores, torch.cat(maps) if maps else None)
    return by_head


def merge_tiles(
    predictions: dict[str, HeadPredictions], tiles: Tiles
) -> dict[str, HeadPredictions]:
    """Return the predictions of frames from those of their tiles.

    A frame's score is the highest of its tiles'; their maps are merged with blended seams.
    """
    return {
        head: HeadPredictions(
            tiles.merge_scores(result.scores),
            None if result.maps is None else tiles.merge(result.maps),
        )
        for head, result in predictions.items()
    }


def _require_numbers(head: str, result: HeadPredictions) -> None:
    if result.scores.isnan().any() or (result.maps is not None and result.maps.isnan().any()):
        raise NonFiniteScoresError(
            f"The trained model scored {int(result.scores.isnan().sum())} of {len(result.scores)} "
            f"images with NaN (head {head}), so it cannot be evaluated. Its training diverged: "
            "lower the learning rate or set grad_clip in the model's recipe."
        )
