"""What a session keeps of cases that fail, break off, or are compared by a gate."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from case_names import case_named
from fake_records import make

import datasets_lib.download.unpack
import datasets_lib.layouts.masks  # noqa: F401
from bench import session as module
from bench.progress import Progress
from bench.regression.gate import Gate, GateCheck
from bench.run.inputs import Finder
from bench.run.job import RecipeError, WeightsError
from bench.session import BenchSession
from bench.settings import Settings
from datasets_lib.layouts.category import DatasetError

CASE = case_named("padim_resnet18-own.c-default-scratch-s0")


class UnbuildableError(RecipeError):
    """An extension's own kind of `RecipeError`."""


class UnfittingError(WeightsError):
    """An extension's own kind of `WeightsError`."""


def kinds_of(error):
    """An error and everything that derives from it."""
    return [error, *(kind for child in error.__subclasses__() for kind in kinds_of(child))]


KINDS = [
    *((kind, "data") for kind in kinds_of(DatasetError)),
    *((kind, "recipe") for kind in kinds_of(RecipeError)),
    *((kind, "weights") for kind in kinds_of(WeightsError)),
]


@pytest.fixture
def request_of():
    """A request of the fixture of one case, as far as a session reads it."""
    return SimpleNamespace(node=SimpleNamespace(user_properties=[]))


@pytest.fixture
def begin(tmp_path):
    """Begin a session of one case."""
    settings = Settings("smoke", "cpu", (), (), tmp_path / "results", tmp_path / "cache")
    progress = Progress(None, 1, lines=True)
    return lambda **options: BenchSession(settings, {}, progress, [CASE], **options)


@pytest.mark.parametrize(("kind", "outcome"), KINDS)
def test_every_kind_of_error_is_an_outcome(begin, request_of, store, monkeypatch, kind, outcome):
    def job(*_):
        raise kind.__new__(kind, "b005.jpg has no mask")

    monkeypatch.setattr(Finder, "job", job)
    session = begin()
    with pytest.raises(pytest.fail.Exception, match=f"{CASE.id}: {outcome}\nb005.jpg"):
        session.run(CASE, request_of)
    assert session.tally.outcomes == {outcome: 1}
    assert [record.outcome for record in store.records()] == [outcome]


@pytest.mark.parametrize(
    ("error", "outcome"), [(KeyboardInterrupt, "interrupted"), (OSError, "crash")]
)
def test_the_time_of_cases_that_break_off_is_counted(begin, store, monkeypatch, error, outcome):
    moments = iter([100.0, 340.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(moments))
    monkeypatch.setattr(Progress, "begin", lambda *_: None)
    monkeypatch.setattr(Progress, "end", lambda *_: None)
    monkeypatch.setattr(module, "now", lambda: "the start")

    def run(*_):
        raise error

    def failed_record(outcome, message, started="", **_):
        record = make(status="failed", started=started)
        record.outcome = outcome
        return record

    session = begin()
    session.__dict__["_runner"] = SimpleNamespace(run=run)
    with pytest.raises(error) if error is KeyboardInterrupt else nullcontext():
        session._run(SimpleNamespace(case=CASE, failed_record=failed_record))
    assert session.tally.seconds == 240.0
    assert [(r.outcome, r.started) for r in store.records()] == [(outcome, "the start")]


@pytest.mark.parametrize(
    ("check", "outcomes"),
    [
        (GateCheck("in baseline", ""), {"cached": 1}),
        (GateCheck("compared", "AUROC fell"), {"regressed": 1, "cached": 0}),
    ],
)
def test_a_gate_counts_what_it_compared(begin, request_of, monkeypatch, check, outcomes):
    session = begin(gate=True)

    def found(*_):
        session._note("cached", request_of)
        return make()

    monkeypatch.setattr(session, "_record", found)
    monkeypatch.setattr(Gate, "check", lambda *_: check)
    monkeypatch.setattr(module, "replay", lambda *_: None)
    worse = pytest.raises(pytest.fail.Exception, match="regressed\nAUROC fell")
    with worse if check.regressions else nullcontext():
        session.run(CASE, request_of)
    assert session.tally.gate == {check.compared: 1}
    assert session.tally.outcomes == outcomes
    session.close()
    assert begin().tally.gate is None
