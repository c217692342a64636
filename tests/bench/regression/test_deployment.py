"""The files for GitHub Actions and systemd: their syntax, and that their commands exist."""

import configparser
import re
import shlex
import shutil
import subprocess

import pytest

from bench.commands import nightly
from bench.commands.command import CommandParser


def parse(text):
    """Parse the command that follows ``python -m bench``."""
    words = shlex.split(text.replace("\\\n", " "))
    parser = CommandParser()
    parser.add_argument("--plugin", action="append", default=[])
    nightly.add(parser.add_subparsers())
    return parser.parse_args(words[words.index("bench") + 1 :])


def test_the_workflows_syntax_and_commands(root):
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((root / ".github/workflows/nightly.yml").read_text())
    assert workflow[True]["schedule"]  # YAML 1.1 reads "on" as true
    commands = []
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            commands += [step["run"]] if "bench nightly" in step.get("run", "") else []
        checkout = job["steps"][0]
        assert checkout["with"]["fetch-depth"] == 0  # confirming needs the history
    assert [parse(command).bench_profile for command in commands] == ["smoke", "standard"]


def test_the_timers_syntax_and_command(root):
    folder = root / "packaging" / "systemd"
    units = {}
    for name in ("service", "timer"):
        unit = configparser.ConfigParser(strict=True, interpolation=None)
        unit.optionxform = str
        unit.read_string((folder / f"proving-ground-nightly.{name}").read_text())
        units[name] = unit
    assert re.fullmatch(r"\*-\*-\* \d\d:\d\d:\d\d", units["timer"]["Timer"]["OnCalendar"])
    options = parse(units["service"]["Service"]["ExecStart"])
    assert options.budget == 6 * 3600
    assert options.bench_seeds == 3


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_systemd_accepts_the_timer(root):
    expression = "*-*-* 02:17:00"
    assert expression in (root / "packaging/systemd/proving-ground-nightly.timer").read_text()
    subprocess.run(["systemd-analyze", "calendar", expression], check=True, capture_output=True)
