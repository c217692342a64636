"""Checkpoints of the training loop: killed, interrupted, continued, damaged."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny_training import protocol, run
from training_reports import stop_at

from bench.run.training import loop
from bench.run.training.early_stop import stops_early
from bench.run.training.optimization import build_optimizer, learning_rate_factor
from bench.run.training.resume import ResumeError
from models.components.base import AnomalyModel


class KilledError(Exception):
    """Stands in for a kill: raised from the progress report."""


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_killed_training_resumes_bit_equal_from_its_checkpoint(tmp_path, monkeypatch, optimizer):
    plan = protocol(
        optimizer=optimizer, schedule="cosine", lr=1e-3, grad_clip=1.0, betas=(0.9, 0.99)
    )
    unbroken, whole = run(tmp_path / "whole", plan)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(KilledError):
        run(tmp_path / "killed", plan, report=stop_at(9, KilledError))
    resumed, trained = run(tmp_path / "killed", plan)
    assert trained.resumed_at == 8
    assert trained.losses == whole.losses
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.parametrize("before", ["changed cpu", "same cuda", None, "absent"])
def test_a_checkpoint_of_another_origin_is_removed_and_training_starts_over(
    tmp_path, caplog, before
):
    _, whole = run(tmp_path, protocol(), origin=before, keep_state=True)
    checkpoint = tmp_path / "run" / "training.pth"
    if before == "absent":
        state = torch.load(checkpoint, weights_only=True)
        del state["origin"]
        torch.save(state, checkpoint)
    _, trained = run(tmp_path, protocol(), origin="same cpu")
    assert trained.resumed_at == 0
    assert trained.losses == whole.losses
    assert "training starts over: the code or the device changed" in caplog.text
    assert not checkpoint.exists()


@pytest.mark.parametrize("origin", ["same cpu", None])
def test_a_checkpoint_of_the_same_origin_is_resumed(tmp_path, caplog, origin):
    _, whole = run(tmp_path, protocol(), origin=origin, keep_state=True)
    _, trained = run(tmp_path, protocol(), origin=origin)
    assert trained.resumed_at == 16
    assert trained.losses == whole.losses
    assert not caplog.records


@pytest.fixture
def stepped(monkeypatch):
    """Collect the optimizer's options at every step of the trainings of a test."""
    options = []

    def note(optimizer, *_):
        kept = ("lr", "betas", "momentum", "weight_decay", "amsgrad")
        options.extend({k: g[k] for k in kept if k in g} for g in optimizer.param_groups)

    def build(recipe, parameters):
        optimizer = build_optimizer(recipe, parameters)
        optimizer.register_step_pre_hook(note)
        return optimizer

    monkeypatch.setattr(loop, "build_optimizer", build)
    return options


def half_a_training(tmp_path, **recipe):
    """Train for 8 steps; return the file of its state."""
    run(tmp_path / "half", protocol(images_seen=32, **recipe), keep_state=True, origin="old code")
    return tmp_path / "half" / "run" / "training.pth"


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "drop"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "stable_adamw"])
def test_a_state_is_continued_at_the_rates_of_an_unbroken_training(
    tmp_path, stepped, schedule, optimizer
):
    recipe = {"schedule": schedule, "optimizer": optimizer, "betas": (0.9, 0.99)}
    run(tmp_path / "whole", protocol(**recipe))
    unbroken = stepped.copy()
    state = half_a_training(tmp_path, **recipe)
    stepped.clear()
    _, trained = run(tmp_path / "more", protocol(**recipe), start=state, origin="new code")
    assert trained.resumed_at == 8
    assert stepped == unbroken[8:]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_state_is_continued_with_the_options_asked_for(tmp_path, stepped, optimizer):
    recipe = {"schedule": "cosine", "optimizer": optimizer}
    asked = recipe | {"lr": 1e-4, "weight_decay": 0.2, "betas": (0.5, 0.9)}
    run(tmp_path / "whole", protocol(**asked))
    unbroken = stepped.copy()
    state = half_a_training(tmp_path, **recipe)
    stepped.clear()
    run(tmp_path / "more", protocol(**asked), start=state)
    assert stepped == unbroken[8:]
    assert stepped[0]["lr"] == pytest.approx(0.5e-4)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"optimizer": "adam"},
        {"optimizer": "adam", "amsgrad": True},
        {"optimizer": "sgd"},
        {"optimizer": "stable_adamw"},
    ],
)
def test_a_state_is_continued_where_convolutions_lie_otherwise_in_memory(tmp_path, optimizer):
    recipe = {"betas": (0.9, 0.99), "lr": 1e-3} | optimizer
    unbroken, whole = run(tmp_path / "whole", protocol(**recipe))
    state = half_a_training(tmp_path, **recipe)
    continued, trained = run(
        tmp_path / "more", protocol(**recipe), start=state, memory_format=torch.channels_last
    )
    assert continued.net[0].weight.stride() != unbroken.net[0].weight.stride()
    assert trained.losses == pytest.approx(whole.losses, rel=1e-5)
    torch.testing.assert_close(
        continued.state_dict(), unbroken.state_dict(), rtol=1e-4, atol=1e-5, check_stride=False
    )


def test_a_continued_training_that_is_killed_keeps_its_options(tmp_path, monkeypatch, stepped):
    state = half_a_training(tmp_path)
    stepped.clear()
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    asked = protocol(lr=1e-4, schedule="cosine")
    with pytest.raises(KilledError):
        run(tmp_path, asked, report=stop_at(12, KilledError), start=state)
    _, trained = run(tmp_path, asked, start=state)
    assert trained.resumed_at == 11
    rates = [1e-4 * learning_rate_factor(step, 16, asked.recipe) for step in range(16)]
    assert [options["lr"] for options in stepped] == rates[8:12] + rates[11:]


@pytest.fixture
def stopped_early(tmp_path):
    """Train at a large rate until patience ends it; return its result and its state's file."""
    plan = protocol(images_seen=2000, lr=0.3, patience=3)
    _, trained = run(tmp_path / "first", plan, keep_state=True)
    assert trained.stopped
    return trained, tmp_path / "first" / "run" / "training.pth"


def test_patience_counts_from_where_a_training_continues(tmp_path, stopped_early):
    first, state = stopped_early
    plan = protocol(images_seen=4000, lr=0.003, patience=3)
    _, trained = run(tmp_path / "more", plan, start=state, keep_state=True)
    reasons = [
        stops_early(trained.losses[:steps], 4, 10, plan.recipe, first=first.steps)
        for steps in range(first.steps, trained.steps + 1)
    ]
    assert len(reasons) > 8  # more than three passes
    assert not any(reasons[:-1])
    assert trained.stopped == reasons[-1] != ""
    _, third = run(tmp_path / "third", plan, start=tmp_path / "more" / "run" / "training.pth")
    assert third.steps > third.resumed_at == trained.steps


def test_an_earlier_trainings_loss_meets_no_target(tmp_path, stopped_early):
    first, state = stopped_early
    plan = protocol(images_seen=4000, lr=0.003, target_loss=1.0)
    _, trained = run(tmp_path / "more", plan, start=state)
    assert trained.steps - first.steps == 2  # one pass, of those that begin after the resumed step


@pytest.mark.parametrize("continued", [True, False])
def test_a_killed_training_stops_where_it_would_have(
    tmp_path, monkeypatch, stopped_early, continued
):
    first, state = stopped_early
    images_seen, lr, start = (4000, 0.003, state) if continued else (2000, 0.3, None)
    plan = protocol(images_seen=images_seen, lr=lr, patience=3)
    _, whole = run(tmp_path / "whole", plan, start=start)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(KilledError):
        run(tmp_path / "killed", plan, report=stop_at(whole.steps - 2, KilledError), start=start)
    _, resumed = run(tmp_path / "killed", plan, start=start)
    assert resumed.resumed_at == whole.steps - 3 > (first.steps if continued else 0)
    assert (resumed.losses, resumed.stopped) == (whole.losses, whole.stopped)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"optimizer": "sgd"}, {"optimizer": "adam"}),
        ({"optimizer": "adam"}, {"optimizer": "stable_adamw"}),
        ({"optimizer": "adam"}, {"optimizer": "adam", "amsgrad": True}),
    ],
)
def test_a_state_of_another_optimizer_is_refused(tmp_path, found, wanted):
    state = half_a_training(tmp_path, **found)
    names = f"wanted a training state of {wanted['optimizer']}.*found one of {found['optimizer']}"
    with pytest.raises(ResumeError, match=f"training.pth: {names}.*resume from the saved model"):
        run(tmp_path / "more", protocol(**wanted), start=state)


@pytest.fixture
def handled():
    """Set the handler of a signal during a test."""
    before = {}

    def handle(number, handler):
        before.setdefault(number, signal.signal(number, handler))

    yield handle
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_writes_a_checkpoint_after_the_step_and_loses_none(tmp_path, number, handled):
    # A shell that starts the tests in the background makes them ignore Ctrl-C.
    handled(number, signal.default_int_handler)
    plan = protocol(lr=1e-3)
    unbroken, whole = run(tmp_path / "whole", plan)
    before = signal.getsignal(number)

    def interrupt(_phase, info):
        if info["step"] == 9:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", plan, report=interrupt)
    assert signal.getsignal(number) is before
    resumed, trained = run(tmp_path / "stopped", plan)
    assert trained.resumed_at == 9
    assert trained.losses == whole.losses
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_second_interrupt_acts_at_once(tmp_path, handled):
    handled(signal.SIGINT, signal.default_int_handler)

    def interrupt(_phase, info):
        if info["step"] == 3:
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
            pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, protocol(), report=interrupt)
    assert not (tmp_path / "run" / "training.pth").exists()


def test_an_ignored_signal_stays_ignored(tmp_path, handled):
    def interrupt(_phase, info):
        if info["step"] == 3:
            signal.raise_signal(signal.SIGINT)

    handled(signal.SIGINT, signal.SIG_IGN)
    assert run(tmp_path, protocol(), report=interrupt)[1].steps == 16
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_a_training_in_another_thread_gets_no_signals_and_runs(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run, tmp_path, protocol()).result()[1].steps == 16


def test_a_damaged_checkpoint_is_removed_and_reported(tmp_path):
    checkpoint = tmp_path / "run" / "training.pth"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"not a checkpoint")
    with pytest.raises(loop.DamagedCheckpointError, match="Run the same command again"):
        run(tmp_path, protocol())
    assert not checkpoint.exists()
    assert run(tmp_path, protocol())[1].steps == 16


@pytest.mark.parametrize("place", [(torch, "load"), (AnomalyModel, "load_checkpoint")])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
    ids=["device", "host"],
)
def test_a_state_stays_and_is_not_blamed_where_memory_runs_out(tmp_path, monkeypatch, place, error):
    state = half_a_training(tmp_path)

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as full:
        full.setattr(*place, fail)
        for folder, options in (("half", {"origin": "old code"}), ("more", {"start": state})):
            with pytest.raises(type(error), match="memory"):
                run(tmp_path / folder, protocol(), **options)
    assert run(tmp_path / "half", protocol(), origin="old code")[1].resumed_at == 8
