"""A study is a question over cases: two may share a model, and a third may come from outside."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from fake_mixing import classified
from fake_records import make
from read_markdown import details

from bench import studies
from bench.metrics.catalog import METRICS, Metric, register_metric
from bench.report.leaderboard import leaderboard_csv, leaderboard_markdown, summary_rows
from bench.selection import all_cases, keywords
from bench.settings import Settings
from bench.study import Study
from models.catalog import MODELS

SETTINGS = Settings("smoke", "cpu", (), (), Path(), Path())


@pytest.fixture
def register(monkeypatch):
    """Return ``register_study``; what it adds is removed after the test."""
    monkeypatch.setattr(studies, "_STUDIES", own := dict(studies.STUDIES))
    for module in ("bench.studies", "bench.selection"):
        monkeypatch.setattr(f"{module}.STUDIES", own)
    for module in ("board", "leaderboard", "leaderboard_csv", "leaderboard_notes"):
        monkeypatch.setattr(f"bench.report.{module}.STUDIES", own)
    return studies.register_study


def outside(name="drift", **fields):
    fields = {"models": ("rd_resnet18",), "datasets": ("surface",), **fields}
    return Study(name, "anomaly", "Does it drift?", **fields)


def lines_of(records, study):
    lines = csv.DictReader(leaderboard_csv(records).splitlines())
    return [line for line in lines if line["study"] == study and line["kind"] == "run"]


def section(records, study):
    text = leaderboard_markdown(records)
    return text.partition(f"## Study `{study}`")[2].partition("\n## ")[0]


def test_a_model_in_two_studies_has_one_case_and_a_row_in_each():
    cases = all_cases(SETTINGS, {})
    ids = [case.id for case in cases if case.model == "rd_resnet18" and case.dataset == "surface"]
    assert len(ids) == len(set(ids))
    assert "rd_resnet18-surface.woven-default-pretrained-s0" in ids
    record = make("rd_resnet18", multi={"image_auroc": 0.75})
    (own,) = lines_of([record], "anomaly_zoo")
    assert (own["head"], own["image_auroc"], own["rank"]) == ("multi_scale", "0.75", "")
    records = [make("rd_resnet18", seed=seed) for seed in range(3)]
    heads = [(line["head"], line["rank"]) for line in lines_of(records, "rd_backbone")]
    assert heads == [("single_scale", "1"), ("multi_scale", "")]


def test_a_registered_study_selects_reports_and_ranks(register):
    before = {case.id for case in all_cases(SETTINGS, {})}
    register(outside(ranking="f1", columns=("f1",), report=lambda study, runs: ["It drifts."]))
    cases = all_cases(SETTINGS, {})
    assert {case.id for case in cases} == before
    assert len(cases) == len(before)
    records = [
        make(pretrained=pretrained, seed=seed, multi={"f1": f1 + 0.01 * seed})
        for pretrained, f1 in ((True, 0.5), (False, 0.8))
        for seed in range(3)
    ]
    text = section(records, "drift")
    assert "It drifts." in text
    assert "`drift`: Does it drift?" in leaderboard_markdown(records)
    assert not any(
        "Image AUROC" in t.headings for t in details(leaderboard_markdown(records), "drift")
    )
    ranked = [(line["init"], line["rank"]) for line in lines_of(records, "drift")]
    assert ranked == [("scratch", "1"), ("pretrained", "2")]


@pytest.mark.parametrize("name", ["rd_backbone", "Drift!", ""])
def test_register_study_refuses_taken_and_odd_names(register, name):
    with pytest.raises(ValueError, match="study"):
        register(outside(name))


def test_an_unknown_model_is_an_error_only_when_cases_are_expanded(register):
    register(study := outside(models=("rd_resnet81",)))
    with pytest.raises(ValueError, match="rd_resnet81"):
        list(study.cases({"surface": ["woven"]}))


def test_a_registered_model_joins_the_zoo(monkeypatch):
    entry = MODELS["padim_resnet18"]
    monkeypatch.setattr("bench.study.MODELS", {**MODELS, "mine": entry})
    assert studies.STUDIES["anomaly_zoo"].selects(make("mine").case)


def test_rows_of_a_plugins_model_stay_without_the_plugin():
    records = [make("long_gone", pretrained=False, auroc=0.9375), make(auroc=0.9)]
    zoo = section(records, "anomaly_zoo")
    row = next(line for line in zoo.splitlines() if "long_gone" in line)
    assert "93.75" in row
    assert "long_gone" not in leaderboard_markdown(records).partition("## In no table")[2]
    assert lines_of(records, "anomaly_zoo")[0]["model"] == "long_gone"
    assert "long_gone" in "\n".join(summary_rows(records))


def test_runs_that_no_study_shows_are_named():
    record = classified(0.5)
    record = replace(record, case=replace(record.case, model="long_gone"))
    text = leaderboard_markdown([record])
    assert "`long_gone` (1)" in text.partition("## In no table")[2]


def test_a_missing_head_or_metric_is_explained(register):
    register(outside(heads=("single_scale", "fused"), columns=("image_auroc", "recall")))
    text = section([make(metrics={"recall": None})], "drift")
    text = leaderboard_markdown([make(metrics={"recall": None})])
    first, second, *_ = details(text, "drift")
    assert first.row("rd_resnet18")["Recall"].notes == ("Empty: not recorded.",)
    assert second.row("rd_resnet18")["Image AUROC"].notes == ("Empty: not recorded.",)


@pytest.mark.parametrize(
    ("unit", "heading"), [("ms", "Flicker (ms)"), ("%", "Flicker"), ("", "Flicker")]
)
def test_a_unit_is_in_the_heading_unless_it_is_percent_or_none(register, unit, heading):
    metric = Metric("flicker", "Flicker", "image", lambda _: 0.0, unit=unit)
    register_metric(metric)
    try:
        text = leaderboard_markdown([make(metrics={"flicker": 0.5})])
        assert heading in details(text, "rd_backbone")[0].headings
        assert "()" not in text
    finally:
        del METRICS["flicker"]


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_direction_of_a_registered_metric_decides_rank_and_bold(register, higher_is_better):
    name = f"flicker_{higher_is_better}".lower()
    metric = Metric(name, "Flicker", "image", lambda _: 0.0, higher_is_better, unit="ms", digits=1)
    register_metric(metric)
    try:
        register(outside(ranking=name, heads=("single_scale",)))
        records = [
            make(pretrained=pretrained, seed=seed, auroc=0.9, metrics={name: value + 0.01 * seed})
            for pretrained, value in ((True, 2.0), (False, 3.0))
            for seed in range(3)
        ]
        best, worst = ("3.0", "2.0") if higher_is_better else ("2.0", "3.0")
        text = leaderboard_markdown(records)
        rows = details(text, "drift")[0].rows
        found = [(row["Flicker (ms)"].text[:3], row["Flicker (ms)"].bold) for row in rows]
        assert found == [(best, True), (worst, False)]
        assert [row["Rank"].text for row in rows] == ["1", "2"]
        assert "Flicker (ms)" in details(text, "rd_backbone")[0].headings
        plain = details(leaderboard_markdown([make()]), "rd_backbone")
        assert not any("Flicker" in heading for table in plain for heading in table.headings)
        values = [float(line[name]) for line in lines_of(records, "drift")]
        assert values == pytest.approx([float(best) + 0.01, float(worst) + 0.01])
    finally:
        del METRICS[name]


def test_keywords_name_every_study_of_a_case():
    case = make("rd_resnet18").case
    assert {"rd_backbone", "anomaly_zoo", "pretrained"} <= set(keywords(case))
