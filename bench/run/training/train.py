"""Fitting an anomaly model: statistics in one pass, then gradients, then held-out images."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.run.batch import make_batch
from bench.run.contract import check_methods, check_predictions
from bench.run.device import untuned
from bench.run.features.store import Features
from bench.run.job import Job, ProgressCallback
from bench.run.measure.memory import memory_rise
from bench.run.training.extras import Extras
from bench.run.training.loop import TrainingResult, fit
from bench.run.training.objective import AnomalyObjective
from bench.run.training.optimization import build_optimizer
from bench.run.training.precision import to_float
from bench.run.training.warm_up import warm_up
from datasets_lib.augment.augmentation import Identity
from datasets_lib.augment.catalog import build
from datasets_lib.augment.random_streams import RandomStreams
from models.catalog import MODELS
from models.components.base import AnomalyModel, Batch

_FEW = 4  # images of a dry pass; on a GPU its batches are whole: kernels are chosen by their size
_DRY_STEPS, _DRY_BATCH = 2, 2


@dataclass(frozen=True)
class TrainingData:
    """What a model is fitted to.

    Attributes:
        images: ``(N, 3, S, S)`` uint8 images: normal ones, plus defects for a supervised model.
        features: Features of a frozen backbone, where they were computed beforehand.
        held_out: Normal images kept from training; None for a model that calibrates on none.
        extras: What training batches hold along with images and features.
    """

    images: Tensor
    features: Features | None = None
    held_out: Tensor | None = None
    extras: Extras | None = None


def train(
    model: AnomalyModel,
    data: TrainingData,
    job: Job,
    device: torch.device,
    progress: ProgressCallback,
) -> TrainingResult:
    """Fit a model; its first predictions are checked before any gradient step.

    Raises:
        ModelContractError: The predictions are not what the catalog entry declares.
        NonFiniteLossError: Training diverged.
    """
    trained = TrainingResult(images_seen=len(data.images))
    check_methods(model, job.protocol.recipe.optimizer)
    _warm_up(model, data, job, device)
    if model.gathers_statistics:
        trained = gather(model, data, job, device, progress)
    if data.held_out is not None:  # its predictions need constants; the real ones follow below
        _calibrate(model, data.held_out[:_FEW], job, device)
    _check(model, data, job, device)
    if job.protocol.recipe.optimizer != "none":
        gathered = trained
        progress("train", {})  # starts timing its steps, without the dry pass
        trained = fit(
            model,
            _objective(model, data, job, device),
            job.protocol,
            seed=job.seed,
            device=device,
            report=progress,
            checkpoint=job.checkpoint,
            origin=job.origin,
            start=job.settings.resume_from,
            keep_state=job.settings.keep_state,
        )
        trained.gather_seconds = gathered.gather_seconds
        trained.gather_memory = gathered.gather_memory
    if data.held_out is not None:
        begin = time.perf_counter()
        _calibrate(model, data.held_out, job, device)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        trained.calibrate_seconds = time.perf_counter() - begin
    return trained


def _objective(
    model: AnomalyModel, data: TrainingData, job: Job, device: torch.device
) -> AnomalyObjective:
    return AnomalyObjective(
        model, data.images, job.protocol, device, job.seed, data.features, data.extras
    )


def _warm_up(model: AnomalyModel, data: TrainingData, job: Job, device: torch.device) -> None:
    """Run a batch of every part of fitting, unmeasured and on copies."""
    few = replace(
        data,
        images=data.images[:_FEW],
        features=None if data.features is None else data.features.first(_FEW),
    )

    def update(twin: AnomalyModel) -> None:
        twin.eval()
        with torch.no_grad():
            part = data if device.type == "cuda" else few
            twin.update(next(_gathered_batches(twin, part, job, device)))

    def fit_few(twin: AnomalyModel) -> None:
        if twin.gathers_statistics:
            gather(twin, few, job, device, lambda *_: None)
        if data.held_out is not None:
            whole = job.protocol.evaluation_batch if device.type == "cuda" else _FEW
            _calibrate(twin, data.held_out[:whole], job, device)
        if job.protocol.recipe.optimizer != "none":
            _dry_steps(twin, data, job, device)

    key = job.case.model, job.protocol.hash, device, data.features is None, len(data.images)
    warm_up(model, key, [update, fit_few] if model.gathers_statistics else [fit_few], device)


def _dry_steps(model: AnomalyModel, data: TrainingData, job: Job, device: torch.device) -> None:
    objective, recipe = _objective(model, data, job, device), job.protocol.recipe
    optimizer = build_optimizer(recipe, model.parameter_groups())
    batch = min(recipe.batch_size, objective.count)
    batch = batch if device.type == "cuda" else min(batch, _DRY_BATCH)
    # Of three steps, the last is in the last phase of a model with phases.
    steps = 3 if model.last_phase else _DRY_STEPS
    order = torch.arange(steps * batch) % objective.count
    model.train()
    for step, index in enumerate(objective.batches(order, batch, 0)):
        optimizer.zero_grad(set_to_none=True)
        objective.gradient(index, step)
        optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _calibrate(model: AnomalyModel, images: Tensor, job: Job, device: torch.device) -> None:
    model.eval()
    with torch.no_grad():
        model.calibrate(_plain_batches(model, images, job, device))


def _check(model: AnomalyModel, data: TrainingData, job: Job, device: torch.device) -> None:
    # Negatives: scores of training images may be mere rounding errors, as if all are memorized.
    with untuned():
        batch = make_batch(model, 255 - data.images[:2], device)
    check_predictions(model, batch, MODELS[job.case.model].heads, device)


def gather(
    model: AnomalyModel,
    data: TrainingData,
    job: Job,
    device: torch.device,
    progress: ProgressCallback,
) -> TrainingResult:
    """Pass every training image to `update` once, then call `compute`."""
    count, size = len(data.images), job.protocol.evaluation_batch
    model.eval()
    with torch.no_grad(), memory_rise(device) as memory:
        begin = time.perf_counter()
        for number, batch in enumerate(_gathered_batches(model, data, job, device), start=1):
            model.update(batch)
            progress("gather", {"step": min(number * size, count), "steps": count})
        progress("compute", {})
        model.compute()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - begin
    return TrainingResult(images_seen=count, gather_seconds=seconds, gather_memory=memory)


def _gathered_batches(
    model: AnomalyModel, data: TrainingData, job: Job, device: torch.device
) -> Iterator[Batch]:
    """Yield every image once, augmented as the case asks."""
    augment = build("anomaly", job.protocol.augmentation)
    if isinstance(augment, Identity):
        yield from _plain_batches(model, data.images, job, device, data.features)
        return
    size = job.protocol.evaluation_batch
    for begin in range(0, len(data.images), size):
        images = to_float(data.images[begin : begin + size], device)
        rows = torch.arange(begin, begin + len(images), device=device)
        augmented, _ = augment(images, None, RandomStreams(rows, job.seed))
        with untuned(len(images) < size):
            yield make_batch(model, augmented, device)


def _plain_batches(
    model: AnomalyModel,
    images: Tensor,
    job: Job,
    device: torch.device,
    features: Features | None = None,
) -> Iterator[Batch]:
    size = job.protocol.evaluation_batch
    for begin in range(0, len(images), size):
        rows = slice(begin, begin + size)
        cached = features.batch(rows) if features is not None else None
        with untuned(len(images[rows]) < size):
            yield make_batch(model, images[rows], device, features=cached)
