"""Prediction with an exported ONNX file by onnxruntime alone; imports no torch."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.checkpoint.metadata import CheckpointError, Metadata
from bench.error_text import first_line
from bench.export.description import KEY, Description, read_description
from bench.next_steps import extra_command
from bench.predict.preprocessing import seen
from bench.predict.stream import BatchScores
from datasets_lib.images.decode import UInt8

_DEVICE = re.compile(r"cpu|cuda(?::(\d+))?")


class OnnxScorer:
    """A `bench.predict.stream.Scorer` of an exported file.

    Attributes:
        description: What the file says about itself.
    """

    def __init__(self, session: Any, description: Description) -> None:
        self._session, self.description = session, description

    @property
    def metadata(self) -> Metadata:
        """Return what the checkpoint said about its model."""
        return self.description.checkpoint

    def score(self, pixels: UInt8) -> BatchScores:
        """Return scores and maps of images ``(B, h, w, 3)``, already resized and cropped.

        An image whose score or map is not a number has the score NaN.
        """
        own = self.metadata.preprocessing
        if own.crop is not None:  # the graph cuts the same pixels out again
            top, left, height, width = seen(own)
            frames = np.zeros((len(pixels), own.height, own.width, 3), np.uint8)
            frames[:, top : top + height, left : left + width] = pixels
            pixels = frames
        return self.run(pixels)

    def run(self, images: UInt8) -> BatchScores:
        """Return scores and maps of images ``(B, h, w, 3)`` as the graph takes them."""
        head = self.metadata.heads[0]
        scores, *maps = self._session.run(None, {"images": np.ascontiguousarray(images)})
        if maps:
            scores = np.where(np.isnan(maps[0]).any(axis=(1, 2)), np.float32(np.nan), scores)
        return BatchScores({head: scores}, {head: maps[0]} if maps else {})


def load_onnx(path: Path, device: str = "cpu") -> OnnxScorer:
    """Load an exported ONNX file.

    Args:
        path: Path of the file.
        device: ``cpu``, or ``cuda`` or ``cuda:N`` with onnxruntime-gpu.

    Raises:
        CheckpointError: onnxruntime is missing or cannot use the device, or the file is damaged or
            was not exported by this program.
    """
    try:
        import onnxruntime
    except ImportError:
        raise CheckpointError(
            f"The file {path} is ONNX and needs onnxruntime, which is missing. Install it with "
            f"{extra_command('onnx')}, or give the checkpoint itself."
        ) from None
    provider, settings = _provider_of(device, onnxruntime)
    try:
        session = onnxruntime.InferenceSession(str(path), providers=[(provider, settings)])
        found = session.get_modelmeta().custom_metadata_map
    except Exception as error:  # onnxruntime's errors have no common base class
        raise CheckpointError(
            f"The file {path} cannot be used: wanted an ONNX file of python -m bench export, found "
            f"one that onnxruntime rejects ({first_line(error)})."
        ) from None
    if session.get_providers()[0] != provider:
        raise CheckpointError(
            f"--device {device}: onnxruntime could not use it and chose the CPU. Check nvidia-smi, "
            "and that onnxruntime-gpu fits the installed CUDA; or leave the option out."
        )
    if KEY not in found:
        raise CheckpointError(
            f"The file {path} cannot be used: it is ONNX, but not from python -m bench export, "
            "which adds preprocessing and thresholds."
        )
    try:
        description = read_description(found[KEY])
    except CheckpointError as error:
        raise CheckpointError(f"The file {path} cannot be used: found {error}.") from None
    return OnnxScorer(session, description)


def _provider_of(device: str, onnxruntime: Any) -> tuple[str, dict[str, int]]:
    """Return the provider of a device, and its options.

    Raises:
        CheckpointError: The device is unknown, or onnxruntime lacks its provider.
    """
    known = _DEVICE.fullmatch(device)
    if known is None:
        raise CheckpointError(f"--device {device}: wanted cpu, cuda or cuda:N for an ONNX file.")
    if device == "cpu":
        return "CPUExecutionProvider", {}
    provider = "CUDAExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise CheckpointError(
            f"--device {device}: this onnxruntime has only {_providers(onnxruntime)}. "
            "Install onnxruntime-gpu, or leave the option out."
        )
    return provider, {"device_id": int(known[1] or 0)}


def _providers(onnxruntime: Any) -> list[str]:
    return [
        name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()
    ]


def of_head(metadata: Metadata, head: str) -> Metadata:
    """Return a description with one head alone, as an export has it."""
    return replace(
        metadata,
        heads=(head,),
        metrics={name: own for name, own in metadata.metrics.items() if name == head},
        calibrations={
            category: {name: own for name, own in by_head.items() if name == head}
            for category, by_head in metadata.calibrations.items()
        },
    )
