"""How an anomaly model learns: statistics in one pass, then gradients, then held-out images."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.protocol import Protocol
from bench.run.features.store import Features
from bench.run.job import Job, ProgressCallback
from bench.run.measure.memory import PeakMemory, peak_host_memory
from bench.run.training.loop import TrainingResult, fit
from bench.run.training.objective import AnomalyObjective
from bench.run.training.precision import to_float
from datasets_lib.augment.augmentation import Identity
from datasets_lib.augment.catalog import build
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.batches.textures import TextureSource
from models.components.base import (
    AnomalyModel,
    GradientAnomalyModel,
    HoldOutModel,
    StatisticalModel,
)


@dataclass(frozen=True)
class TrainingData:
    """What a model learns from.

    Attributes:
        images: ``(N, 3, S, S)`` uint8 normal images.
        features: Of a frozen part, where they were computed beforehand.
        held_out: Normal images kept from training; None for a model that calibrates on none.
        textures: Other pictures, for a loss that looks at some.
    """

    images: Tensor
    features: Features | None = None
    held_out: Tensor | None = None
    textures: TextureSource | None = None


def train(
    model: AnomalyModel,
    training_data: TrainingData,
    job: Job,
    device: torch.device,
    report: ProgressCallback,
) -> TrainingResult:
    """Teach a model all it will know.

    Raises:
        NonFiniteLossError: Training diverged.
    """
    plan = job.protocol
    gathered = TrainingResult(images_seen=len(training_data.images))
    if isinstance(model, StatisticalModel):
        gathered = _gather(model, training_data, plan, job.seed, device, report)
    trained = gathered
    if plan.recipe.optimizer != "none":
        assert isinstance(model, GradientAnomalyModel)
        objective = AnomalyObjective(
            model,
            training_data.images,
            plan,
            device,
            job.seed,
            training_data.features,
            training_data.textures,
        )
        trained = fit(
            model,
            objective,
            plan,
            seed=job.seed,
            device=device,
            report=report,
            checkpoint=job.checkpoint(),
        )
        trained.gather_seconds = gathered.gather_seconds
    if isinstance(model, HoldOutModel) and training_data.held_out is not None:
        with torch.no_grad():
            model.calibrate(_batches(training_data.held_out, plan.evaluation_batch, device))
    return trained


def _gather(
    model: StatisticalModel,
    training_data: TrainingData,
    plan: Protocol,
    seed: int,
    device: torch.device,
    report: ProgressCallback,
) -> TrainingResult:
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    begin = time.perf_counter()
    count, batch = len(training_data.images), plan.evaluation_batch
    with torch.no_grad(), peak_host_memory() as host:
        if training_data.features is not None:
            for number, features in enumerate(training_data.features.batches(batch), start=1):
                model.update_features(features)  # type: ignore[attr-defined]
                report("gather", {"step": min(number * batch, count), "steps": count})
        else:
            for number, images in enumerate(
                _augmented(training_data.images, plan, seed, device), start=1
            ):
                model.update(images)
                report("gather", {"step": min(number * batch, count), "steps": count})
        report("finish", {})
        model.compute()
        if cuda:
            torch.cuda.synchronize(device)
    peak = PeakMemory(host, torch.cuda.max_memory_allocated(device) if cuda else None)
    seconds = time.perf_counter() - begin
    return TrainingResult(images_seen=count, gather_seconds=seconds, gather_peak=peak)


def _augmented(images: Tensor, plan: Protocol, seed: int, device: torch.device) -> Iterator[Tensor]:
    """Batches as the case's augmentation makes them, each image once."""
    augment = build("anomaly", plan.augmentation)
    for begin, batch in zip(
        range(0, len(images), plan.evaluation_batch),
        _batches(images, plan.evaluation_batch, device),
        strict=True,
    ):
        if isinstance(augment, Identity):
            yield batch
        else:
            streams = RandomStreams(torch.arange(begin, begin + len(batch), device=device), seed)
            yield augment(batch, None, streams)[0]


def _batches(images: Tensor, size: int, device: torch.device) -> Iterator[Tensor]:
    for begin in range(0, len(images), size):
        yield to_float(images[begin : begin + size], device)
