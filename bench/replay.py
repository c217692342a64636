"""Handing step times measured elsewhere to pytest-benchmark, for its table and its JSON.

`benchmark(fn)` would train a model several times over, so nothing is run again: the fixture is
given a clock that moves only when told to, and told to by each measured step.
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
        """The time shown."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let that much time pass."""
        self._now += seconds


CLOCK = ReplayClock()
"""The clock of ``@pytest.mark.benchmark(timer=CLOCK)``."""


def replay(record: Record, request: pytest.FixtureRequest) -> None:
    """Enter a record's inference steps, one batch each, into pytest-benchmark's table."""
    steps = record.samples.get("inference_step")
    if not steps or not request.config.pluginmanager.hasplugin("benchmark"):
        return
    benchmark: Any = request.getfixturevalue("benchmark")
    data = ".".join(filter(None, (record.case.dataset, record.case.category)))
    benchmark.group = f"{data} · inference step"
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
