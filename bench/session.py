"""A benchmark session: runs cases one by one, resumes, stores records, and counts outcomes."""

import contextlib
import textwrap
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

import pytest

from bench.case import Case
from bench.finished import Finished
from bench.progress import Progress
from bench.provenance.currency import origin
from bench.record import Outcome, Record
from bench.remedy import remedy
from bench.replay import replay
from bench.run.inputs import Finder, tapped_layers
from bench.run.job import (
    CaseSkipped,
    Job,
    RecipeError,
    WeightsError,
    now,
    unresolved_record,
)
from bench.run.runner import Runner, runner_of
from bench.settings import Settings
from bench.store import Store, StoreError
from datasets_lib.discover import FoundDataset
from datasets_lib.layouts.category import DatasetError
from models.catalog import MODELS

_UNRESOLVED: dict[type[Exception], Outcome] = {
    DatasetError: "data",
    RecipeError: "recipe",
    WeightsError: "weights",
}
"""Outcomes of cases that fail before they become a job, by the error or what it derives from."""
if TYPE_CHECKING:
    from bench.regression.gate import Gate


@dataclass
class Tally:
    """What a session did.

    Attributes:
        records: Records of the session's cases in order, including those found finished.
        outcomes: Number of cases by outcome, including ``cached`` and ``skipped``.
        skips: Skipped cases by reason.
        reruns: Finished cases that ran again, by reason.
        seconds: Time spent running cases, including those that failed or were interrupted.
        gate: Number of finished cases by what a gate did with them, see
            `bench.regression.gate.Compared`; None without a gate.
    """

    records: list[Record] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    skips: dict[str, list[str]] = field(default_factory=dict)
    reruns: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0
    gate: Counter[str] | None = None

    @property
    def ran(self) -> int:
        """Return the number of cases that were run in this session, whatever their outcome."""
        return self.outcomes.total() - self.outcomes["cached"] - self.outcomes["skipped"]


class BenchSession:
    """Runs the cases that pytest passes to it.

    Args:
        settings: Options of the session.
        datasets: Datasets discovered at collection.
        progress: Receives progress.
        cases: The cases that will run, so that what they share is computed once.
        gate: Whether finished cases fail if they regressed against the baseline.
    """

    def __init__(
        self,
        settings: Settings,
        datasets: dict[str, FoundDataset],
        progress: Progress,
        cases: Iterable[Case] = (),
        *,
        gate: bool = False,
    ) -> None:
        self.settings = settings
        self.tally = Tally()
        self._finder = Finder(settings, datasets, tapped_layers(cases))
        self._progress = progress
        if gate:
            self.tally.gate = Counter()
        self._store = Store(settings.runs_dir)
        self._expected = {case for case in cases if self._finder.has_data(case)}
        progress.expect(len(self._expected))

    @cached_property
    def _finished(self) -> Finished:
        return Finished(self._store)

    @cached_property
    def _gate(self) -> "Gate":
        from bench.regression.gate import Gate

        return Gate(self.settings, lambda line: self._progress.add("gate", line))

    @cached_property
    def _runner(self) -> Runner:
        return runner_of(self.settings)

    def run(self, case: Case, request: pytest.FixtureRequest) -> None:
        """Run a case, or find its finished record; skip or fail the pytest item accordingly."""
        try:
            record = self._record(case, request)
        except StoreError as error:
            self._note("unsaved", request)
            pytest.fail(f"{case.id}: unsaved\n{error}", pytrace=False)
        self.tally.records.append(record)
        if record.status == "ok":
            if self.tally.gate is not None:
                self._compare(record, self.tally.gate, request)
            replay(record, request)
            return
        assert record.error is not None
        pytest.fail(f"{case.id}: {record.outcome}\n{record.error['message']}", pytrace=False)

    def _compare(
        self, record: Record, counts: Counter[str], request: pytest.FixtureRequest
    ) -> None:
        """Compare a finished case with its baseline; fail the pytest item if it regressed."""
        check = self._gate.check(record)
        counts[check.compared] += 1
        if check.regressions:
            self.tally.outcomes[request.node.user_properties[-1][1]] -= 1
            self._note("regressed", request)
            pytest.fail(f"{record.case.id}: regressed\n{check.regressions}", pytrace=False)

    def close(self) -> None:
        """Stop the child process and remove the gate's worktrees, if there are any."""
        if "_runner" in self.__dict__:
            self._runner.close()
        if "_gate" in self.__dict__:
            self._gate.close()

    def _record(self, case: Case, request: pytest.FixtureRequest) -> Record:
        try:
            job = self._finder.job(case)
        except CaseSkipped as skip:
            self._skip(case, skip, request)
        except tuple(_UNRESOLVED) as error:
            outcome = next(_UNRESOLVED[kind] for kind in _UNRESOLVED if isinstance(error, kind))
            record = unresolved_record(case, self._finder.unresolved_key(case), outcome, str(error))
            self._store.append(record)
            self._progress.note(case.id, outcome)
            self._note(outcome, request)
            return record
        cached, why = (None, None) if self.settings.rerun else self._finished.look_up(job)
        if cached and (why is None or self.settings.keep_stale):
            note = f"cached from {origin(cached)}: {why}" if why else "cached"
            self._progress.note(case.id, note)
            self._note("cached", request)
            return cached
        if why:
            self._progress.explain(case.id, f"runs again: {why}")
            self.tally.reruns.setdefault(why, []).append(case.id)
        self._store.keep_code(job.code)
        record = self._run(job)
        if record.status == "skipped" and record.error is not None:
            self._skip(case, CaseSkipped(record.error["message"]), request)
        self._note(record.outcome, request)
        return record

    def _skip(self, case: Case, skip: CaseSkipped, request: pytest.FixtureRequest) -> NoReturn:
        self.tally.skips.setdefault(self._short(skip), []).append(case.id)
        weights = MODELS[case.model].weights
        # Weights that are missing for one case are missing for all that start from them.
        self._expected -= {
            other
            for other in self._expected
            if other == case
            or (
                skip.missing == f"weights {weights}"
                and other.pretrained
                and MODELS[other.model].weights == weights
            )
        }
        self._progress.expect(len(self._expected))
        self._note("skipped", request)
        pytest.skip(str(skip))

    def _short(self, skip: CaseSkipped) -> str:
        """Return the reason for a skip in at most two lines; the second fixes it."""
        if not skip.missing:
            return "\n".join(textwrap.wrap(str(skip), 160, max_lines=2, placeholder=" …"))
        command = remedy(skip.missing, self.settings.weights_dirs, self.settings.data_dirs)
        option = "--weights-dir" if skip.missing.startswith("weights") else "--data-dir"
        return f"{skip.missing} not found ({skip.why}); name a folder with {option}, or\n{command}"

    def _run(self, job: Job) -> Record:
        start, started = time.monotonic(), now()
        self._progress.begin(job.case.id)
        try:
            record = self._runner.run(job, self._progress.report)
        except KeyboardInterrupt:
            self.tally.outcomes["interrupted"] += 1
            stopped = job.failed_record("interrupted", "Interrupted by the user.", started=started)
            with contextlib.suppress(StoreError):
                self._store.append(stopped)
            raise
        except Exception as error:  # the runner itself: torch does not load, no child starts
            message = f"The case could not be started: {type(error).__name__}: {error}"
            record = job.failed_record("crash", message, started=started)
        finally:
            self.tally.seconds += time.monotonic() - start
        if record.status == "skipped":  # nothing happened that is worth a record
            return record
        self._store.append(record)
        self._progress.end(record)
        return record

    def _note(self, outcome: str, request: pytest.FixtureRequest) -> None:
        request.node.user_properties.append(("outcome", outcome))
        self.tally.outcomes[outcome] += 1
