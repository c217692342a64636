"""What stands around the tables: the kind of run, and why cells are empty."""

import re

import pytest
from fake_records import make

from bench.metrics.catalog import METRICS
from bench.report.leaderboard import leaderboard_markdown, summary_rows
from bench.report.leaderboard_tables import COST_COLUMNS

WHOLE = {"measurements": dict.fromkeys(COST_COLUMNS, 5.0)}
ALL_METRICS = {name: 0.5 for name, m in METRICS.items() if m.task == "anomaly"}


def section(records, heading="## Profile"):
    return leaderboard_markdown(records).partition(heading)[2]


@pytest.mark.parametrize(
    ("fields", "words", "absent"),
    [
        ({}, ["smoke run", "measures no model", "one replicate"], ["random weights", "budget ("]),
        ({"pretrained": False}, ["random weights"], []),
        ({"protocol": {"images_seen": 500}}, ["part of their budget (25 %)"], []),
        ({"profile": "standard"}, ["read with care: one replicate"], ["smoke"]),
        ({"profile": "standard", "model": "dfm_resnet18"}, ["whole budget"], ["care"]),
    ],
)
def test_a_section_opens_with_the_kind_of_run(fields, words, absent):
    opening = section([make(**fields)]).split("\n\n")[1].splitlines()[0]
    assert all(word in opening for word in words)
    assert not any(word in opening for word in absent)


def test_the_terminal_says_that_a_smoke_run_measures_no_model():
    assert "measures no model" in summary_rows([make()])[0]
    assert not any("smoke" in row for row in summary_rows([make(profile="standard")]))


@pytest.mark.parametrize("model", ["rd_resnet18", "dfm_resnet18", "dfkde_resnet18"])
@pytest.mark.parametrize("name", ["train_flops", "train_rise_device_bytes", "latency_p50_ms"])
@pytest.mark.parametrize("everywhere", [True, False])
def test_every_empty_cell_of_the_cost_table_says_why(model, name, everywhere):
    measured = {key: value for key, value in WHOLE["measurements"].items() if key != name}
    records = [make(model, measurements=measured)]
    if not everywhere:
        records.append(make("padim_resnet18", **WHOLE))
    text = section(records, "### Study `anomaly_zoo`").partition("\n### Study")[0]
    text = text.partition("**Cost**")[2]
    heading = COST_COLUMNS[name][0]
    (line,) = (x for x in text.splitlines() if x.startswith("- Empty,") and heading in x)
    assert (f"{model} pretrained" in line) == (not everywhere)
    assert (heading in text.partition("- Empty")[0]) == (not everywhere)


def test_reasons_of_a_measurement_are_said_once_and_in_its_table():
    record = make(
        measurements={"parameters": 5.0, "inference_flops": None},
        reasons={"inference_flops": "cdist has no counter"},
    )
    text = section([record], "### Study `anomaly_zoo`").partition("### Study")[0]
    assert text.count("cdist has no counter") == 1
    assert "- Empty, cdist has no counter: FLOPs, inference" in text


def test_a_disturbed_speed_is_left_out_with_its_reason():
    record = make(**WHOLE)
    record.environment["busy"] = True
    text = section([record])
    assert "- Empty, on a machine that others used:" in text
    assert "Latency p50" in text


def test_the_crop_alone_is_a_table_that_does_not_rank():
    plain = [make("padim_resnet18", seed=n, metrics=ALL_METRICS) for n in range(3)]
    cropped = [make("patchcore_320", seed=n, auroc=0.8) for n in range(3)]
    for record in cropped:
        record.metrics["score_crop"] = {"image_auroc": 0.95}
    text = section([*plain, *cropped], "### Study `anomaly_zoo`")
    whole, _, crop = text.partition("**Quality within the center crop** (does not rank)")
    assert "80.00" in whole
    assert "95.00" not in whole
    (row,) = (x for x in crop.splitlines() if x.startswith("| patchcore_320") and "95.00" in x)
    assert not re.search(r"\*\*95", row)
    assert "center crop" not in section(plain, "### Study")
