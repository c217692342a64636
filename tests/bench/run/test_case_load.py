"""A record says whether others used the processors while its case ran."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest
from case_names import case_named

from bench.provenance.load import Load
from bench.provenance.throttling import ThrottleMeter
from bench.run import case as module
from bench.run.case import run_case
from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.settings import Settings
from datasets_lib.discover import find_datasets


@pytest.fixture
def run(tmp_path, write_category, monkeypatch):
    """Run a case during which a meter read some load; nothing is trained."""
    write_category(tmp_path / "data" / "tiny" / "tile", train=4, good=1, spots=1)
    folders = (tmp_path / "data",), (), tmp_path / "results", tmp_path / "cache"
    finder = Finder(Settings("smoke", "cpu", *folders), find_datasets(folders[0]))
    job = finder.job(case_named("padim_resnet18-tiny.tile-default-scratch-s0"))
    monkeypatch.setattr(module, "_run", lambda job, *_: job.record())

    def run_with(load):
        meter = SimpleNamespace(read=lambda: load)
        monkeypatch.setattr(module, "LoadMeter", lambda: meter)
        return run_case(job, lambda *_: None, DeviceData())

    return run_with


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("others", "cores", "busy"),
    [(0.0, 2, False), (0.5, 2, True), (0.5, 3, False), (1.5, 3, True)],
)
def test_a_case_was_disturbed_if_its_threads_lacked_processors(run, others, cores, busy):
    load = Load(others, stolen=0.0, cores=cores)
    record = run(load)
    assert record.status == "ok"
    assert record.environment["busy"] is busy
    assert record.fingerprints["load"] == asdict(load)
    record.environment["exclusive"] = True  # whatever other tests do
    assert record.disturbed is busy


@pytest.mark.parametrize(("seconds", "throttled"), [(None, None), (0.0, False), (30.0, True)])
def test_a_record_says_whether_heat_slowed_its_run(run, monkeypatch, seconds, throttled):
    monkeypatch.setattr(ThrottleMeter, "read", lambda self: seconds)
    record = run(None)
    assert record.environment.get("throttled") is throttled
    assert record.fingerprints.get("throttled_seconds") == seconds
    record.environment["exclusive"] = True
    assert record.disturbed is record.throttled is bool(throttled)
    assert not record.shared


def test_where_the_load_is_unknown_nothing_is_said(run):
    record = run(None)
    assert record.status == "ok"
    assert "busy" not in record.environment
    assert "load" not in record.fingerprints
