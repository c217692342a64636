"""Whether other processes or other virtual machines used the processors while a case ran."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from bench.environment import usable_cores

_STAT = Path("/proc/stat")
_IDLE, _IOWAIT, _STEAL = 3, 4, 7  # columns after the name; guests' time is part of user's

# Daemons of an idle machine use 1 to 5 % of a core, a busy thread nearly all of one.
_OTHERS_CORES = 0.15
_STOLEN_SHARE = 0.02


@dataclass(frozen=True)
class Load:
    """How much others used the processors that this process may use.

    Attributes:
        others: Processors that other processes used on average.
        stolen: Processors that the hypervisor gave to other machines on average.
        cores: Processors that this process may use.
    """

    others: float
    stolen: float
    cores: int

    def disturbs(self, threads: int) -> bool:
        """Return whether a computation on some threads lacked processors."""
        crowded = self.others > _OTHERS_CORES and threads + self.others > self.cores
        return crowded or self.stolen > _STOLEN_SHARE * self.cores


class LoadMeter:
    """Measures the load since its creation; unavailable on systems without ``/proc/stat``."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._busy, self._stolen = _ticks() or (0.0, 0.0)
        self._own = _own_seconds()

    def read(self) -> Load | None:
        """Return the average load since the meter's creation."""
        ticks, seconds = _ticks(), time.monotonic() - self._begin
        if ticks is None or seconds <= 0:
            return None
        busy, stolen = ticks[0] - self._busy, ticks[1] - self._stolen
        others = max(0.0, busy - (_own_seconds() - self._own)) / seconds
        return Load(round(others, 3), round(max(0.0, stolen) / seconds, 3), usable_cores())

    @property
    def seconds(self) -> float:
        """Return the time since the meter's creation."""
        return time.monotonic() - self._begin


def _ticks() -> tuple[float, float] | None:
    """Return the seconds that this process's processors were busy, and those stolen, since boot."""
    affinity = getattr(os, "sched_getaffinity", None)
    try:
        lines = _STAT.read_text().splitlines()
    except OSError:
        return None
    names = {f"cpu{number}" for number in affinity(0)} if affinity else set()
    rows = [line.split() for line in lines if line.split(" ", 1)[0] in names]
    if not rows:
        return None
    per_second = os.sysconf("SC_CLK_TCK")
    numbers = [[int(text) / per_second for text in row[1:9]] for row in rows]
    busy = sum(sum(row) - row[_IDLE] - row[_IOWAIT] - row[_STEAL] for row in numbers)
    return busy, sum(row[_STEAL] for row in numbers)


def _own_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
