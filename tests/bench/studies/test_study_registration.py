"""A study registered from outside has its own section; a case of two studies runs once."""

from pathlib import Path

import pytest
from fake_records import make

from bench import studies
from bench.report.leaderboard import leaderboard_markdown
from bench.selection import all_cases
from bench.settings import Settings
from bench.study import Study


@pytest.fixture
def register():
    before = dict(studies._STUDIES)

    def add(name="third", models=("padim_resnet18",), **fields):
        study = Study(name, "anomaly", "A question?", models, ("surface",), **fields)
        studies.register_study(study)
        return study

    yield add
    studies._STUDIES.clear()
    studies._STUDIES.update(before)


def section(text, name):
    return text.partition(f"### Study `{name}`")[2].partition("### Study")[0]


def test_a_model_of_two_studies_runs_once_and_has_a_row_in_each(register):
    settings = Settings("smoke", "cpu", (), (), Path(), Path())
    before = [case.id for case in all_cases(settings, {})]
    register()
    after = [case.id for case in all_cases(settings, {})]
    assert after == before
    assert len(set(after)) == len(after)
    record = make("padim_resnet18")
    record.metrics = {"score": {"image_auroc": 0.9123}}
    text = leaderboard_markdown([record])
    for name in ("third", "anomaly_zoo"):
        assert "| padim_resnet18 | pretrained |         91.23 |" in section(text, name)


def test_a_studys_own_report_precedes_its_tables(register):
    register(report=lambda study, runs: [f"{study.name}: {len(runs.records)} run"])
    text = section(leaderboard_markdown([make("padim_resnet18")]), "third")
    assert text.index("third: 1 run") < text.index("**Quality")


def test_a_record_without_the_shown_head_says_so(register):
    register(heads=("score",))
    record = make("padim_resnet18")
    record.metrics = {"plain": {"image_auroc": 0.9}}
    text = section(leaderboard_markdown([record]), "third")
    assert "Not recorded for padim_resnet18 pretrained: score" in text


@pytest.mark.parametrize("name", ["third", "Third", "a-b", ""])
def test_names_are_plain_and_unique(register, name):
    register()
    with pytest.raises(ValueError, match="study"):
        register(name)


def test_an_unknown_model_is_an_error_only_when_cases_are_expanded(register):
    study = register(models=("padim_resnet81",))
    with pytest.raises(ValueError, match="padim_resnet81"):
        list(study.cases({"surface": ["woven"]}))
