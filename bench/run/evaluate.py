"""Predicting a whole image set and judging what came out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.metrics.anomaly import AnomalyMetrics, evaluate
from bench.run.job import Report
from bench.run.precision import to_float
from datasets_lib.image_set import ImageSet
from models.interface import GradientAnomalyModel


class NonFiniteScoresError(Exception):
    """A model scored an image with NaN."""


@dataclass(frozen=True)
class Scored:
    """Predictions of one arm over a set, on the host: ``(N,)`` scores, ``(N, H, W)`` maps."""

    scores: Tensor
    maps: Tensor | None


def predict_all(
    model: GradientAnomalyModel,
    images: Tensor,
    *,
    batch: int,
    device: torch.device,
    report: Report,
) -> dict[str, Scored]:
    """Predictions by evaluation arm of ``(N, 3, S, S)`` uint8 images, in float32.

    Raises:
        NonFiniteScoresError: A score or a map holds NaN.
    """
    scores: dict[str, list[Tensor]] = {}
    maps: dict[str, list[Tensor]] = {}
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            for arm, prediction in model.predict(
                to_float(images[start : start + batch], device)
            ).items():
                scores.setdefault(arm, []).append(prediction.scores.float().cpu())
                if prediction.maps is not None:
                    maps.setdefault(arm, []).append(prediction.maps.float().cpu())
            report("predict", {"step": min(start + batch, len(images)), "steps": len(images)})
    found = {
        arm: Scored(torch.cat(parts), torch.cat(maps[arm]) if arm in maps else None)
        for arm, parts in scores.items()
    }
    for arm, result in found.items():
        if result.scores.isnan().any() or (result.maps is not None and result.maps.isnan().any()):
            raise NonFiniteScoresError(
                f"The trained model scored {int(result.scores.isnan().sum())} of {len(images)} "
                f"images with NaN (arm {arm}), so it cannot be judged. Its training diverged: "
                "lower the learning rate or set grad_clip in the model's recipe."
            )
    return found


def judge(
    test: ImageSet, scored: dict[str, Scored], calibration: dict[str, Scored] | None
) -> dict[str, AnomalyMetrics]:
    """Metrics by arm, on raw scores."""
    return {
        arm: evaluate(
            result.scores,
            result.maps,
            test.labels.cpu(),
            test.masks.cpu() if test.masks is not None else None,
            calibration[arm].scores if calibration else None,
        )
        for arm, result in scored.items()
    }
