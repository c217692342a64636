"""Whole nights, as cron runs them: in a clone of the code, with changes planted in it.

All tests use copies of one clone and its first night: a night takes a process or more, and each
imports torch.
"""

import json
import shutil
import signal
import subprocess
import time

import pytest
from code_clone import FIRST, MAPS, SHIFTED
from filelock import FileLock

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("nights")]

CASE = "mean_image-tiny.tile-default-scratch-s0"


def alarms(clone):
    file = clone.results / "alarms.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_code_that_does_the_same_runs_nothing(clone):
    clone.change(MAPS, FIRST, f"    # the same\n{FIRST}")
    same = clone.night()
    assert same.returncode == 0, same.stderr
    assert "Nothing: no case changed" in clone.report()
    assert "1 case: nothing changed" in clone.report()


def test_a_planted_regression_is_named_bisected_and_seen_to_be_fixed(worse, tmp_path):
    clone = worse.copy(tmp_path / "clone")
    quantities = {line["alarm"]["quantity"] for line in alarms(clone)}
    assert "score.pixel_auroc" in quantities
    assert all(name.startswith("score.") for name in quantities)
    assert clone.night().returncode == 0  # nothing is stale: it is open, not raised again
    assert "open since" in clone.report()

    searched = clone.run("bisect", CASE, "--quantity", "score.pixel_auroc")
    assert searched.returncode == 0, searched.stderr
    assert worse.planted[:7] in searched.stdout.split("% sure")[-1]

    board = clone.results / "LEADERBOARD.md"
    while_worse = board.read_text()
    assert "mean_image" in while_worse
    clone.change(MAPS, SHIFTED, FIRST)
    assert clone.night().returncode == 0
    assert board.read_text() != while_worse  # each night regenerates it, from the newest run
    verdicts = [line["verdict"] for line in alarms(clone) if "verdict" in line]
    assert set(verdicts) == {"fixed"}
    assert len(verdicts) == len(quantities)
    history = clone.run("history", CASE).stdout
    assert "regressed" in history
    assert "fixed" in history


@pytest.mark.slow
def test_a_search_takes_the_runs_that_confirmed_the_alarm(begun, tmp_path):
    clone = begun.copy(tmp_path / "clone")
    noisy = {"keyword": "noisy_image"}
    assert clone.night("--seeds", "3", **noisy).returncode == 0
    planted = clone.change(MAPS, FIRST, SHIFTED.replace("roll(3, 2)", "roll(24, 2)"))
    for _ in range(3):  # commits that touch the case and change nothing
        clone.change(MAPS, "roll(24, 2)", "roll(24, 2) + 0")
    caught = clone.night("--seeds", "3", **noisy)
    assert caught.returncode == 10, caught.stdout + caught.stderr
    case, quantity = CASE.replace("mean_image", "noisy_image"), "score.pixel_auroc"
    searched = clone.run("bisect", case, "--quantity", quantity, **noisy)
    assert "both ends keep the nightly run's" in searched.stdout, searched.stdout + searched.stderr
    answer = searched.stdout.split("% sure")[-1]
    assert planted[:7] in answer
    assert "after 1 runs" in answer or "after 2 runs" in answer


def test_an_accepted_change_begins_a_segment(worse, tmp_path):
    clone = worse.copy(tmp_path / "clone")
    accepted = clone.run("accept", CASE, "--reason", "maps are shifted on purpose")
    assert accepted.returncode == 0, accepted.stderr
    assert "accepted" in accepted.stdout
    planned = clone.run("plan", "--canaries", "0", "--rotation", "0")
    assert "accepted: its baseline begins with the run of" in planned.stdout
    assert "0 cases would run" in planned.stdout
    clone.change(MAPS, "maps.roll(3, 2)", "maps.roll(3, 2) + 0")
    assert clone.night().returncode == 0
    assert "accepted on" in clone.report()
    assert "shifted on purpose" in clone.run("history", CASE).stdout


def test_nights_on_unchanged_code_raise_nothing(clone):
    """Three A/A nights: every case runs again, and one of them trains."""
    for _ in range(3):  # the first one begins the baseline of the trained cases
        night = clone.run(
            *("nightly", "--canaries", "0", "--rotation", "1", "--seeds", "2"),
            keyword="(mean_image or mean_color)",
        )
        assert night.returncode == 0, night.stdout + night.stderr
        assert "suspect" not in night.stdout
    assert night.stdout.count("(rotation: unchanged") == 4
    assert alarms(clone) == []
    outcomes = {line["run"]["outcome"] for line in clone.baseline()}
    assert outcomes == {"first", "ok"}


def test_a_night_that_is_killed_twice_resumes_and_duplicates_nothing(clone):
    cases, store = 6, clone.results / "runs" / "records.jsonl"
    command = clone.command("nightly", "--seeds", str(cases), keyword="mean_color")
    before = store.read_text().count("\n")

    def done():
        return store.read_text().count("\n") - before

    for least in (1, 3):
        process = subprocess.Popen(
            command, cwd=clone.code, env=clone.environment, stdout=subprocess.PIPE
        )
        while done() < least and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert done() < cases, "it ended before it could be killed"
    last = clone.start(command)
    assert last.returncode == 0, last.stderr
    assert "resuming nightly run" in last.stdout
    ids = [json.loads(line)["key"]["id"] for line in store.read_text().splitlines()][before:]
    assert sorted(ids) == sorted(set(ids))
    assert len(ids) == cases
    assert len(clone.baseline()) == before + cases
    assert len(list((clone.results / "nightly").glob("*.md"))) == 2  # this night's and the first's
    assert clone.report().count("| ok |") == cases


def test_a_baseline_that_cannot_be_run_is_a_clear_line_and_no_alarm(clone):
    old = clone.git("rev-parse", "HEAD")
    # Rebased: the baseline's commit is gone.
    clone.git("commit", "-q", "--amend", "-m", "another start")
    clone.git("reflog", "expire", "--expire=now", "--all")
    clone.git("gc", "-q", "--prune=now")
    clone.change(MAPS, FIRST, SHIFTED)
    rebased = clone.night()
    assert rebased.returncode == 0, rebased.stderr
    assert f"the baseline's commit {old[:7]} is not in this clone" in clone.report()
    assert alarms(clone) == []


def test_without_git_a_night_says_so_and_raises_nothing(clone):
    shutil.rmtree(clone.code / ".git")
    (clone.code / MAPS).write_text((clone.code / MAPS).read_text().replace(FIRST, SHIFTED))
    night = clone.night()
    assert night.returncode == 0, night.stderr
    assert "is not a git repository" in clone.report()
    assert alarms(clone) == []


def test_a_second_night_is_refused_with_a_message(clone):
    folder = clone.results / "runs" / "nightly"
    (folder / "running").write_text("process 1234 since yesterday")
    with FileLock(folder / ".lock"):
        refused = clone.night()
    assert refused.returncode == 11
    assert "Another nightly run is using" in refused.stderr
    assert "process 1234" in refused.stderr


def test_a_gated_session_fails_on_a_regression_and_says_which_metric(clone):
    session = clone.session("--gate")
    assert session.returncode == 0, session.stdout + session.stderr
    clone.change(MAPS, FIRST, SHIFTED)
    gated = clone.session("--gate")
    assert gated.returncode == 10, gated.stdout + gated.stderr
    assert f"{CASE}: regressed" in gated.stdout
    assert "score.pixel_auroc" in gated.stdout
    assert "loss +" in gated.stdout
    assert "python -m bench accept" in gated.stdout
    assert alarms(clone) == []  # a gate adds nothing to the ledger
    assert len(clone.git("worktree", "list").splitlines()) == 1
    night = clone.night()  # what the session ran is compared, and alarms
    assert night.returncode == 10
    assert "a session ran it" in clone.report()


def test_uncommitted_code_is_named_and_alarms_once_it_is_committed(clone):
    file = clone.code / MAPS
    file.write_text(file.read_text().replace(FIRST, SHIFTED))
    dirty = clone.night()
    assert dirty.returncode == 0, dirty.stdout + dirty.stderr
    assert f"{MAPS} had uncommitted changes" in clone.report()
    assert alarms(clone) == []
    clone.git("commit", "-qam", "shifted")
    assert clone.night().returncode == 10
