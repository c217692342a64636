"""The finished records of a store, and which of them are still valid for a case."""

import time
from functools import cached_property

from bench.provenance.currency import why_stale
from bench.provenance.load import LoadMeter
from bench.record import Record
from bench.run.job import Job
from bench.store import Store

_LOOK_SECONDS = 1.0


class Finished:
    """Looks up finished records of jobs in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records = store.finished()

    def records(self) -> list[Record]:
        """Return every finished record, oldest first for each key."""
        return [record for records in self._records.values() for record in records]

    def look_up(self, job: Job) -> tuple[Record | None, str | None]:
        """Return the valid record of a job, or the newest one and why it is not valid.

        Both are None if the job never finished.
        """
        records = self._records.get(job.key, [])
        newest_reason = None
        for record in reversed(records):
            files = self._store.code_files(record.code.get("hash"))
            why = (
                why_stale(record, job.wanted, files)
                or self._lost_model(record, job)
                or self._disturbed(record, job)
            )
            if why is None:
                return record, None
            newest_reason = newest_reason or why
        return (records[-1], newest_reason) if records else (None, None)

    def _disturbed(self, record: Record, job: Job) -> str | None:
        """Return why to measure speeds again: the machine was busy then and is idle now."""
        if not (record.shared and job.settings.measurements and self._idle):
            return None
        return "its speeds were measured on a busy machine, which is idle now"

    def _lost_model(self, record: Record, job: Job) -> str | None:
        """Return why a case whose model is wanted trains again: only training recreates it."""
        saved = record.artifacts.get("model")
        if not job.settings.save_models or (saved and (job.settings.results_dir / saved).is_file()):
            return None
        return "its saved model is gone"

    @cached_property
    def _idle(self) -> bool:
        """Whether other processes leave the processors idle, observed for a second."""
        meter = LoadMeter()
        time.sleep(_LOOK_SECONDS)
        load = meter.read()
        return load is not None and not load.disturbs(threads=load.cores)
