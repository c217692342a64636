"""What `train` prints: what it does, its progress and its results."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.caveats import caveats
from bench.commands.output import ProgressBar
from bench.interface.words import in_words
from bench.metrics.catalog import METRICS
from bench.printable import printable
from bench.record import Record
from bench.recorded_protocol import describe_shape
from bench.run.job import Job
from bench.studies import ranking_of
from bench.study import RANKING, task_of
from models.components.image_size import size_text

_SHOWN = ("image_auroc", "pixel_auroc", "aupro_30", "f1", "top1", "top5")
_PHASES = {"train": "training", "gather": "training"}
"""Phases that get a bar: those that take long."""


class Console:
    """Prints the progress of some cases, one after the other.

    Args:
        total: Number of cases.
        verbose: Whether to print anything.
    """

    def __init__(self, total: int, *, verbose: bool) -> None:
        self._total, self._verbose, self._done = total, verbose, 0
        self._bar: ProgressBar | None = None
        self._phase = ""
        self._began = 0.0
        self._remarks: set[str] = set()

    def begin(self, job: Job) -> None:
        """Say which case begins, and what is unusual about its images."""
        plan = job.protocol
        self._done += 1
        self._began = time.monotonic()
        passes = "one pass" if plan.recipe.optimizer == "none" else _budget(job)
        size = describe_shape(plan.image_size, plan.fit, plan.tiles, plan.overlap)
        size += f", crop {size_text(plan.crop)}" if plan.crop else ""
        self._say(
            f"{self._head()} {job.case.id}: {size}, {passes}, profile {plan.profile}, "
            f"{job.settings.device}"
        )
        # Said before hours of training, and once for all cases of the same images.
        if (remark := job.inputs.remark) and remark not in self._remarks:
            self._remarks.add(remark)
            self._say(f"  {in_words(remark)}")

    def report(self, phase: str, info: Mapping[str, Any]) -> None:
        """Show the progress of training."""
        if not self._verbose:
            return
        if phase != self._phase:
            self._close_bar()
            self._phase = phase
            if phase in _PHASES:
                self._bar = ProgressBar(_PHASES[phase], "steps")
        if self._bar is not None and "steps" in info:
            self._bar(info["step"], info["steps"])

    def end(self, record: Record, folder: Path | None) -> None:
        """Print the results, and where their files are."""
        self._close_bar()
        seconds = time.monotonic() - self._began
        if record.status != "ok":
            message = in_words((record.error or {}).get("message", ""))
            self._say(f"  {record.outcome} after {seconds:.0f} s: {message}")
            return
        self._say(f"  {_results(record)}  ({seconds:.0f} s)")
        if stopped := record.fingerprints.get("stopped"):
            self._say(f"  stopped early: {stopped}")
        if folder is not None:
            self._say(f"  {printable(folder)}")

    def found(self, record: Record, origin: str) -> None:
        """Print that a case had already been finished."""
        self._say(f"  already finished, by {origin}; rerun=True trains it again")

    def close(self, records: Sequence[Record]) -> None:
        """Print what weakens the results of all cases, as a session does."""
        for line in caveats([record for record in records if record.status == "ok"], {}):
            self._say(in_words(line))

    def _head(self) -> str:
        return f"[{self._done}/{self._total}]" if self._total > 1 else "train"

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.__exit__()
        self._bar, self._phase = None, ""

    def _say(self, text: str) -> None:
        if self._verbose:
            print(text, flush=True)


def _budget(job: Job) -> str:
    plan = job.protocol
    images = plan.images_seen or plan.recipe.images
    if images:
        return f"{images:,} images seen"
    return f"{plan.recipe.epochs} epoch{'s' if plan.recipe.epochs > 1 else ''}"


def _results(record: Record) -> str:
    """Return the metrics of the head that ranks, in percent."""
    head, _ = ranking_of(record)
    values = record.metrics.get(head, {})
    first = RANKING[task_of(record)]
    parts = [
        f"{METRICS[name].heading} {METRICS[name].text(value)}"
        for name in dict.fromkeys((first, *_SHOWN))
        if (value := values.get(name)) is not None
    ]
    return f"{head}: {', '.join(parts)}"
