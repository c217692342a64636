"""Progress is accurate: what is counted, what is left, and what will take long."""

import io
from types import SimpleNamespace

import pytest
from _pytest._io import TerminalWriter
from fake_records import make

from bench import progress as module
from bench.progress import Progress
from bench.report.leaderboard import summary_rows


@pytest.fixture
def clock(monkeypatch):
    """A clock in seconds that only the test advances."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def written(monkeypatch):
    """The lines that any progress writes."""
    lines = []
    monkeypatch.setattr(Progress, "_write", lambda self, text, *, live: lines.append(text))
    return lines


def reporter(*, is_terminal, colors):
    """A stand-in for pytest's reporter on 80 columns, and the stream that it writes to."""
    stream = io.StringIO()
    writer = TerminalWriter(stream)
    writer.fullwidth, writer.hasmarkup = 80, colors
    plugins = SimpleNamespace(getplugin=lambda name: None)
    config = SimpleNamespace(pluginmanager=plugins)
    return SimpleNamespace(_tw=writer, isatty=lambda: is_terminal, config=config), stream


def train(progress, clock, numbers, seconds, **told):
    """Report the steps of a training, each of which takes some seconds."""
    progress.report("train", {})
    for number in numbers:
        clock[0] += seconds
        progress.report("train", {"step": number, **told})


def test_skipped_cases_are_not_counted(clock, written):
    progress = Progress(None, 96, lines=True)
    progress.expect(5)
    progress.begin("first")
    clock[0] += 60
    progress.report("train", {"step": 1, "steps": 2})
    progress.end(make())
    progress.expect(4)
    progress.note("second", "cached")
    assert [line.split("]")[0] for line in written] == ["[1/5", "[1/5", "[2/4"]


def test_a_line_about_a_case_that_is_over_has_its_number(clock, written):
    progress = Progress(None, 1, lines=True)
    progress.begin("first")
    progress.end(make())
    progress.add("gate", "first is not compared")
    assert written[-1] == "[1/1] gate  first is not compared"


def test_the_first_case_has_no_eta_but_what_is_left_of_its_phase(clock, written):
    progress = Progress(None, 3, lines=True)
    progress.begin("first")
    train(progress, clock, range(1, 62), 1, steps=100, loss=0.5)
    (heartbeat,) = written
    assert heartbeat == "[1/3] first train 60/100 loss 0.5000 60 s (0:00:40 of train left)"
    progress.end(make())
    progress.begin("second")
    progress.report("predict", {})
    clock[0] += 60
    progress.report("predict", {"step": 1, "steps": 2})
    # One more case of 61 s, and what the second one has left of its phase.
    assert "ETA 0:02:01" in written[-1]


def test_the_eta_is_no_shorter_than_what_is_left_of_a_slower_case(clock, written):
    progress = Progress(None, 2, lines=True)
    progress.begin("fast")
    clock[0] += 20
    progress.end(make())
    progress.begin("slow")
    train(progress, clock, range(1, 62), 1, steps=100)
    assert written[-1].endswith("(0:00:40 of train left) ETA 0:00:40")


def test_a_slow_warm_up_does_not_set_the_pace(clock, written):
    progress = Progress(None, 1, lines=True)
    progress.begin("cold")
    progress.report("train", {})
    clock[0] += 20  # torch is loaded, and a copy of the model takes its first steps
    for step in range(1, 4):
        clock[0] += 0.1
        progress.report("train", {"step": step, "steps": 250})
    assert written == []


@pytest.mark.parametrize(
    ("seconds", "steps", "said"), [(1.0, 500, 1), (30.0, 60, 1), (0.1, 500, 0), (1.0, 100, 0)]
)
def test_a_case_that_will_take_long_is_announced_once_at_its_start(
    clock, written, seconds, steps, said
):
    progress = Progress(None, 1, lines=True)
    progress.begin("slow")
    train(progress, clock, range(1, 4), seconds, steps=steps)
    announced = [line for line in written if "needs about" in line]
    assert len(announced) == said
    for line in announced:
        assert "--images-seen" in line


def test_a_runs_line_and_the_summary_show_one_figure(written):
    record = make(auroc=0.9, multi={"image_auroc": 0.8})
    Progress(None, 1, lines=True).end(record)
    assert "single_scale Image AUROC 90.00" in written[0]
    assert "AUROC 90.00 (single_scale)" in summary_rows([record])[1]


def test_a_resumed_training_is_timed_from_where_it_resumes(clock, written):
    progress = Progress(None, 1, lines=True)
    progress.begin("resumed")
    train(progress, clock, range(901, 921), 4, steps=1000)
    announced = next(line for line in written if "needs about" in line)
    assert "0:06:32" in announced  # 98 steps of 4 s


def test_a_second_set_of_images_has_a_pace_of_its_own(clock, written):
    progress = Progress(None, 1, lines=True)
    progress.begin("predicting")
    for images in (480, 60):
        for step in range(32, images, 32):
            clock[0] += 2
            progress.report("predict", {"step": step, "steps": images})
    assert not [line for line in written if "needs about" in line]


@pytest.mark.parametrize(
    ("is_terminal", "term", "colors", "live"),
    [
        (True, "xterm", True, True),
        (True, "xterm", False, True),
        (False, "xterm", True, False),
        (True, "dumb", True, False),
    ],
)
def test_a_line_is_live_on_a_terminal_whatever_the_colors(
    clock, monkeypatch, is_terminal, term, colors, live
):
    monkeypatch.setenv("TERM", term)
    terminal, stream = reporter(is_terminal=is_terminal, colors=colors)
    progress = Progress(terminal, 1, lines=True)
    progress.begin("first")
    clock[0] += 1
    progress.report("train", {})
    assert stream.getvalue() == ("\r[1/1] first train 1 s\x1b[K" if live else "")


@pytest.mark.parametrize("live", [True, False])
def test_a_long_id_leaves_room_for_everything_else_on_a_live_line(clock, monkeypatch, live):
    monkeypatch.setenv("TERM", "xterm")
    case = "patchcore_wide_resnet50_2.original-mvtec_ad_2.fruit_jelly-default-pretrained-s0"
    terminal, stream = reporter(is_terminal=live, colors=live)
    progress = Progress(terminal, 3, lines=True)
    progress.begin(case)
    train(progress, clock, range(1, 62), 1, steps=100, loss=0.5)
    last = stream.getvalue().split("\r")[-1].removesuffix("\x1b[K")
    if live:
        rest = "train 61/100 loss 0.5000 61 s (0:00:39 of train left)"
        assert last == f"[1/3] patchcore…rained-s0 {rest}"
        assert len(last) == 79
    else:
        assert last.startswith(f"[1/3] {case} train 60/100")
