"""What `bench.perf.zoo` measured, as Markdown: seconds, ratios, quality side by side."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.aggregate.markdown import EMPTY, table

OURS, WARM, PEER, DRAWN = "ours, cold", "ours, warm", "peer", "peer, drawing"
SIDES = OURS, WARM, PEER, DRAWN
"""The contestants, in the order of a round and of the columns."""

QUALITY = {"image_auroc": "Image AUROC", "pixel_auroc": "Pixel AUROC", "aupro_30": "AUPRO@0.3"}


@dataclass(frozen=True)
class Run:
    """One process, from its start to its metrics.

    Attributes:
        seconds: Wall time; None where it was stopped.
        metrics: Figures by our names; None for those a side has not.
        parts: Seconds of its parts, by name, as the process itself took them.
        about: Versions, threads, batch, machine.
        limit_s: When it was stopped.
    """

    seconds: float | None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    limit_s: float | None = None


Runs = Mapping[str, Sequence[Run]]
"""The runs of one model, by side."""


def speed_table(measured: Mapping[str, Runs]) -> str:
    """Median seconds of each side, and the peer's over ours."""
    sides = [side for side in SIDES if any(runs.get(side) for runs in measured.values())]
    pairs = [
        (peer, ours)
        for peer in (PEER, DRAWN)
        for ours in (OURS, WARM)
        if peer in sides and ours in sides
    ]
    headings = ["Model", *(f"{side}, s" for side in sides)]
    headings += [f"{peer} / {ours}" for peer, ours in pairs]
    lines = [
        [
            model,
            *(_seconds(runs.get(side, ())) for side in sides),
            *(_ratio(runs.get(peer, ()), runs.get(ours, ())) for peer, ours in pairs),
        ]
        for model, runs in measured.items()
    ]
    return table(headings, lines, words=(0,))


def quality_table(measured: Mapping[str, Runs]) -> str:
    """Ours beside the peer's, of the last run of each, in percent."""
    lines = []
    for model, runs in measured.items():
        for side, found in runs.items():
            if found and found[-1].metrics:
                values = (found[-1].metrics.get(name) for name in QUALITY)
                lines.append([model, side, *map(_percent, values)])
    return table(["Model", "Side", *QUALITY.values()], lines, words=(0, 1))


def parts_table(measured: Mapping[str, Runs]) -> str:
    """Median seconds of the parts that each side took the time of."""
    lines = [
        [model, side, name, f"{statistics.median(run.parts[name] for run in found):.1f}"]
        for model, runs in measured.items()
        for side, of_side in runs.items()
        if (found := [run for run in of_side if run.parts])
        for name in found[0].parts
    ]
    return table(["Model", "Side", "Part", "s"], lines, words=(0, 1, 2))


def _median(runs: Sequence[Run]) -> float | None:
    finished = [run.seconds for run in runs if run.seconds is not None]
    return statistics.median(finished) if finished else None


def _seconds(runs: Sequence[Run]) -> str:
    median = _median(runs)
    if median is not None:
        return f"{median:.1f}"
    return f"> {runs[-1].limit_s:.0f} (stopped)" if runs else EMPTY


def _ratio(peer: Sequence[Run], ours: Sequence[Run]) -> str:
    """How many times as fast we are; where the peer was stopped, at least that."""
    ours_s, peer_s = _median(ours), _median(peer)
    if ours_s is None or not peer:
        return EMPTY
    if peer_s is None:
        limit = peer[-1].limit_s
        return f"> {limit / ours_s:.2f} ×" if limit is not None else EMPTY
    return f"{peer_s / ours_s:.2f} ×"


def _percent(value: float | None) -> str:
    return EMPTY if value is None else f"{100 * value:.2f}"
