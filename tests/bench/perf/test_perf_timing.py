"""Alternating rounds: their order, and what is timed."""

from types import SimpleNamespace

from bench.perf import timing


def test_rounds_alternate_and_warm_ups_are_not_counted(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def step(name):
        calls.append(name)
        clock[0] += len(calls)

    steps = {"one": lambda: step("one"), "other": lambda: step("other")}
    seconds = timing.seconds_in_turns(steps, rounds=2, warm_up=1)
    assert calls == ["one", "other"] * 3
    assert seconds == {"one": [3, 5], "other": [4, 6]}
