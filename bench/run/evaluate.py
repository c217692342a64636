"""Predicting a whole image set and judging what came out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.metrics.delong import AurocInterval, auroc_interval
from bench.metrics.evaluation import MetricValues, anomaly_metrics
from bench.metrics.pixels import Method, SaturatedRegions
from bench.metrics.ranking import auroc
from bench.metrics.regions import Regions
from bench.run.features.store import Features
from bench.run.job import ProgressCallback
from bench.run.training.precision import to_float
from datasets_lib.batches.image_set import ImageSet
from models.components.base import AnomalyModel, Prediction, StudentModel


class NonFiniteScoresError(Exception):
    """A model scored an image with NaN."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of one head over a set: ``(N,)`` scores, ``(N, H, W)`` maps."""

    scores: Tensor
    maps: Tensor | None

    def cpu(self) -> "Predictions":
        """The same on the host."""
        return Predictions(self.scores.cpu(), None if self.maps is None else self.maps.cpu())


def predict_all(
    model: AnomalyModel,
    images: Tensor,
    *,
    batch: int,
    device: torch.device,
    report: ProgressCallback,
    features: Features | None = None,
) -> dict[str, Predictions]:
    """Predictions by scoring head of ``(N, 3, S, S)`` uint8 images, in float32, on the device.

    Args:
        model: On the device.
        images: On the device or on the host.
        batch: Images at once.
        device: Where.
        report: Called at every batch.
        features: Of the images, where they are at hand.

    Raises:
        NonFiniteScoresError: A score or a map holds NaN.
    """
    scores: dict[str, list[Tensor]] = {}
    maps: dict[str, list[Tensor]] = {}
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            rows = slice(start, start + batch)
            for head, prediction in _predicted(model, images[rows], rows, features, device).items():
                scores.setdefault(head, []).append(prediction.scores.float())
                if prediction.maps is not None:
                    maps.setdefault(head, []).append(prediction.maps.float())
            report("predict", {"step": min(start + batch, len(images)), "steps": len(images)})
    found = {
        head: Predictions(torch.cat(parts), torch.cat(maps[head]) if head in maps else None)
        for head, parts in scores.items()
    }
    for head, result in found.items():
        if result.scores.isnan().any() or (result.maps is not None and result.maps.isnan().any()):
            raise NonFiniteScoresError(
                f"The trained model scored {int(result.scores.isnan().sum())} of {len(images)} "
                f"images with NaN (head {head}), so it cannot be judged. Its training diverged: "
                "lower the learning rate or set grad_clip in the model's recipe."
            )
    return found


def _predicted(
    model: AnomalyModel,
    images: Tensor,
    rows: slice,
    features: Features | None,
    device: torch.device,
) -> dict[str, Prediction]:
    if features is None:
        return model.predict(to_float(images, device))
    known = features.batch(rows)
    if isinstance(model, StudentModel):
        return model.predict_beside_features(to_float(images, device), known)
    size = (images.shape[-2], images.shape[-1])
    found: dict[str, Prediction] = model.predict_of_features(known, size)  # type: ignore[attr-defined]
    return found


@dataclass(frozen=True)
class Evaluation:
    """What one head's predictions are worth.

    Attributes:
        values: Metrics with reasons and notes, and thresholds.
        image_auroc: With DeLong's interval over images.
        kinds: Image AUROC of the normal images and one kind of defect, by kind; ``nan`` without a
            normal image.
    """

    values: MetricValues
    image_auroc: AurocInterval
    kinds: dict[str, float]


def evaluate(
    test: ImageSet,
    predictions: dict[str, Predictions],
    calibration: dict[str, Predictions] | None,
    regions: Regions | None,
    method: Method = "exact",
    saturated: SaturatedRegions | None = None,
) -> dict[str, Evaluation]:
    """Judge by head, on raw scores.

    Args:
        test: Labels, masks and kinds of defect.
        predictions: Predictions of the test set.
        calibration: Predictions of normal images neither fitted nor tested.
        regions: Connected components of the masks; None without masks.
        method: Of the pixel metrics.
        saturated: Annotated regions with saturations, for datasets that have them.
    """
    labels = test.labels
    evaluations = {}
    for head, result in predictions.items():
        held_out = calibration[head] if calibration else None
        scores = held_out.scores if held_out else None
        evaluations[head] = Evaluation(
            values=anomaly_metrics(
                result.scores,
                result.maps,
                labels,
                test.masks,
                scores,
                held_out.maps if held_out else None,
                regions,
                method,
                saturated,
            ),
            image_auroc=auroc_interval(result.scores, labels),
            kinds=_by_kind(result.scores, test.defects),
        )
    return evaluations


def _by_kind(scores: Tensor, defects: tuple[str | None, ...]) -> dict[str, float]:
    kinds = sorted({kind for kind in defects if kind is not None})
    found = {}
    for kind in kinds:
        chosen = [index for index, defect in enumerate(defects) if defect in {None, kind}]
        labels = torch.tensor([defects[index] is not None for index in chosen])
        found[kind] = auroc(scores[chosen], labels)
    return found
