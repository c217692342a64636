"""A night: run what changed, compare it with the baseline, confirm suspects, and store the results.

It holds a lock on the results folder. Everything is written to disk immediately and done only once:
the plan in its journal, records in the store, fresh runs in their own folders. A night that was
killed resumes where it stopped.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from filelock import FileLock, Timeout

from bench.case import Case
from bench.finished import Finished
from bench.provenance.commit import current_commit
from bench.record import Key, Record
from bench.regression.baselines import Baselines
from bench.regression.code_tree import remove_trees
from bench.regression.confirmation import ConfirmationContext
from bench.regression.journal import Journals, Night
from bench.regression.ledger import Ledger
from bench.regression.plan import UNUSABLE, NightOptions, Plan, make_plan
from bench.regression.remember import remember
from bench.regression.verdicts import Log, Verdicts, evaluate_night
from bench.run.inputs import Finder, tapped_layers
from bench.run.job import CaseSkipped, now
from bench.run.runner import runner_of
from bench.settings import Settings
from bench.store import Store
from datasets_lib.discover import FoundDataset


class NightError(Exception):
    """A night cannot begin; the message says why and what to do."""


class Nightly:
    """Runs nights on one results folder.

    Args:
        settings: Options of the session.
        datasets: Datasets on disk.
        cases: The candidate cases.
        options: Options of the night.
        log: Prints a line.
    """

    def __init__(
        self,
        settings: Settings,
        datasets: dict[str, FoundDataset],
        cases: Sequence[Case],
        options: NightOptions,
        log: Log,
    ) -> None:
        self.settings, self.options, self.log = settings, options, log
        self.folder = settings.runs_dir / "nightly"
        self.store = Store(settings.runs_dir)
        self.baselines = Baselines(settings.results_dir, options.baseline)
        self.ledger = Ledger(settings.results_dir)
        self._finder = Finder(settings, datasets, tapped_layers(cases))
        self._cases = cases
        self._identities: dict[Case, tuple[Key, str]] = {}

    def run(self, asked: str) -> Verdicts:
        """Run a night, or resume one that was killed.

        Args:
            asked: The request, in words; a killed night with a different request is abandoned.

        Raises:
            NightError: Another nightly run is using the results folder.
        """
        with self._lock():
            night = self._night(asked)
            self._run_cases(night)
            context = ConfirmationContext(
                self.settings,
                self.folder / night.name,
                self.folder / "trees",
                self.options.busy,
                night.commit if night.dirty is False else None,
            )
            records = list(self._records(night).values())
            verdicts = evaluate_night(records, night, self.baselines, context, self.log)
            remember(verdicts, self.baselines, self.ledger)
            remove_trees(context.trees)
            return verdicts

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        holder = self.folder / "running"
        lock = FileLock(self.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            who = holder.read_text().strip() if holder.is_file() else "unknown process"
            raise NightError(
                f"Another nightly run is using {self.settings.results_dir} ({who}). Wait until it "
                "ends, or name another folder with --results-dir."
            ) from None
        try:
            holder.write_text(f"process {os.getpid()} since {now()}\n")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def _night(self, asked: str) -> Night:
        """Return the killed night to resume, or a new one."""
        commit, journals = current_commit(), Journals(self.folder)
        night = journals.unfinished()
        if night is not None:
            same = (night.commit, night.dirty, night.asked) == (commit.commit, commit.dirty, asked)
            # A changed recipe makes another key, and records under the old one are no candidates.
            same = same and night.keys == self._keys(night.plan)
            if same and all(map(self._is_of_this_code, self._candidates(night))):
                journals.resume(night)
                self.log(f"resuming nightly run {night.name}, started at {night.started}")
                return night
            self.log(
                f"nightly run {night.name} was killed and cannot resume: code, recipes, data, "
                "weights or options have changed since. Starting a new one."
            )
            night.end(now())
        plan = make_plan(
            self._cases,
            self._finder,
            Finished(self.store),
            self.baselines,
            self.options,
            alarms=self.ledger.open(baseline=self.options.baseline),
        )
        # Journals stay on a machine; a baseline and a ledger may be shared.
        known = {run.night for run in self.baselines.runs}
        known |= {alarm.night for alarm in self.ledger.alarms}
        keys = self._keys(plan)
        return journals.begin(now(), commit.commit, commit.dirty, asked, plan, known, keys)

    def _keys(self, plan: Plan) -> dict[str, str]:
        """Return the hash of the store key of each planned case that can run, by case id."""
        return {
            one.case.id: identity[0].short
            for one in plan.planned
            if (identity := self._identity(one.case))
        }

    def _run_cases(self, night: Night) -> None:
        """Run the planned cases that have no record from this night yet."""
        done = self._records(night)
        left = [one for one in night.plan.planned if one.case.id not in done and not one.record]
        if not left:
            return
        runner = runner_of(self.settings)
        try:
            for number, one in enumerate(left, start=1):
                progress = f"[{number}/{len(left)}] {one.case.id}"
                try:
                    job = self._finder.job(one.case)
                except (CaseSkipped, *UNUSABLE) as error:  # it could run when it was planned
                    night.plan.problems[one.case.id] = str(error)
                    self.log(f"{progress}  cannot run: {error}")
                    continue
                self.store.keep_code(job.code)
                begin = time.monotonic()
                record = runner.run(job, lambda *_: None)
                if record.status == "skipped":
                    self.log(f"{progress}  skipped: {(record.error or {}).get('message')}")
                    continue
                self.store.append(record)
                seconds = time.monotonic() - begin
                self.log(
                    f"{progress}  {record.outcome}  {seconds:.0f} s  ({one.reason}: {one.why})"
                )
        finally:
            runner.close()

    def _records(self, night: Night) -> dict[str, Record]:
        """Return the record to compare for each case; an interrupted run has none.

        It is the last one of this night, or that of a session since the last comparison.
        """
        return {
            record.key.id: record
            for record in self._candidates(night)
            if self._is_of_this_code(record)
        }

    def _candidates(self, night: Night) -> Iterator[Record]:
        """Yield the records of a night's cases under its options, whatever code made them."""
        wanted = dict(self._wanted(night))
        for record in self.store.records():
            if record.key not in wanted or record.outcome == "interrupted":
                continue
            end = wanted[record.key]
            if record.finished == end if end else record.started >= night.started:
                yield record

    def _wanted(self, night: Night) -> Iterator[tuple[Key, str]]:
        """Yield the store key of each case that can run, and the end of its compared record.

        A session of the same case with another profile, size or recipe has another key.
        """
        for one in night.plan.planned:
            if identity := self._identity(one.case):
                yield identity[0], one.record

    def _is_of_this_code(self, record: Record) -> bool:
        """Return whether a record's code is what its case would run now, if it can run at all.

        Recipe, data and weights, which make the store key, are not compared.
        """
        identity = self._identity(record.case)
        return identity is not None and record.code.get("hash") == identity[1]

    def _identity(self, case: Case) -> tuple[Key, str] | None:
        """Return the store key and the hash of the code of a case; None if it cannot run.

        They are cached, so that a case that ran is compared even if its data are gone by then.
        """
        if case not in self._identities:
            try:
                job = self._finder.job(case)
            except (CaseSkipped, *UNUSABLE):
                return None
            self._identities[case] = job.key, job.code.hash
        return self._identities[case]
