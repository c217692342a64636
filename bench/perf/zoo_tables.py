"""Markdown tables of what `bench.perf.zoo` measures: seconds, ratios and quality."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.aggregate.markdown import EMPTY, table
from bench.rounding import rounded_down

OURS, WARM, PEER = "ours, cold", "ours, warm", "peer"
SIDES = OURS, WARM, PEER
"""The contestants, in the order of a round and of the columns."""

QUALITY = {"image_auroc": "Image AUROC", "pixel_auroc": "Pixel AUROC", "aupro_30": "AUPRO@0.3"}


@dataclass(frozen=True)
class TimedRun:
    """One process, from start to metrics.

    Attributes:
        seconds: Wall time; None if the process was stopped.
        metrics: Values by metric name; None for a metric that the side lacks.
        parts: Seconds of its parts by name, measured by the process itself.
        about: Versions, threads, batch size, machine.
        limit_s: Time limit at which the process was stopped.
    """

    seconds: float | None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    limit_s: float | None = None


Runs = Mapping[str, Sequence[TimedRun]]
"""The runs of one model, by side."""


def speed_table(measured: Mapping[str, Runs]) -> str:
    """Return a table of each side's median seconds and of the peer's divided by ours."""
    sides = [side for side in SIDES if any(runs.get(side) for runs in measured.values())]
    own = [side for side in sides if side != PEER]
    headings = ["Model", *(f"{side}, s" for side in sides), *(f"{PEER} / {side}" for side in own)]
    lines = [
        [
            model,
            *(_seconds(runs.get(side, ())) for side in sides),
            *(_ratio(runs.get(PEER, ()), runs.get(side, ())) for side in own),
        ]
        for model, runs in measured.items()
    ]
    return table(headings, lines, words=(0,))


def quality_table(measured: Mapping[str, Runs]) -> str:
    """Return a table of each side's metrics in percent, from its last run."""
    lines = []
    for model, runs in measured.items():
        for side, of_side in runs.items():
            if of_side and of_side[-1].metrics:
                values = (of_side[-1].metrics.get(name) for name in QUALITY)
                lines.append([model, side, *map(_percent, values)])
    return table(["Model", "Side", *QUALITY.values()], lines, words=(0, 1))


def parts_table(measured: Mapping[str, Runs]) -> str:
    """Return a table of the median seconds of the parts that each side timed."""
    lines = [
        [model, side, name, f"{statistics.median(run.parts[name] for run in timed):.1f}"]
        for model, runs in measured.items()
        for side, of_side in runs.items()
        if (timed := [run for run in of_side if run.parts])
        for name in timed[0].parts
    ]
    return table(["Model", "Side", "Part", "s"], lines, words=(0, 1, 2))


def median_or_limit(runs: Sequence[TimedRun]) -> float:
    """Return the median seconds of runs, or the time limit at which all of them were stopped."""
    median = _median(runs)
    return median if median is not None else (runs[-1].limit_s or 0.0)


def _median(runs: Sequence[TimedRun]) -> float | None:
    finished = [run.seconds for run in runs if run.seconds is not None]
    return statistics.median(finished) if finished else None


def _seconds(runs: Sequence[TimedRun]) -> str:
    median = _median(runs)
    if median is not None:
        return f"{median:.1f}"
    return f"> {runs[-1].limit_s:.0f} (stopped)" if runs else EMPTY


def _ratio(peer: Sequence[TimedRun], ours: Sequence[TimedRun]) -> str:
    """Return how many times as fast ours is; a lower bound if the peer was stopped."""
    ours_s, peer_s = _median(ours), _median(peer)
    if ours_s is None or not peer:
        return EMPTY
    if peer_s is None:
        limit = peer[-1].limit_s
        return f"> {rounded_down(limit / ours_s, 2):.2f} ×" if limit is not None else EMPTY
    return f"{peer_s / ours_s:.2f} ×"


def _percent(value: float | None) -> str:
    return EMPTY if value is None else f"{100 * value:.2f}"
