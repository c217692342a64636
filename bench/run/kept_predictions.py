"""Predictions that runs keep for ensembles: scores, and anomaly maps in half precision."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.metrics.standardization import center_and_spread
from bench.run.predict import HeadPredictions
from datasets_lib.batches.image_set import ImageSet

MAPS_LIMIT = 100 * 10**6
"""Maximum size in bytes of the maps that a run keeps without ``--keep-maps``: 760 images of
256 × 256 pixels, more than a category of most datasets."""

Predictions = Mapping[str, HeadPredictions]


def write_scores(
    path: Path,
    test: ImageSet,
    predictions: Predictions,
    held_out_names: Sequence[str],
    calibrated: Predictions,
) -> Path:
    """Write names, labels and scores of the test images, and scores of held-out normal images.

    Arrays are ``names``, ``labels``, ``scores.HEAD`` and, where images were held out,
    ``calibration_names`` and ``calibration.HEAD``.
    """
    arrays: dict[str, Any] = {f"scores.{head}": p.scores.numpy() for head, p in predictions.items()}
    if held_out_names:
        arrays["calibration_names"] = np.array(held_out_names)
        arrays |= {f"calibration.{head}": p.scores.numpy() for head, p in calibrated.items()}
    np.savez(path, names=np.array(test.names), labels=test.labels.cpu().numpy(), **arrays)
    return path


def write_maps(
    path: Path,
    names: tuple[str, ...],
    predictions: Predictions,
    calibrated: Predictions,
    masks: Tensor | None,
    limit: int | None = MAPS_LIMIT,
) -> Path | None:
    """Write maps as float16 between the extremes of each head, and masks as bits.

    Arrays are ``names``, ``masks`` (packed bits of ``(N, H, W)``; absent without masks), and for
    each head that has maps ``maps.HEAD`` ``(N, H, W)`` in [0, 1], ``range.HEAD``, the raw values
    that 0 and 1 stand for, and ``normal.HEAD``, median and spread of the raw pixels of held-out
    normal images (absent without any).

    Args:
        path: Path of the file.
        names: Names of the test images.
        predictions: Predictions of the test images by head, on the host.
        calibrated: Predictions of held-out normal images by head.
        masks: ``(N, H, W)`` booleans at the maps' size.
        limit: Maximum size of all maps in bytes; None means no limit.

    Returns:
        The path; None where there are no maps, or they are larger than the limit.
    """
    maps = {head: p.maps for head, p in predictions.items() if p.maps is not None}
    if not maps or (limit is not None and sum(2 * m.numel() for m in maps.values()) > limit):
        return None
    arrays: dict[str, Any] = {}
    for head, raw in maps.items():
        arrays[f"maps.{head}"], arrays[f"range.{head}"] = halved(raw)
        normal = calibrated[head].maps if head in calibrated else None
        if normal is not None and bool(normal.isfinite().any()):
            arrays[f"normal.{head}"] = np.array(center_and_spread(normal))
    if masks is not None:
        arrays["masks"] = np.packbits(masks.cpu().numpy().astype(bool).reshape(len(names), -1), 1)
    np.savez(path, names=np.array(names), **arrays)
    return path


def halved(maps: Tensor) -> tuple[Any, Any]:
    """Return maps as float16 in [0, 1], and the raw values of 0 and 1; infinite ones are clipped.

    Half precision alone would turn values above 65,504, which likelihoods reach, into infinities.
    """
    finite = maps[maps.isfinite()]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    shares = (maps.double().clamp(low, high) - low) / ((high - low) or 1.0)
    return shares.to(torch.float16).numpy(), np.array([low, high])
