"""Durations of training steps, measured without making the device wait."""

import time
from typing import Any

import torch


class StepClock:
    """Measures steps by the wall clock on the CPU, and by events read at the end on CUDA."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._starts: list[Any] = []
        self._stops: list[Any] = []

    def start(self) -> None:
        """Mark the beginning of a step."""
        self._starts.append(self._mark())

    def stop(self) -> None:
        """Mark the end of a step."""
        self._stops.append(self._mark())

    def _mark(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def seconds(self) -> list[float]:
        """Return the duration of every step since the last call; waits for the device."""
        pairs = list(zip(self._starts, self._stops, strict=True))
        self._starts, self._stops = [], []
        if not self._cuda:
            return [stop - start for start, stop in pairs]
        torch.cuda.synchronize()
        return [start.elapsed_time(stop) / 1e3 for start, stop in pairs]
