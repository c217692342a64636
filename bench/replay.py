"""Replay of measured step times into pytest-benchmark, for its table and its JSON.

`benchmark(fn)` would train a model several times, so nothing is run again: the fixture gets a clock
that moves only when it is advanced, once by each measured step.
"""

import json
from typing import Any

import pytest

from bench.record import Record


class ReplayClock:
    """A timer whose value moves only when advanced; in seconds."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        """Return the current time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        self._now += seconds


CLOCK = ReplayClock()
"""The clock of ``@pytest.mark.benchmark(timer=CLOCK)``."""


def replay(record: Record, request: pytest.FixtureRequest) -> None:
    """Add a record's inference steps, one batch each, to pytest-benchmark's table."""
    steps = record.samples.get("inference_step")
    if not steps or not request.config.pluginmanager.hasplugin("benchmark"):
        return
    benchmark: Any = request.getfixturevalue("benchmark")
    benchmark.group = f"{record.case.data} · inference step"
    stored = json.loads(record.to_json())
    pending = iter(steps)
    benchmark.pedantic(lambda: CLOCK.advance(next(pending)), rounds=len(steps), iterations=1)
    benchmark.extra_info.update(
        {
            "id": record.key.id,
            "profile": record.key.profile,
            # As they are stored: a NaN is null there, and JSON has none.
            **{name: stored[name] for name in ("metrics", "measurements", "environment")},
            "finished": record.finished,
        }
    )
