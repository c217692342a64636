"""Measurement of a trained model: speed, latency, memory and size, each in its own loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles

import torch
from torch import Tensor

from bench.protocol import Protocol
from bench.run.measure.flops import count_flops, parameter_counts
from bench.run.measure.memory import PeakMemory, measure_memory
from bench.run.measure.timing import measure_inference, measure_latency, steady_samples
from bench.run.training.loop import TrainingResult
from bench.run.training.optimization import build_optimizer
from bench.run.training.precision import autocast, to_float
from datasets_lib.augment.rows import select
from models.components.base import AnomalyModel, Classifier


@dataclass(frozen=True)
class Measured:
    """Measurements with their units in their names, and the samples behind them, in seconds."""

    values: dict[str, float | None]
    samples: dict[str, list[float]]

    def __add__(self, other: "Measured") -> "Measured":
        return Measured(self.values | other.values, self.samples | other.samples)


@dataclass(frozen=True)
class ProfileTarget:
    """What is measured of a model.

    Attributes:
        model: The model, on its device.
        images: ``(N, 3, S, S)`` uint8 images to measure on.
        predict: Returns predictions of a float batch.
        loss: Returns the training loss of a float batch; None for a model without gradients.
        frozen: The frozen part that training computed beforehand; None where there is none.
    """

    model: AnomalyModel | Classifier
    images: Tensor
    predict: Callable[[Tensor], object]
    loss: Callable[[Tensor], Tensor] | None
    frozen: Callable[[Tensor], object] | None = None


def measure(
    target: ProfileTarget, protocol: Protocol, trained: TrainingResult, device: torch.device
) -> Measured:
    """Measure a trained model.

    Prediction is measured on batches of the protocol's evaluation size, training on batches of the
    loop's size; images are repeated where there are too few. Memory is that of the whole process:
    ``peak_…`` while training or gathering statistics, ``inference_peak_…`` while predicting. FLOPs
    are per image. The training steps taken here change the model, so this comes last.
    """
    target.model.eval()
    batch = _batch(target.images, protocol.evaluation_batch, device)
    single = batch[:1].contiguous(memory_format=torch.channels_last)

    def predict(chunk: Tensor) -> None:
        with torch.inference_mode():
            target.predict(chunk)

    inference = measure_inference(predict, batch, min_rounds=5)
    latency = measure_latency(predict, single)
    parameters = parameter_counts(target.model)
    serving = measure_memory(lambda: predict(batch), device)
    values: dict[str, float | None] = {
        "inference_images_per_s": len(batch) / median(inference),
        "latency_p50_ms": 1e3 * median(latency),
        "latency_p95_ms": 1e3 * quantiles(latency, n=20, method="inclusive")[-1],
        "parameters": parameters.all,
        "trainable_parameters": parameters.trainable,
        "inference_flops": count_flops(lambda: predict(single)),
        "inference_peak_host_bytes": _peak(serving),
        "inference_peak_device_bytes": serving.device_bytes,
    }
    samples = {"inference_step": inference, "latency": latency}
    if target.loss is not None and trained.steps:
        values |= _training(target, target.loss, protocol, trained, device)
        samples["train_step"] = thinned(steady_samples(trained.step_seconds))
    elif trained.gather_peak is not None:
        values["peak_host_bytes"] = _peak(trained.gather_peak)
        values["peak_device_bytes"] = trained.gather_peak.device_bytes
    return Measured(values, samples)


def thinned(samples: list[float], max_samples: int = 1_000) -> list[float]:
    """Return evenly spaced samples, so that a record of a long training stays readable."""
    return samples[:: math.ceil(len(samples) / max_samples)] if samples else []


def _training(
    target: ProfileTarget,
    loss_of: Callable[[Tensor], Tensor],
    protocol: Protocol,
    trained: TrainingResult,
    device: torch.device,
) -> dict[str, float | None]:
    """Measure speed, memory and FLOPs of training.

    ``train_images_per_s`` charges every step with the frozen part that was computed once, so that
    caching is no advantage in a table; ``…_cached`` is the speed of the loop itself.
    """
    target.model.train()
    batch = _batch(target.images, trained.images_seen // trained.steps, device)
    optimizer = build_optimizer(protocol.recipe, target.model.parameter_groups())

    def train() -> None:
        with autocast(device, protocol):
            loss = loss_of(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    step = median(steady_samples(trained.step_seconds))
    frozen = _frozen_seconds(target.frozen, batch, protocol, device)
    fitting = measure_memory(train, device)
    return {
        "train_images_per_s": len(batch) / (step + frozen),
        "train_images_per_s_cached": len(batch) / step,
        "train_flops": count_flops(train) / len(batch),
        "peak_host_bytes": _peak(fitting),
        "peak_device_bytes": fitting.device_bytes,
    }


def _batch(images: Tensor, count: int, device: torch.device) -> Tensor:
    index = torch.arange(count, device=images.device) % len(images)
    return to_float(select(images, index), device)


def _frozen_seconds(
    frozen: Callable[[Tensor], object] | None,
    train_batch: Tensor,
    protocol: Protocol,
    device: torch.device,
) -> float:
    """Return what the frozen part costs a training batch, warmed up like every other speed."""
    if frozen is None:
        return 0.0

    def teach(chunk: Tensor) -> None:
        with torch.inference_mode(), autocast(device, protocol):
            frozen(chunk)

    return median(measure_inference(teach, train_batch, min_rounds=5))


def _peak(memory: PeakMemory) -> int | None:
    """Return the loop's own peak; None where only the peak of the whole process is known."""
    return memory.host.peak_bytes if memory.host.since_reset else None
