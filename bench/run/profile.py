"""Measuring a trained model: speed, latency, memory and size, each in a loop of its own."""

from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor, nn

from bench.protocol import Protocol
from bench.run.flops import count_flops, parameter_counts
from bench.run.loop import Fit, to_float
from bench.run.measure import measure_inference, measure_latency, steady_samples
from bench.run.memory import measure_memory


@dataclass(frozen=True)
class Measured:
    """Figures with their units in their names, and the samples behind them, in seconds."""

    figures: dict[str, float | None]
    samples: dict[str, list[float]]


def measure(
    model: Any,
    images: Tensor,
    protocol: Protocol,
    trained: Fit,
    device: torch.device,
) -> Measured:
    """Measure a model on ``(N, 3, S, S)`` uint8 images.

    A batch smaller than the protocol's is filled up by repeating images. Memory is the whole
    process's: of training in ``peak_…``, of prediction in ``inference_peak_…``. FLOPs are an
    image's. ``train_images_per_s`` charges a frozen part that was computed once to every step, so
    that having kept it is no advantage in a table; ``…_cached`` is what the loop did. Training
    passes repeated here throw their gradients away, but move BatchNorm's running statistics:
    measure last.
    """
    index = torch.arange(protocol.evaluation_batch) % len(images)
    batch = to_float(images[index.to(images.device)], device)
    train_batch = batch[: min(protocol.recipe.batch_size, len(images))]
    single = batch[:1].contiguous(memory_format=torch.channels_last)

    def predict(chunk: Tensor) -> None:
        with torch.inference_mode():
            model.predict(chunk)

    def train() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=protocol.precision == "bf16"):
            model.loss(train_batch).backward()
        model.zero_grad(set_to_none=True)

    inference = measure_inference(predict, batch, min_rounds=5)
    latency = measure_latency(predict, single)
    training = steady_samples(trained.step_seconds)
    frozen = len(train_batch) * (trained.frozen_seconds or 0.0)
    assert isinstance(model, nn.Module)
    parameters = parameter_counts(model)
    serving = measure_memory(lambda: predict(batch), device)
    fitting = measure_memory(train, device)
    figures: dict[str, float | None] = {
        "train_images_per_s": len(train_batch) / (median(training) + frozen),
        "train_images_per_s_cached": len(train_batch) / median(training),
        "inference_images_per_s": len(batch) / median(inference),
        "latency_p50_ms": 1e3 * median(latency),
        "latency_p95_ms": 1e3 * quantiles(latency, n=20, method="inclusive")[-1],
        "parameters": parameters.all,
        "trainable_parameters": parameters.trainable,
        "inference_flops": count_flops(lambda: predict(single)),
        "train_flops": count_flops(train) / len(train_batch),
        "peak_host_bytes": fitting.host.peak_bytes,
        "peak_device_bytes": fitting.device_bytes,
        "inference_peak_host_bytes": serving.host.peak_bytes,
        "inference_peak_device_bytes": serving.device_bytes,
    }
    return Measured(
        figures, {"inference_step": inference, "latency": latency, "train_step": training}
    )
