"""Replay of measured step times into pytest-benchmark, for its table and its JSON.

`benchmark(fn)` would train a model several times, so nothing is run again: the fixture gets a clock
that moves only when it is advanced, once by each measured step.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from bench.record import Record
from bench.recorded_protocol import recorded_shape


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
    conditions = _conditions(record)
    benchmark.group = f"{record.case.data} · inference step · {conditions}"
    # Runs are compared by their full name, which the table does not show.
    benchmark.fullname += f" · {conditions} · {_machine(record)}"
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


def uncompared(benchmarks: Iterable[Mapping[str, Any]]) -> str:
    """Return how many rows of a comparison have no saved run; empty if all of them have one.

    Args:
        benchmarks: Rows of pytest-benchmark's table, those of this session and the saved ones.
    """
    rows = [row for row in benchmarks if row["path"] is None]
    alone = sum(not row["source"] for row in rows)
    if not alone:
        return ""
    return (
        f"{alone} of {len(rows)} benchmarks were not compared: no run of the same case, profile, "
        "image size, device and machine was saved"
    )


def _conditions(record: Record) -> str:
    """Return what the session chose and steps depend on: profile, shape and kind of device."""
    device = str(record.environment.get("device", "cpu")).partition(":")[0]
    return f"{record.key.profile} · {recorded_shape(record.protocol)[1]} · {device}"


def _machine(record: Record) -> str:
    """Return the class of the environment, and on a CPU the threads."""
    found = record.environment
    threads = "threads" in found and str(found.get("device", "cpu")) == "cpu"
    used = f" | {found['threads']} threads on {found.get('cores')} cores" if threads else ""
    return f"{found.get('class')}{used}"
