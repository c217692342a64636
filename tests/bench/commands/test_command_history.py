"""``history``, ``accept``, ``bisect``, ``plan`` and ``nightly``: their output, and mistakes."""

import argparse
import csv
import errno
import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fake_records import make

from bench.__main__ import main
from bench.commands import nightly as nightly_module
from bench.commands.night_options import add_night_options, duration, night_options_of
from bench.lines import append_object
from bench.page import after_session
from bench.regression.baselines import Baselines, run_of
from bench.regression.bisection import MAX_RUNS
from bench.regression.finding import Finding
from bench.regression.journal import Journals
from bench.regression.ledger import Alarm, Ledger
from bench.regression.night import Nightly
from bench.regression.outcomes import INFRASTRUCTURE_EXIT, REGRESSION_EXIT
from bench.regression.plan import NightOptions, Plan
from bench.regression.verdicts import Verdicts
from bench.settings import Settings

NAME = "rd_resnet18-surface.woven-default-pretrained"
COMMITS = ("a" * 40, "b" * 40, "c" * 40)


@pytest.fixture
def results(tmp_path):
    baselines = Baselines(tmp_path)
    for number, (commit, auroc) in enumerate(zip(COMMITS, (0.95, 0.96, 0.91), strict=True)):
        moment = f"2026-01-0{number + 1}T00:00:00+00:00"
        code = {"commit": commit, "dirty": number == 1, "hash": commit[:16]}
        baselines.add([run_of(make(auroc=auroc, finished=moment, code=code), str(number))])
    return tmp_path


def test_the_commands_defaults_are_those_of_the_library(capsys):
    """They are written out, as importing the library would slow every command's start."""
    command = argparse.ArgumentParser()
    add_night_options(command)
    assert night_options_of(command.parse_args([])) == NightOptions()
    with pytest.raises(SystemExit):
        main(["bisect", "--help"])
    assert f"(default: {MAX_RUNS})" in " ".join(capsys.readouterr().out.split())


def test_history_shows_values_over_commits(results, capsys):
    Ledger(results).raise_alarm(Alarm(NAME, "single_scale.image_auroc", 0.05, head=COMMITS[2]))
    assert main(["history", f"{NAME}-s0", "--results-dir", str(results)]) == 0
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith("2026-")]
    assert ["95.00" in lines[0], "96.00" in lines[1], "91.00" in lines[2]] == [True] * 3
    assert "bbbbbbbbbb+" in lines[1]  # with uncommitted changes
    assert "▇█▁" in out
    assert "loss +5.00 points" in out
    assert "open" in out


def test_history_as_csv_has_a_line_for_each_value(results, capsys):
    main(["history", "--format", "csv", "--results-dir", str(results)])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    wanted = [row for row in rows if row["quantity"] == "single_scale.image_auroc"]
    assert [float(row["value"]) for row in wanted] == [0.95, 0.96, 0.91]
    assert [row["commit"] for row in wanted] == list(COMMITS)


def test_history_for_otava_has_a_line_for_each_run(results, capsys):
    main(["history", NAME, "--format", "otava", "--results-dir", str(results)])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["time"][:10] for row in rows] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert [float(row["single_scale.image_auroc"]) for row in rows] == [0.95, 0.96, 0.91]


def test_runs_on_other_data_are_another_series(results, capsys):
    other = make(auroc=0.5, finished="2025-12-31T00:00:00+00:00")
    other = replace(other, key=replace(other.key, data="f" * 64))
    Baselines(results).add([run_of(other, "0")])
    assert main(["history", NAME, "--results-dir", str(results)]) == 0
    titles = [line for line in capsys.readouterr().out.splitlines() if line.startswith("profile")]
    assert len(titles) == 2
    assert sum(line.endswith(", data ffffffff") for line in titles) == 1
    assert main(["history", NAME, "--format", "otava", "--results-dir", str(results)]) == 0
    out, err = capsys.readouterr()
    assert [row["time"][:4] for row in csv.DictReader(io.StringIO(out))] == ["2026"] * 3
    assert "1 run on other machines" in err


def test_mistakes_are_named(results, capsys):
    assert main(["history", NAME, "--picture", "history.txt", "--results-dir", str(results)]) == 2
    assert "ends in .png" in capsys.readouterr().err
    assert main(["history", NAME, "--quantity", "auroc", "--results-dir", str(results)]) == 2
    assert "single_scale.image_auroc" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["history"], ["accept", "--reason", "new data"]])
def test_a_mistyped_case_is_met_with_the_nearest(results, capsys, command):
    name = NAME.replace("woven", "wovn")
    assert main([command[0], name, *command[1:], "--results-dir", str(results)]) == 2
    assert f"did you mean {NAME}" in capsys.readouterr().err


def test_a_unique_part_of_a_case_is_enough_to_read(results, capsys):
    command = ["history", "resnet18-surface", "--results-dir", str(results)]
    assert main(command) == 0
    assert "95.00 %" in capsys.readouterr().out
    Baselines(results).add([run_of(make(data="surface.grid"))])
    assert main(command) == 2
    assert "found 2 with resnet18-surface in their id" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet18-surface", "found 2 with resnet18-surface in their id"),
        (f"{NAME}-s0", f"has no run of {NAME}: did you mean {NAME}-4shot?"),
        (f"{NAME.replace('woven-default', 'mean_of_2')}-4shot", "did you mean rd_resnet18-surface"),
    ],
)
def test_accept_writes_nothing_for_a_name_that_is_not_whole(tmp_path, capsys, name, said):
    """What it writes is committed: it restarts no other configuration that has the name in it."""
    baselines = Baselines(tmp_path)
    records = [make(), make(data="surface.grid")]
    few = [replace(record, case=replace(record.case, shots=4)) for record in records]
    baselines.add(map(run_of, few))
    before = baselines.path.read_text()
    assert main(["accept", name, "--reason", "new data", "--results-dir", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert baselines.path.read_text() == before


@pytest.mark.parametrize("case", ["", "-s0"])
@pytest.mark.parametrize(
    "command", [["history", "--format", "csv"], ["accept", "--reason", "new data"]]
)
def test_an_empty_name_is_no_case(results, capsys, command, case):
    name, *more = command
    before = Baselines(results).path.read_text()
    assert main([name, *more, "--results-dir", str(results), "--", case]) == 2
    assert f"wanted the id of a case, found '{case}'" in capsys.readouterr().err
    assert Baselines(results).path.read_text() == before


def test_accept_closes_alarms_and_begins_a_segment(results, capsys):
    Ledger(results).raise_alarm(Alarm(NAME, "single_scale.image_auroc", 0.05, head=COMMITS[2]))
    place = ["--results-dir", str(results)]
    assert main(["accept", f"{NAME}-s0", "--reason", "larger images", *place]) == 0
    assert "git add" in capsys.readouterr().out
    assert [alarm.verdict for alarm in Ledger(results).alarms] == ["accepted"]
    assert Baselines(results).segment(NAME) == []


def test_to_accept_a_mean_is_to_accept_its_categories(tmp_path, capsys):
    parts = [f"surface.{name}" for name in ("woven", "grid")]
    baselines = Baselines(tmp_path)
    others = ("surface.all", "tiny.tile")  # one model for all categories is no category
    baselines.add([run_of(make(data=data)) for data in (*parts, *others)])
    mean = NAME.replace("woven", "mean_of_2")
    Ledger(tmp_path).raise_alarm(Alarm(mean, "single_scale.image_auroc", 0.01))
    assert main(["accept", mean, "--reason", "new data", "--results-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("its baseline starts over") == 2
    assert [alarm.verdict for alarm in Ledger(tmp_path).alarms] == ["accepted"]
    left = Baselines(tmp_path)
    names = [run.series.configuration for run in left.runs]
    assert [name for name in names if left.segment(name)] == [
        NAME.replace("surface.woven", data) for data in others
    ]


def test_an_alarm_belongs_to_its_baseline(results, capsys):
    """A branch that is measured against itself says nothing about a loss against main."""
    alarm = Alarm(NAME, "single_scale.image_auroc", 0.05, head=COMMITS[2])
    ledger = Ledger(results)
    assert ledger.raise_alarm(alarm)
    assert ledger.raise_alarm(replace(alarm, baseline="branch"))
    Baselines(results, "branch").add(Baselines(results).runs)
    branch = ["--baseline", "branch", "--results-dir", str(results)]
    assert main(["history", NAME, *branch]) == 0
    assert capsys.readouterr().out.count("alarm") == 1
    assert main(["accept", NAME, "--reason", "a branch", *branch]) == 0
    verdicts = {alarm.baseline: alarm.verdict for alarm in Ledger(results).alarms}
    assert verdicts == {"main": "", "branch": "accepted"}
    assert len(Baselines(results).segment(NAME)) == 3


def test_a_false_alarm_keeps_the_baseline(results, capsys):
    place = ["--results-dir", str(results)]
    false = ["accept", NAME, "--false-alarm", "--reason", "a neighbor", *place]
    assert main(false) == 2
    assert "no open alarm" in capsys.readouterr().err
    Ledger(results).raise_alarm(Alarm(NAME, "single_scale.image_auroc", 0.05, head=COMMITS[2]))
    assert main(false) == 0
    assert [alarm.verdict for alarm in Ledger(results).alarms] == ["false"]
    assert len(Baselines(results).segment(NAME)) == 3


def test_bisect_without_an_alarm_wants_commits(tmp_path, capsys):
    case = "padim_resnet18-surface.woven-default-scratch-s0"
    place = ["--results-dir", str(tmp_path), "--cache-dir", str(tmp_path / "cache")]
    assert main(["bisect", case, "--device", "cpu", *place]) == 2
    said = capsys.readouterr().err
    assert "--good REV" in said or "not a git repository" in said


@pytest.mark.parametrize("command", ["plan", "nightly"])
def test_a_selection_of_nothing_says_how_to_list_cases(tmp_path, capsys, command):
    assert main([command, "-k", "nothing_like_it", "--results-dir", str(tmp_path)]) == 2
    assert "--collect-only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "code"), [(["plan"], 0), (["bisect", "--good", "HEAD", "--bad", "HEAD"], 2)]
)
def test_a_recipe_that_cannot_be_had_is_named(tmp_path, capsys, command, code):
    """Classifiers take whole images, not tiles."""
    case = "resnet18-digits-default-scratch-s0"
    name, *more = command
    place = ["--results-dir", str(tmp_path), "--cache-dir", str(tmp_path / "cache")]
    chosen = ["-k", "digits and resnet18"] if name == "plan" else [case, *more]
    options = ["--device", "cpu", "--profile", "smoke", "--tiles", "2x2"]
    assert main([name, *chosen, *options, *place]) == code
    said = capsys.readouterr()
    assert "tiles" in said.out + said.err or "not a git repository" in said.err


def fake_nightly(settings, baseline="main"):
    ledger, options = Ledger(settings.results_dir), NightOptions(baseline=baseline)
    return SimpleNamespace(settings=settings, store=None, ledger=ledger, options=options)


def test_the_commands_of_a_nightly_run_name_its_baseline(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(after_session, "write_results", lambda *_: [])
    night = Journals(tmp_path / "runs").begin("2026-01-02", "c" * 40, False, "all", Plan())
    night.add_findings(
        NAME, [Finding(NAME, "single_scale.image_auroc", "regressed", 0.95, 0.91, 0.04)]
    )
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)
    nightly_module._close(fake_nightly(settings, "branch"), Verdicts(night))
    page = (tmp_path / "nightly" / "2026-01-02.md").read_text()
    for text in (capsys.readouterr().out, page):
        for command in ("bisect", "accept"):
            assert f"python -m bench {command} {NAME} --baseline branch" in text


def test_a_page_that_cannot_be_written_costs_no_verdict(monkeypatch, tmp_path, capsys):
    def failing(*_):
        raise RuntimeError("a study's report")

    monkeypatch.setattr(after_session, "write_results", failing)
    journals = Journals(tmp_path / "runs" / "nightly")
    night = journals.begin("2026-01-02", "c" * 40, False, "all", Plan())
    verdicts = Verdicts(night)
    night.add_findings(
        NAME, [Finding(NAME, "single_scale.image_auroc", "regressed", 0.95, 0.91, 0.04)]
    )
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)
    nightly = fake_nightly(settings)
    assert nightly_module._close(nightly, verdicts) == REGRESSION_EXIT
    assert journals.unfinished() is None
    said = capsys.readouterr().out
    assert said.startswith("REGRESSED")
    assert "could not be written (RuntimeError: a study's report)" in said
    assert "REGRESSED" in (tmp_path / "nightly" / "2026-01-02.md").read_text()


@pytest.mark.parametrize(("outcome", "code"), [("regressed", 10), ("ok", 11)])
def test_a_nightly_run_whose_report_cannot_be_written_does_not_end(
    monkeypatch, tmp_path, capsys, outcome, code
):
    monkeypatch.setattr(after_session, "write_results", lambda *_: [])
    journals = Journals(tmp_path / "runs" / "nightly")
    night = journals.begin("2026-01-02", "c" * 40, False, "all", Plan())
    night.add_findings(NAME, [Finding(NAME, "single_scale.image_auroc", outcome, 0.95, 0.91, 0.04)])
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)
    nightly = fake_nightly(settings)
    (tmp_path / "nightly").write_text("stands for a full disk")
    assert nightly_module._close(nightly, Verdicts(night)) == code
    assert "report       could not be written" in capsys.readouterr().out
    again = journals.unfinished()
    assert again.findings == night.findings
    (tmp_path / "nightly").unlink()
    nightly_module._close(nightly, Verdicts(again))
    assert (tmp_path / "nightly" / "2026-01-02.md").is_file()
    assert journals.unfinished() is None


def test_a_nightly_run_that_can_write_nothing_says_so(monkeypatch, tmp_path, capsys):
    def full(self, asked):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Nightly, "run", full)
    words = ["nightly", "--device", "cpu", "--profile", "smoke", "-k", "digits and resnet18"]
    assert main([*words, "--results-dir", str(tmp_path)]) == INFRASTRUCTURE_EXIT
    assert "No space left on device. The same command" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("2h", 7200), ("90m", 5400), ("45", 45)])
def test_durations(text, seconds):
    assert duration(text) == seconds


def test_a_wrong_duration_says_what_is_wanted(capsys):
    with pytest.raises(SystemExit):
        main(["nightly", "--budget", "soon"])
    assert "2h, 90m or 600s" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["history"], ["accept", "--reason", "new data"]])
def test_a_ledger_of_another_version_costs_no_command(results, capsys, command):
    append_object(Ledger(results).path, {"alarm": {"configuration": NAME, "severity": 3}})
    name, *more = command
    assert main([name, NAME, *more, "--results-dir", str(results)]) == 0
    assert capsys.readouterr().err.count("written by another version of the program") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"fit": "pad"},
        {"image_size": (256, 640)},
        {"tiles": (2, 2)},
        {"precision": "bf16"},
        {"bits": 12},
        {"split_by": "[^_]+"},
        {"pixel_metrics": "histogram"},
        {"measurements": False},
        {"seed_base": 7},
        {"tiles": (2, 2), "overlap": 16},
    ],
)
def test_a_killed_night_goes_on_with_the_same_options_alone(tmp_path, changes):
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path, tiles=(1, 2))
    how, cases = NightOptions(), [make(seed=seed).case for seed in range(2)]
    asked = nightly_module._asked("", how, settings, cases)
    assert nightly_module._asked("", how, replace(settings, panels=True), cases[::-1]) == asked
    assert nightly_module._asked("", how, replace(settings, **changes), cases) != asked


@pytest.mark.parametrize("changes", [{"budget_s": 60.0}, {"canaries": 0}, {"busy": True}])
def test_a_killed_night_goes_on_with_the_same_cases_and_night_options_alone(tmp_path, changes):
    """Recipes, shots and augmentations select cases as -k does."""
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)
    cases = [make(seed=seed).case for seed in range(2)]
    asked = {
        nightly_module._asked("", how, settings, chosen)
        for how in (NightOptions(), NightOptions(**changes))
        for chosen in (cases, cases[:1], cases[1:])
    }
    assert len(asked) == 6
