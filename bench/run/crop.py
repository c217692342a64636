"""Evaluation of models that see a center crop: over the full frame first, then over the crop alone.

A crop cuts defects away, but the image keeps its label. A model that crops is therefore ranked by
its map pasted back into the frame, where a defect that was cut away counts as missed, as it would
in production. Its performance within the crop is a separate head.
"""

from dataclasses import replace

from torch import Tensor

from bench.record import CROP_SUFFIX
from bench.run.predict import HeadPredictions
from datasets_lib.batches.image_set import ImageSet
from models.components.image_size import ImageSize, height_width


def paste(predictions: dict[str, HeadPredictions], size: ImageSize) -> dict[str, HeadPredictions]:
    """Return predictions with their maps in the middle of frames of a size.

    Pixels outside the crop get the lowest score of all maps: a pixel never seen is flagged last.
    """
    return {
        head: replace(result, maps=None if result.maps is None else _framed(result.maps, size))
        for head, result in predictions.items()
    }


def cut_away(masks: Tensor, frame_masks: Tensor) -> Tensor:
    """Return ``(N,)`` booleans: images that have defect pixels, none of them inside the crop.

    Args:
        masks: ``(N, h, w)`` booleans of the crops.
        frame_masks: ``(N, H, W)`` booleans of the whole images.
    """
    return frame_masks.flatten(1).any(1) & ~masks.cpu().flatten(1).any(1)


def within_crop(
    test: ImageSet, predictions: dict[str, HeadPredictions], left_out: Tensor
) -> tuple[ImageSet, dict[str, HeadPredictions]]:
    """Return the test set and its predictions as the crop shows them.

    Args:
        test: Cropped images and masks.
        predictions: Predictions by head.
        left_out: ``(N,)`` booleans: images whose crop does not show their defect, yet may not be
            normal.
    """
    rows = [row for row, left in enumerate(left_out.tolist()) if not left]
    kept = {
        head + CROP_SUFFIX: HeadPredictions(
            result.scores[rows], None if result.maps is None else result.maps[rows]
        )
        for head, result in predictions.items()
    }
    return test.rows(rows), kept


def cut_away_note(left_out: Tensor, labels: Tensor, where: str) -> str:
    """Return how many defective images lost their defect; empty if none did.

    Args:
        left_out: ``(N,)`` booleans: images whose defect was cut away.
        labels: ``(N,)`` booleans: defective images.
        where: The crop in words.
    """
    lost, defective = int(left_out.sum()), int(labels.sum())
    return (
        f"{lost} of {defective} defective images ({lost / defective:.1%}) show no defect pixel in "
        f"{where}, and count as defective"
        if lost
        else ""
    )


def _framed(maps: Tensor, size: ImageSize) -> Tensor:
    height, width = height_width(size)
    rows, columns = maps.shape[-2:]
    top, left = (height - rows) // 2, (width - columns) // 2
    frame = maps.min().repeat(len(maps), height, width)  # on the device: no synchronization
    frame[:, top : top + rows, left : left + columns] = maps
    return frame
