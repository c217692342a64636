"""Cases in child processes: a killed, stopped or slow child costs only its own case."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from case_names import case_named

from bench.extensions import load_extensions
from bench.run import isolate, worker
from bench.run.inputs import Finder
from bench.run.isolate import IsolatedRunner
from bench.run.worker import serve
from bench.settings import Settings
from datasets_lib.discover import FoundDataset, find_datasets


@pytest.fixture
def job(tmp_path, write_category):
    write_category(tmp_path / "data" / "tiny" / "tile", train=12, good=3, spots=3)

    def make(case_id="rd_resnet18-tiny.tile-default-scratch-s0", images_seen=8):
        settings = Settings(
            "smoke",
            "cpu",
            (tmp_path / "data",),
            (),
            tmp_path / "results",
            tmp_path / "cache",
            images_seen=images_seen,
            image_size=64,
            plots=False,
            measurements=False,
        )
        finder = Finder(settings, find_datasets(settings.data_dirs))
        return finder.job(case_named(case_id))

    return make


@pytest.fixture
def runner():
    made = []

    def make(timeout_s=300.0, stall_timeout_s=300.0):
        made.append(IsolatedRunner(timeout_s, stall_timeout_s))
        return made[-1]

    yield make
    for one in made:
        one.close()


def signaller(runner, number):
    """A progress report that sends the child a signal once it trains."""

    def report(phase, _info):
        if phase == "train":
            os.kill(runner._child.pid, number)

    return report


@pytest.mark.slow
def test_children_give_the_scores_of_the_parent_and_serve_a_group(job, runner, monkeypatch):
    import torch

    from bench.run.inline import InlineRunner

    # Matrix products differ by rounding with the number of threads.
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    isolated = runner()
    first = isolated.run(job(), lambda *_: None)
    child = isolated._child.pid
    second = isolated.run(job("rd_resnet18.same-tiny.tile-default-scratch-s0"), lambda *_: None)
    assert isolated._child.pid == child != os.getpid()
    inline = InlineRunner().run(job(), lambda *_: None)
    assert (first.status, second.status) == ("ok", "ok")
    assert first.metrics == inline.metrics
    assert first.curve == inline.curve


def serve_as_on_windows(connection, log, plugins):
    """Serve in a process that has neither groups nor their signals."""
    del os.setsid, os.killpg, signal.SIGKILL
    serve(connection, log, plugins)


@pytest.mark.slow
def test_cases_run_by_spawn_where_nothing_forks_and_no_process_leads_a_group(
    job, runner, monkeypatch
):
    """What Windows lacks is removed from the parent and, before it serves, from the child."""
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    monkeypatch.setattr(worker, "serve", serve_as_on_windows)
    monkeypatch.delattr(os, "killpg")
    isolated = runner(timeout_s=120.0)
    assert isolated._context.get_start_method() == "spawn"
    first = isolated.run(job(), lambda *_: None)
    assert first.status == "ok", first.error
    child = isolated._child
    assert child.pid != os.getpid()
    record = isolated.run(job(images_seen=100_000), signaller(isolated, signal.SIGTERM))
    assert record.outcome == "crash"
    assert not child.is_alive()
    assert isolated._child is None


@pytest.mark.parametrize("method", ["forkserver", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_job_may_hold_a_function_of_a_plugin(job, runner, tmp_path, monkeypatch, method):
    file = tmp_path / f"plugin_of_{method}.py"
    file.write_text("def read(root):\n    return []\n")
    load_extensions([file])
    textures = FoundDataset("own", tmp_path, {}, sys.modules[file.stem].read)
    plain = job()
    plugged = replace(
        plain,
        inputs=replace(plain.inputs, textures=textures),
        settings=replace(plain.settings, plugins=(file,)),
    )
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: [method])
    record = runner().run(plugged, lambda *_: None)
    assert record.status == "ok", record.error


def test_a_child_ends_where_there_are_no_process_groups(monkeypatch):
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    child.start()
    monkeypatch.delattr(os, "killpg")
    isolate._end(child, 0.1)
    assert child.exitcode not in (None, 0)


@pytest.mark.slow
def test_a_killed_child_is_a_crash_and_the_next_case_runs(job, runner):
    isolated = runner()
    record = isolated.run(job(images_seen=100_000), signaller(isolated, signal.SIGKILL))
    assert (record.status, record.outcome) == ("failed", "crash")
    assert "SIGKILL" in record.error["message"]
    assert isolated.run(job(), lambda *_: None).status == "ok"


def serve_killed(*_):
    """End as a process does that the system kills."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("kills_after", "outcome"), [(4, "oom"), (3, "crash")])
def test_a_child_that_the_out_of_memory_killer_ends_is_out_of_memory(
    job, runner, monkeypatch, kills_after, outcome
):
    monkeypatch.setattr(worker, "serve", serve_killed)
    monkeypatch.setattr(isolate, "_oom_kills", iter([3, kills_after]).__next__)
    record = runner().run(job(), lambda *_: None)
    assert (record.status, record.outcome) == ("failed", outcome)
    assert ("smaller batch" in record.error["message"]) == (outcome == "oom")


def test_kills_by_the_out_of_memory_killer_are_read_from_the_control_group(monkeypatch):
    events = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n"
    monkeypatch.setattr(Path, "read_text", lambda _: events)
    assert isolate._oom_kills() == 2


def test_a_segmentation_fault_leaves_its_stack(job, runner):
    isolated = runner()
    record = isolated.run(job(images_seen=100_000), signaller(isolated, signal.SIGSEGV))
    assert record.outcome == "crash"
    assert "SIGSEGV" in record.error["message"]
    assert "Segmentation fault" in record.error["message"]


def test_a_case_over_its_time_is_stopped(job, runner):
    isolated = runner(timeout_s=6.0)
    record = isolated.run(job(images_seen=1_000_000), lambda *_: None)
    assert (record.status, record.outcome) == ("failed", "timeout")
    assert "--case-timeout" in record.error["message"]
    assert isolated._child is None


@pytest.mark.slow
def test_a_silent_case_is_stopped(job, runner):
    isolated = runner(stall_timeout_s=15.0)
    record = isolated.run(job(images_seen=1_000_000), signaller(isolated, signal.SIGSTOP))
    assert record.outcome == "timeout"
    assert "made no progress" in record.error["message"]
    assert "'train'" in record.error["message"]


@pytest.mark.slow
def test_a_child_dies_with_its_session(job, tmp_path, root):
    script = tmp_path / "session.py"
    script.write_text(
        "import pickle, sys\n"
        "from pathlib import Path\n"
        "from bench.run.isolate import IsolatedRunner\n"
        "if __name__ == '__main__':\n"
        "    job = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "    runner = IsolatedRunner(300.0, 300.0)\n"
        "    runner.run(job, lambda *_: print(runner._child.pid, flush=True))\n"
    )
    (tmp_path / "job").write_bytes(pickle.dumps(job(images_seen=1_000_000)))
    session = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "job")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
    )
    child = int(session.stdout.readline())
    session.kill()
    session.communicate()
    deadline = time.monotonic() + 120  # it may have to finish a step on a busy machine
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{child}").exists()


def test_a_nan_is_a_failed_record_of_its_own_kind(job, runner):
    wild = job(images_seen=4_000)
    recipe = replace(wild.protocol.recipe, lr=1e30, optimizer="sgd")
    wild = replace(wild, protocol=replace(wild.protocol, recipe=recipe))
    record = runner().run(wild, lambda *_: None)
    assert (record.status, record.outcome) == ("failed", "nan")
    assert "learning rate" in record.error["message"]
