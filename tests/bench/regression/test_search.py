"""A search refuses a loss that is none, with the values as they are recorded."""

import pytest
from fake_records import make

from bench.regression.bisection import BisectionError
from bench.regression.measures import QUALITY, SPEED
from bench.regression.search import Question, Search
from bench.settings import Settings


def search(tmp_path, quantity, said):
    question = Question(make().case, quantity, "a" * 40, "b" * 40, fixed=True)
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)
    return Search(question, settings, ["models/padim.py"], said.append)


def test_levels_are_said_as_they_are_recorded(tmp_path):
    said = []
    at = QUALITY.transform([0.95, 0.91])
    search(tmp_path, "score.image_auroc", said)._check_loss(*map(float, at))
    assert said == ["good aaaaaaaaaa  95.00 %\nbad  bbbbbbbbbb  91.00 %"]


def test_no_loss_is_no_search(tmp_path):
    said = []
    with pytest.raises(BisectionError, match=r"not worse at bbbbbbbbbb \(95\.00 %\)"):
        search(tmp_path, "score.image_auroc", said)._check_loss(
            *[float(QUALITY.transform(0.95))] * 2
        )
    # A latency is recorded in ms and compared as its inverse.
    slow, quick = (float(SPEED.transform(1 / ms)) for ms in (25.0, 20.0))
    with pytest.raises(BisectionError, match=r"\(20 ms\).*\(25 ms\)"):
        search(tmp_path, "latency_p50_ms", said)._check_loss(slow, quick)
