"""Measuring a trained model: speed, latency, memory and size, each in a loop of its own."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles

import torch
from torch import Tensor, nn

from bench.protocol import Protocol
from bench.run.measure.flops import count_flops, parameter_counts
from bench.run.measure.memory import PeakMemory, measure_memory
from bench.run.measure.timing import measure_inference, measure_latency, steady_samples
from bench.run.training.loop import TrainingResult
from bench.run.training.optimization import build_optimizer
from bench.run.training.precision import autocast, to_float
from datasets_lib.augment.rows import select
from models.components.base import Saved, Trainable


@dataclass(frozen=True)
class Measured:
    """Figures with their units in their names, and the samples behind them, in seconds."""

    figures: dict[str, float | None]
    samples: dict[str, list[float]]


@dataclass(frozen=True)
class ProfileTarget:
    """What is measured of a model.

    Attributes:
        model: On its device.
        predict: Its answer to a float batch.
        loss: Its training loss of a float batch; None for one that is not trained by gradient.
        frozen: A frozen part that training computed once, beforehand; None without one.
    """

    model: Saved
    predict: Callable[[Tensor], object]
    loss: Callable[[Tensor], Tensor] | None
    frozen: Callable[[Tensor], object] | None = None


def measure(
    target: ProfileTarget,
    images: Tensor,
    protocol: Protocol,
    trained: TrainingResult,
    device: torch.device,
) -> Measured:
    """Measure a trained model on ``(N, 3, S, S)`` uint8 images.

    Prediction is measured on the protocol's evaluation batches, training on batches as large as
    the loop's; where there are fewer images they are repeated. Memory is the whole process's: of
    training with its optimizer, or of gathering statistics, in ``peak_…``, of prediction in
    ``inference_peak_…``. FLOPs are an image's. The training steps taken here change the model:
    measure last.
    """
    batch = _batch(images, protocol.evaluation_batch, device)
    single = batch[:1].contiguous(memory_format=torch.channels_last)

    def predict(chunk: Tensor) -> None:
        with torch.inference_mode():
            target.predict(chunk)

    inference = measure_inference(predict, batch, min_rounds=5)
    latency = measure_latency(predict, single)
    assert isinstance(target.model, nn.Module)
    parameters = parameter_counts(target.model)
    serving = measure_memory(lambda: predict(batch), device)
    figures: dict[str, float | None] = {
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
        figures |= _training(target, target.loss, images, protocol, trained, device)
        samples["train_step"] = thinned(steady_samples(trained.step_seconds))
    elif trained.gather_peak is not None:
        figures["peak_host_bytes"] = _peak(trained.gather_peak)
        figures["peak_device_bytes"] = trained.gather_peak.device_bytes
    return Measured(figures, samples)


def thinned(samples: list[float], most: int = 1_000) -> list[float]:
    """At most so many of them, evenly spaced: a record of a long training stays readable."""
    return samples[:: math.ceil(len(samples) / most)] if samples else []


def _training(
    target: ProfileTarget,
    loss_of: Callable[[Tensor], Tensor],
    images: Tensor,
    protocol: Protocol,
    trained: TrainingResult,
    device: torch.device,
) -> dict[str, float | None]:
    """Speed, memory and FLOPs of training.

    ``train_images_per_s`` charges a frozen part that was computed once to every step, so that
    having kept it is no advantage in a table; ``…_cached`` is what the loop did.
    """
    batch = _batch(images, trained.images_seen // trained.steps, device)
    assert isinstance(target.model, Trainable)
    optimizer = build_optimizer(protocol.recipe, target.model)

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
    """What a frozen part costs a training batch, warmed up like every other speed."""
    if frozen is None:
        return 0.0

    def teach(chunk: Tensor) -> None:
        with torch.inference_mode(), autocast(device, protocol):
            frozen(chunk)

    return median(measure_inference(teach, train_batch, min_rounds=5))


def _peak(memory: PeakMemory) -> int | None:
    """The loop's own peak; nothing where the system tells only that of the whole process's life."""
    return memory.host.peak_bytes if memory.host.since_reset else None
