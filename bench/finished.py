"""The finished records of a store, and whether the newest one of a case is still valid."""

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
        """Return the newest record of a job, and why it is not valid; None if it is.

        Both are None if the job never finished. Older records do not count, because the newest run
        of a key has overwritten their files.
        """
        records = self._records.get(job.key)
        if not records:
            return None, None
        record = records[-1]
        files = self._store.code_files(record.code.get("hash"))
        why = (
            why_stale(record, job.wanted, files)
            or self._lost_model(record, job)
            or self._disturbed(record, job)
        )
        return record, why

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
