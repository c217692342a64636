"""Finished records are looked up; speeds of a busy machine are measured again once it is idle."""

from types import SimpleNamespace

import pytest
from fake_records import make

from bench import finished as module
from bench.environment import environment, expected
from bench.finished import Finished
from bench.provenance.currency import Wanted
from bench.provenance.fingerprint import Fingerprint
from bench.provenance.load import Load
from bench.store import Store

BUSY, IDLE = Load(others=1.5, stolen=0.0, cores=2), Load(others=0.0, stolen=0.0, cores=2)
ASKED = {"measurements": True, "pictures": True, "models": False}


@pytest.fixture
def observed(monkeypatch):
    """Set the load that is observed now; return the list of observations so far."""
    observations = []

    def set_load(load):
        def read():
            observations.append(load)
            return load

        monkeypatch.setattr(module, "LoadMeter", lambda: SimpleNamespace(read=read))
        return observations

    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)
    return set_load


@pytest.fixture
def finished(tmp_path):
    """Return a store of one finished record that ran under some conditions, and its job."""

    def finish(conditions, *, measurements=True):
        record = make(asked=ASKED, code={"hash": "0a"})
        record.environment = environment("cpu") | conditions
        store = Store(tmp_path)
        store.append(record)
        wanted = Wanted(Fingerprint("0a", {}), "cpu", expected("cpu"), ASKED)
        settings = SimpleNamespace(measurements=measurements, save_models=False)
        return Finished(store), SimpleNamespace(key=record.key, wanted=wanted, settings=settings)

    return finish


@pytest.mark.parametrize("conditions", [{"busy": True}, {"exclusive": False}])
@pytest.mark.parametrize(("load", "repeated"), [(IDLE, True), (BUSY, False), (None, False)])
def test_a_run_on_a_busy_machine_is_repeated_once_it_is_idle(
    finished, observed, conditions, load, repeated
):
    observed(load)
    found, why = Finished.look_up(*finished(conditions))
    assert found is not None
    assert (why is not None) == repeated
    if repeated:
        assert why == "its speeds were measured on a busy machine, which is idle now"


@pytest.mark.parametrize(
    ("conditions", "measurements"),
    [({"busy": False, "exclusive": True}, True), ({}, True), ({"busy": True}, False)],
    ids=["idle", "unknown", "no measurements wanted"],
)
def test_other_runs_are_not_repeated_and_nothing_is_observed(
    finished, observed, conditions, measurements
):
    observations = observed(IDLE)
    found, why = Finished.look_up(*finished(conditions, measurements=measurements))
    assert found is not None
    assert why is None
    assert observations == []


def test_only_the_newest_run_of_a_key_counts_because_its_files_are_there(tmp_path):
    store, settings = Store(tmp_path), SimpleNamespace(measurements=False, save_models=False)
    for code in ("0a", "0b"):
        record = make(asked=ASKED, code={"hash": code, "commit": "1234567890"})
        record.environment = environment("cpu")
        store.append(record)
    older, newer = (Wanted(Fingerprint(h, {}), "cpu", expected("cpu"), ASKED) for h in ("0a", "0b"))
    job = SimpleNamespace(key=record.key, wanted=older, settings=settings)
    found, why = Finished(store).look_up(job)
    assert found.code["hash"] == "0b"
    assert why.endswith("changed since commit 1234567")
    job.wanted = newer
    assert Finished(store).look_up(job) == (found, None)


def test_the_machine_is_observed_once_for_all_cases(finished, observed):
    observations = observed(BUSY)
    records, job = finished({"busy": True})
    for _ in range(3):
        records.look_up(job)
    assert observations == [BUSY]
