"""The picture of ``history CASE --picture FILE``: values, levels, alarms."""

import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fake_records import make
from plot_pixels import near, pixels

from bench.__main__ import main
from bench.next_steps import extra_command
from bench.plots.style import BLUE, ORANGE, VERMILION
from bench.regression.baselines import Baselines, run_of
from bench.regression.ledger import Alarm, Ledger

NAME = "rd_resnet18-surface.woven-default-pretrained"


@pytest.fixture
def weeks(tmp_path):
    """Runs of twenty weeks, two per week, that lose three points in the middle."""
    baselines, first = Baselines(tmp_path), datetime(2026, 1, 6, tzinfo=UTC)
    rng = np.random.default_rng(0)
    for number in range(40):
        auroc = 0.95 - 0.03 * (number >= 20) + rng.normal(0, 0.003)
        moment = (first + timedelta(days=3.5 * number)).isoformat()
        baselines.add([run_of(make(auroc=auroc, finished=moment), str(number))])
    return tmp_path


def draw(results, picture):
    command = ["history", NAME, "--quantity", "single_scale.image_auroc", "--picture", str(picture)]
    return main([*command, "--results-dir", str(results)])


def test_a_picture_shows_values_levels_and_events(weeks, tmp_path, capsys):
    Ledger(weeks).raise_alarm(Alarm(NAME, "single_scale.image_auroc", 0.03, raised="2026-03-20"))
    assert draw(weeks, tmp_path / "new" / "history.png") == 0
    assert "history.png" in capsys.readouterr().out
    drawn = pixels(tmp_path / "new" / "history.png")
    assert near(drawn, BLUE).sum() > 500
    assert near(drawn, VERMILION).sum() > 50
    assert near(drawn, ORANGE).sum() > 500


def test_a_picture_without_ruptures_says_how_to_get_levels(weeks, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ruptures", None)
    assert draw(weeks, tmp_path / "history.png") == 0
    assert extra_command("history") in capsys.readouterr().out
    drawn = pixels(tmp_path / "history.png")
    assert near(drawn, BLUE).sum() > 500
    assert near(drawn, ORANGE).sum() == 0
