"""Steady-state times: warmed up, garbage collection off, every sample kept.

On CUDA an event is recorded at each step's boundary and the host waits once, at the end, so that
launches overlap with work as they do in earnest. On the CPU a boundary is a clock reading.
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
) -> list[float]:
    """Seconds per batch when batches follow one another without waiting: the throughput.

    Args:
        predict: What is measured; its result is dropped.
        batch: ``(B, C, H, W)`` on the device that is measured.
        min_rounds: Samples taken however long they last.
        max_rounds: Samples taken at most.
        budget_s: Seconds the samples should take together; warming up may take as long again.
    """
    with torch.inference_mode(), _no_garbage_collection():
        rounds = _rounds(_warm_up(predict, batch, budget_s), min_rounds, max_rounds, budget_s)
        return _consecutive(predict, batch, rounds)


def measure_latency(
    predict: Predict,
    image: Tensor,
    min_rounds: int = 10,
    max_rounds: int = 200,
    budget_s: float = 2.0,
) -> list[float]:
    """Seconds from the call to its finished result, for one image at a time: the host waits.

    Unlike `measure_inference` this contains the launches, which nothing hides for a lone image.

    Args:
        predict: What is measured; its result is dropped.
        image: ``(1, C, H, W)`` on the device that is measured.
        min_rounds: Samples taken however long they last.
        max_rounds: Samples taken at most.
        budget_s: Seconds the samples should take together; warming up may take as long again.

    Raises:
        ValueError: It is not one image.
    """
    if image.shape[0] != 1:
        raise ValueError(f"wanted one image (1, C, H, W), found shape {tuple(image.shape)}")
    with torch.inference_mode(), _no_garbage_collection():
        rounds = _rounds(_warm_up(predict, image, budget_s), min_rounds, max_rounds, budget_s)
        return [_once(predict, image) for _ in range(rounds)]


def steady_samples(step_seconds: Sequence[float]) -> list[float]:
    """Training-step times without their warm-up.

    The rule: let m be the median of the later half. The warm-up is every step before the first
    that takes at most 1.10 m; it is dropped, and never more than half of the steps. Later steps
    all stay, however slow.
    """
    half = len(step_seconds) // 2
    if not half:
        return list(step_seconds)
    slow = _SLOW_STEP * statistics.median(step_seconds[half:])
    first = next((i for i in range(half) if step_seconds[i] <= slow), half)
    return list(step_seconds[first:])


def _warm_up(predict: Predict, batch: Tensor, budget_s: float) -> float:
    """Call until the times stop falling; the seconds of a warm call.

    The budget does not count the first call, which may compile for minutes.
    """
    seconds: list[float] = []
    while len(seconds) < _WARM_UP_CALLS:
        seconds.append(_once(predict, batch))
        if len(seconds) > _WINDOW and sum(seconds[1:]) > budget_s:
            break
        if len(seconds) >= 2 * _WINDOW and not _falling(seconds):
            break
    return statistics.median(seconds[-_WINDOW:])


def _falling(seconds: list[float]) -> bool:
    before, last = seconds[-2 * _WINDOW : -_WINDOW], seconds[-_WINDOW:]
    return statistics.median(last) < _FALLING * statistics.median(before)


def _rounds(seconds: float, fewest: int, most: int, budget_s: float) -> int:
    """As many rounds as the budget pays for; decided beforehand, so that timing never waits."""
    return max(fewest, min(most, int(budget_s / max(seconds, 1e-9))))


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
