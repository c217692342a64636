"""Steady-state times: warmed up, with garbage collection off, and every sample kept.

On CUDA an event is recorded at each step's boundary and the host waits once, at the end, so that
launches overlap with work as they do in a real run. On the CPU a boundary is a clock reading.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

Predict = Callable[[Tensor], object]

# Warm-up ends when the median of the last 3 calls is no longer 5 % below that of the 3 before;
# compiling, autotuning and recording a CUDA graph take one to three calls.
_WINDOW = 3
_FALLING = 0.95
_WARM_UP_CALLS = 100
# A training step belongs to the warm-up while it is 10 % slower than the later ones' median.
_SLOW_STEP = 1.10


def measure_inference(
    predict: Predict,
    batch: Tensor,
    min_rounds: int = 10,
    max_rounds: int = 200,
    budget_s: float = 2.0,
    warm_s: float | None = None,
) -> list[float]:
    """Return seconds per batch when batches follow one another without waiting.

    Args:
        predict: The measured call.
        batch: ``(B, C, H, W)``, on the measured device.
        min_rounds: Minimum number of samples, however long they take.
        max_rounds: Maximum number of samples.
        budget_s: Seconds for all samples together; the warm-up may take as long.
        warm_s: Seconds of a warm call, if it is warm and they are known; None warms up first.
    """
    with torch.inference_mode(), _no_garbage_collection():
        call_s = _warm_up(predict, batch, budget_s) if warm_s is None else warm_s
        rounds = _rounds(call_s, min_rounds, max_rounds, budget_s)
        return _consecutive(predict, batch, rounds)


def measure_latency(
    predict: Predict,
    image: Tensor,
    min_rounds: int = 10,
    max_rounds: int = 200,
    budget_s: float = 2.0,
) -> list[float]:
    """Return seconds from the call to the finished result for a single image.

    Unlike `measure_inference` this includes the launches, which nothing hides for a single image.

    Args:
        predict: The measured call.
        image: ``(1, C, H, W)``, on the measured device.
        min_rounds: Minimum number of samples, however long they take.
        max_rounds: Maximum number of samples.
        budget_s: Seconds for all samples together; the warm-up may take as long.

    Raises:
        ValueError: ``image`` holds more than one image.
    """
    if image.shape[0] != 1:
        raise ValueError(f"wanted a single image (1, C, H, W), found shape {tuple(image.shape)}")
    with torch.inference_mode(), _no_garbage_collection():
        rounds = _rounds(_warm_up(predict, image, budget_s), min_rounds, max_rounds, budget_s)
        return [_once(predict, image) for _ in range(rounds)]


def steady_samples(step_seconds: Sequence[float]) -> list[float]:
    """Return training-step times without the warm-up.

    With m the median of the later half, the warm-up is every step before the first that takes at
    most 1.10 m, and never more than half of the steps. All later steps stay, however slow.

    >>> steady_samples([9.0, 3.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0])
    [1.0, 1.0, 1.0, 2.0, 1.0, 1.0]
    """
    half = len(step_seconds) // 2
    if not half:
        return list(step_seconds)
    slow = _SLOW_STEP * statistics.median(step_seconds[half:])
    first = next((i for i in range(half) if step_seconds[i] <= slow), half)
    return list(step_seconds[first:])


def _warm_up(predict: Predict, batch: Tensor, budget_s: float) -> float:
    """Call until the times stop falling; return the seconds of a warm call.

    The budget excludes the first call, which may compile for minutes.
    """
    seconds: list[float] = []
    while len(seconds) < _WARM_UP_CALLS:
        seconds.append(_once(predict, batch))
        if sum(seconds[1:]) > budget_s:
            break
        if len(seconds) >= 2 * _WINDOW and not _falling(seconds):
            break
    return statistics.median(seconds[-_WINDOW:])


def _falling(seconds: list[float]) -> bool:
    before, last = seconds[-2 * _WINDOW : -_WINDOW], seconds[-_WINDOW:]
    return statistics.median(last) < _FALLING * statistics.median(before)


def _rounds(seconds: float, min_rounds: int, max_rounds: int, budget_s: float) -> int:
    """Return how many rounds fit the budget, decided beforehand so that timing never waits."""
    return max(min_rounds, min(max_rounds, int(budget_s / max(seconds, 1e-9))))


def _once(predict: Predict, batch: Tensor) -> float:
    start = time.perf_counter()
    predict(batch)
    if batch.is_cuda:
        torch.cuda.synchronize(batch.device)
    return time.perf_counter() - start


def _consecutive(predict: Predict, batch: Tensor, rounds: int) -> list[float]:
    if not batch.is_cuda:
        return [_once(predict, batch) for _ in range(rounds)]
    event_type: Any = torch.cuda.Event  # untyped in torch
    with torch.cuda.device(batch.device):
        events = [event_type(enable_timing=True) for _ in range(rounds + 1)]
        events[0].record()
        for event in events[1:]:
            predict(batch)
            event.record()
        torch.cuda.synchronize()
    return [start.elapsed_time(stop) / 1e3 for start, stop in pairwise(events)]


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
