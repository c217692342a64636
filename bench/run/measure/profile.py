"""Measurement of a trained model: speed, latency, memory and size, each in its own loop."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor

from bench.protocol import Protocol
from bench.run.job import ProgressCallback
from bench.run.measure.flops import UncountableFlopsError, count_flops, parameter_counts
from bench.run.measure.memory import MemoryRise, measure_memory
from bench.run.measure.timing import Predict, measure_inference, measure_latency, steady_samples
from bench.run.training.loop import TrainingResult
from bench.run.training.optimization import build_optimizer
from bench.run.training.precision import autocast, to_float
from datasets_lib.augment.rows import select
from models.components.base import AnomalyModel, Classifier

_PARTS = 4
_TRAINING_STEPS = 3  # one whose FLOPs are counted, two for the memory
_SHORT = 0.5  # seconds that are always allowed
_SLOWER = 1.5  # factor on a step's time when freed memory goes back to the system
_MAX_SAMPLES = 1_000  # in a record
_LATENCY_CALLS = 4  # at least: one to warm up, three samples
# Shares of the time limit; warming up may double those of latency and speed.
_MEMORY_SHARE, _LATENCY_SHARE, _INFERENCE_SHARE = 0.1, 0.1, 0.2


@dataclass(frozen=True)
class Measured:
    """Measurements with their units in their names, and their background.

    Attributes:
        values: Values by name; None for what was not measured.
        samples: Samples in seconds.
        charges: Seconds by part that a speed or a duration covers.
        reasons: Why a value is None.
        notes: What is unusual about a value.
    """

    values: dict[str, float | None]
    samples: dict[str, list[float]] = field(default_factory=dict)
    charges: dict[str, dict[str, float]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def __or__(self, other: "Measured") -> "Measured":
        return Measured(
            self.values | other.values,
            self.samples | other.samples,
            self.charges | other.charges,
            self.reasons | other.reasons,
            self.notes | other.notes,
        )


@dataclass(frozen=True)
class ProfileTarget:
    """What to measure of a model.

    Attributes:
        model: The model, on its device.
        images: ``(N, 3, H, W)`` uint8 images to train on.
        predict: Returns predictions of a float batch.
        loss: Returns the training loss of a float batch under the given model, a copy; None for a
            model without gradients.
        gather: Returns a call that gathers the model's statistics once more, on a new copy; None
            for a model without statistics.
        frozen_seconds: Duration per image of the frozen part that training computed beforehand; 0
            where there is none.
        frames: ``(N, 3, H, W)`` uint8 images to predict; None where they are those to train on.
    """

    model: AnomalyModel | Classifier
    images: Tensor
    predict: Callable[[Tensor], object]
    loss: Callable[[Any, Tensor], Tensor] | None
    frozen_seconds: float = 0.0
    gather: Callable[[], Callable[[], object]] | None = None
    frames: Tensor | None = None


class _Budget:
    """The remaining time to measure a case."""

    def __init__(self, seconds: float) -> None:
        self.limit = seconds
        self._end = time.monotonic() + seconds

    def allows(self, seconds: float) -> bool:
        return seconds < _SHORT or time.monotonic() + seconds <= self._end

    def share(self, part: float) -> float:
        """Return a part of the limit in seconds, or half of what is left if that is less."""
        return min(part * self.limit, max(0.0, self._end - time.monotonic()) / 2)

    @property
    def reason(self) -> str:
        return (
            f"this would have exceeded the limit of {self.limit:g} s for measuring; "
            "a larger --measure-seconds measures it (in a session, with --rerun)"
        )


def measure(
    target: ProfileTarget,
    protocol: Protocol,
    trained: TrainingResult,
    device: torch.device,
    limit_s: float,
    report: ProgressCallback,
) -> Measured:
    """Measure a trained model.

    Prediction is measured on batches of the protocol's evaluation size, training on batches of the
    loop's size; images are repeated where there are too few. Memory is the rise over a baseline
    with model and batch in place: ``inference_rise_…`` while predicting, ``train_rise_…`` while
    taking optimizer steps or gathering statistics, gradients and optimizer state included.
    ``model_bytes`` are the model's parameters and buffers. FLOPs are per image. Speeds of training
    exist only for models trained by gradient; `charges` says what they cover. Measurements that do
    not depend on the load of the machine come first.

    Args:
        target: What is measured.
        protocol: Recipe and budget.
        trained: Result of the training.
        device: Where the model is.
        limit_s: Seconds after which nothing more is started; what is left out is None.
        report: Called before every part.
    """
    budget = _Budget(limit_s)
    parameters = parameter_counts(target.model)
    found = Measured(
        {
            "parameters": parameters.all,
            "trainable_parameters": parameters.trainable,
            "model_bytes": sum(tensor.nbytes for tensor in target.model.state_dict().values()),
        }
    )
    target.model.eval()
    predicted = target.images if target.frames is None else target.frames
    batch = _batch(predicted, protocol.evaluation_batch, device)

    def predict(chunk: Tensor) -> None:
        with torch.inference_mode():
            target.predict(chunk)

    _tell(report, 1)
    limit = budget.share(_MEMORY_SHARE)
    serving = measure_memory(lambda: predict(batch), device, limit_s=limit)
    found |= _rise("inference", serving)
    found |= _flops("inference_flops", lambda: predict(_single(batch)), 1)
    _tell(report, 2)
    gathered = _gathering(target, trained, device, budget)
    if target.loss is not None and trained.steps:
        found |= _training(target, target.loss, protocol, trained, device, budget)
    found |= _larger_rise(found, gathered)
    _tell(report, 3)
    found |= _speed(predict, batch, serving.seconds, budget)
    _tell(report, 4)
    return found | _latency(predict, _single(batch), serving.seconds / len(batch), budget)


def thinned(samples: list[float]) -> list[float]:
    """Return evenly spaced samples, so that a record of a long training stays readable."""
    return samples[:: math.ceil(len(samples) / _MAX_SAMPLES)] if samples else []


def _gathering(
    target: ProfileTarget, trained: TrainingResult, device: torch.device, budget: _Budget
) -> Measured:
    """Measure the memory of gathering statistics, once more where time allows.

    While the pass was timed, freed memory was kept for the next tensors.
    """
    if trained.gather_memory is None:
        return _rise("train", MemoryRise())
    if device.type == "cuda" or target.gather is None:
        return _rise("train", trained.gather_memory)
    if budget.allows(_SLOWER * trained.gather_seconds):
        again = _Again(target.gather)
        limit = budget.share(_MEMORY_SHARE)
        rise = measure_memory(again, device, prepare=again.prepare, limit_s=limit)
        return _rise("train", rise)
    note = "of the timed pass, in which freed memory is kept: up to half as much again as needed"
    return replace(_rise("train", trained.gather_memory), notes={_TRAIN_RISE[0]: note})


class _Again:
    """Gathers statistics on a new copy of the model each time."""

    def __init__(self, gather: Callable[[], Callable[[], object]]) -> None:
        self._gather = gather

    def __call__(self) -> None:
        self._run()

    def prepare(self) -> None:
        self._run = self._gather()


def _larger_rise(training: Measured, gathering: Measured) -> Measured:
    """Return the larger memory of training's two passes, unless one is missing for lack of time."""
    if training.reasons.keys() & _TRAIN_RISE:
        return Measured({})
    parts = (training.values, gathering.values)
    values = {
        name: max((v for part in parts if (v := part.get(name)) is not None), default=None)
        for name in _TRAIN_RISE
    }
    return Measured(values, notes=training.notes | gathering.notes)


def _speed(predict: Predict, batch: Tensor, call_s: float, budget: _Budget) -> Measured:
    name, budget_s = "inference_images_per_s", budget.share(_INFERENCE_SHARE)
    if not budget.allows(call_s):
        return Measured({name: None}, reasons={name: budget.reason})
    warm_s = call_s if call_s > budget_s else None
    samples = measure_inference(predict, batch, 1, budget_s=budget_s, warm_s=warm_s)
    return Measured({name: len(batch) / median(samples)}, {"inference_step": samples})


def _latency(predict: Predict, single: Tensor, image_s: float, budget: _Budget) -> Measured:
    names = ("latency_p50_ms", "latency_p95_ms")
    if not budget.allows(_LATENCY_CALLS * image_s):
        return Measured(dict.fromkeys(names), reasons=dict.fromkeys(names, budget.reason))
    budget_s = budget.share(_LATENCY_SHARE)
    samples = measure_latency(predict, single, _LATENCY_CALLS - 1, budget_s=budget_s)
    high = quantiles(samples, n=20, method="inclusive")[-1]
    values = (1e3 * median(samples), 1e3 * high)
    return Measured(dict(zip(names, values, strict=True)), {"latency": samples})


def _training(
    target: ProfileTarget,
    loss_of: Callable[[Any, Tensor], Tensor],
    protocol: Protocol,
    trained: TrainingResult,
    device: torch.device,
    budget: _Budget,
) -> Measured:
    """Measure speed, memory and FLOPs of training.

    ``train_images_per_s`` charges every step with the frozen part that was computed once, so that
    caching is no advantage in a table; ``…_cached`` is the speed of the loop itself.
    """
    count = trained.images_seen // trained.steps
    steps = steady_samples(trained.step_seconds)
    parts = {"optimizer step": median(steps)}
    if target.frozen_seconds:
        parts["frozen backbone"] = count * target.frozen_seconds
    seconds = sum(parts.values())
    found = Measured(
        {
            "train_images_per_s": count / seconds,
            "train_images_per_s_cached": count / parts["optimizer step"],
        },
        {"train_step": thinned(steps)},
        {"train_images_per_s": parts},
    )
    if not budget.allows(_TRAINING_STEPS * seconds):
        names = ("train_flops", *_TRAIN_RISE)
        reasons = dict.fromkeys(names, budget.reason)
        return found | Measured(dict.fromkeys(names), reasons=reasons)
    step = _OptimizerStep(target, loss_of, protocol, _batch(target.images, count, device), device)
    found |= _flops("train_flops", step, count)

    def two_steps() -> None:  # the optimizer's state is allocated at the end of the first
        step()
        step()

    limit = budget.share(_MEMORY_SHARE)
    rise = measure_memory(two_steps, device, prepare=step.reset, limit_s=limit)
    return found | _rise("train", rise)


class _OptimizerStep:
    """A step as the training loop takes it, on one batch and a copy of the model."""

    def __init__(
        self,
        target: ProfileTarget,
        loss_of: Callable[[Any, Tensor], Tensor],
        protocol: Protocol,
        batch: Tensor,
        device: torch.device,
    ) -> None:
        backbone = getattr(target.model, "backbone", None)
        self._model = copy.deepcopy(target.model, {id(backbone): backbone})
        self._loss_of, self._batch = loss_of, batch
        self._protocol, self._device = protocol, device
        self._model.train()
        self.reset()

    def __call__(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        with autocast(self._device, self._protocol):
            loss = self._loss_of(self._model, self._batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()

    def reset(self) -> None:
        """Drop gradients and the optimizer's state, which count as memory of training."""
        for parameter in self._model.trainable_parameters():
            parameter.grad = None
        self._optimizer = build_optimizer(self._protocol.recipe, self._model.parameter_groups())


def _flops(name: str, step: Callable[[], object], images: int) -> Measured:
    """Count the FLOPs of a step per image."""
    try:
        return Measured({name: count_flops(step) / images})
    except UncountableFlopsError as error:
        return Measured({name: None}, reasons={name: str(error)})


def _rise(what: str, rise: MemoryRise) -> Measured:
    host, on_device = f"{what}_rise_host_bytes", f"{what}_rise_device_bytes"
    notes = {} if rise.steady else {host: "of a first or second call: up to a fifth off"}
    return Measured({host: rise.host_bytes, on_device: rise.device_bytes}, notes=notes)


_TRAIN_RISE = tuple(_rise("train", MemoryRise()).values)


def _tell(report: ProgressCallback, part: int) -> None:
    report("measure", {"step": part, "steps": _PARTS})


def _single(batch: Tensor) -> Tensor:
    return batch[:1].contiguous(memory_format=torch.channels_last)


def _batch(images: Tensor, count: int, device: torch.device) -> Tensor:
    index = torch.arange(count, device=images.device) % len(images)
    return to_float(select(images, index), device)
