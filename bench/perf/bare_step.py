"""A training step on one batch already on the device, without loading or augmentation."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from bench.protocol import Protocol
from bench.run.batch import make_batch
from bench.run.build import anomaly_options
from bench.run.training.optimization import build_optimizer
from bench.run.training.precision import autocast
from models.catalog import MODELS
from models.components.base import AnomalyModel
from models.components.image_size import height_width
from models.components.winograd import use_winograd

WARM_UP = 3
"""Steps before those that are timed."""

_MIN_STEPS, _STEPS_S = 5, 1.0
"""A step is timed at least this often and this many seconds long."""


def bare_rate(name: str, protocol: Protocol, device: torch.device) -> float:
    """Return the images/s of a model's training step; see `bare_step`."""
    seconds = timed(bare_step(name, protocol, device), device)
    return protocol.recipe.batch_size / statistics.median(seconds)


def bare_step(name: str, protocol: Protocol, device: torch.device) -> Callable[[], None]:
    """Return the training step of an anomaly model with random weights, on random images.

    Args:
        name: Model of the catalog, with an optimizer.
        protocol: Its recipe, image size and precision.
        device: Where the model and its batch are.
    """
    entry = MODELS[name]
    torch.manual_seed(0)
    options = anomaly_options(name, protocol)
    model = entry.load_build()(weights=entry.weights, state=None, **options)
    use_winograd(model)
    model.to(device).train()
    batch_size, size = protocol.recipe.batch_size, height_width(protocol.input_size)
    images = torch.rand(batch_size, 3, *size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    _gather(model, images, device)
    others = torch.rand_like(images) if entry.auxiliary else None
    labels: dict[str, Any] = {}
    if entry.supervised:
        labels["targets"] = torch.arange(batch_size, device=device) % 2 == 1
        labels["masks"] = labels["targets"][:, None, None].expand(-1, *size).contiguous()
    with torch.no_grad():
        batch = make_batch(model, images, device, auxiliary=others, **labels)
    optimizer = build_optimizer(protocol.recipe, model.parameter_groups())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, protocol):
            loss = model.loss(batch)
        loss.backward()
        optimizer.step()

    return step


def timed(step: Callable[[], None], device: torch.device) -> list[float]:
    """Return the seconds of each step after three warm-up steps, waiting for the device."""
    samples: list[float] = []
    end = time.monotonic() + _STEPS_S
    while len(samples) < _MIN_STEPS + WARM_UP or time.monotonic() < end:
        begin = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        samples.append(time.perf_counter() - begin)
    return samples[WARM_UP:]


@torch.no_grad()
def _gather(model: AnomalyModel, images: torch.Tensor, device: torch.device) -> None:
    if model.gathers_statistics:
        model.eval()
        model.update(make_batch(model, images, device))
        model.compute()
        model.train()
