"""Tidy rows: one per record, with its values unchanged."""

import random

import pytest
from fake_records import make

from bench.aggregate.conditions import deviations, share_of_paper
from bench.aggregate.frame import comparable_runs, lines_of, recency_key
from bench.protocol import PROFILES, resolve
from models.catalog import MODELS

SMOKE = PROFILES["smoke"]


def test_a_record_is_a_row_with_its_axes_and_values():
    record = make("rd_resnet50.same", "mvtec.screw", 2, 0.875, multi={"f1": 0.5})
    (line,) = lines_of([record])
    assert line["record"] is record
    assert (line["dataset"], line["category"], line["replicate"]) == ("mvtec", "screw", 2)
    assert (line["variant"], line["init"]) == ("rd_resnet50.same", "pretrained")
    assert (line["single_scale.image_auroc"], line["multi_scale.f1"]) == (0.875, 0.5)
    assert (line["inference_images_per_s"], line["share"]) == (123.4, 1.0)


@pytest.mark.parametrize(
    ("profile", "changes", "share", "of_paper"),
    [
        ("standard", {}, 1, 0.2),
        ("standard", {"batch_size": 4}, 1, 0.2),
        ("standard", {"epochs": 50}, 0.5, 0.1),
        ("original", {}, 1, 1),
        ("paper", {"epochs": 50}, 0.1, 0.1),
    ],
)
def test_the_budget_is_a_share_of_the_profiles_and_of_the_papers(profile, changes, share, of_paper):
    """FastFlow trains for 500 passes, and for 100 in `standard`."""
    protocol = resolve(MODELS["fastflow"], "baseline", PROFILES[profile], changes=changes).as_dict()
    record = make("fastflow", profile=profile, protocol=protocol)
    assert lines_of([record])[0]["share"] == pytest.approx(share)
    assert share_of_paper(record) == pytest.approx(of_paper)


@pytest.mark.parametrize("profile", ["standard", "original", "paper"])
def test_every_unchanged_run_can_rank(profile):
    zoo = [entry for entry in MODELS.values() if entry.task == "anomaly"]
    for entry, recipe in [(model, name) for model in zoo for name in model.recipes]:
        protocol = resolve(entry, recipe, PROFILES[profile]).as_dict()
        name = entry.name if recipe == "baseline" else f"{entry.name}.{recipe}"
        record = make(name, profile=profile, protocol=protocol)
        assert deviations([record]) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"epochs": 4}, []),
        ({"epochs": 4, "warmup_epochs": 3.0}, ["warmup_epochs"]),
        ({"epochs": 4, "lr": 1.0}, ["lr"]),
        ({"warmup_epochs": 3.0}, ["warmup_epochs"]),
    ],
)
def test_a_warm_up_that_follows_fewer_epochs_is_no_other_recipe(changes, named):
    entry = MODELS["rd_convnext_cnblock"]
    protocol = resolve(entry, "baseline", PROFILES["standard"], changes=changes).as_dict()
    record = make(entry.name, profile="standard", protocol=protocol)
    reasons = [reason for reason in deviations([record]) if "own budget" not in reason]
    assert reasons == [f"its recipe was changed: {name}" for name in named]
    assert lines_of([record])[0]["unchanged"] == (not named)


def test_rows_are_sorted_by_age_whatever_the_order():
    records = [make(seed=n, finished=f"2026-01-0{n + 1}T00:00:00+00:00") for n in range(5)]
    expected = [record.key.id for record in records]
    random.Random(0).shuffle(records)
    assert [line["id"] for line in lines_of(records)] == expected


@pytest.mark.parametrize("count", [0, 1])
def test_no_record_is_no_line(count):
    assert len(lines_of([make()] * count)) == count
    assert len(comparable_runs([make()] * count)) == count


@pytest.mark.parametrize(
    ("name", "kept"),
    [("inference_images_per_s", False), ("latency_p50_ms", False), ("parameters", True)],
)
def test_speeds_of_a_shared_machine_are_missing(name, kept):
    record = make(measurements={name: 5.0})
    record.environment["exclusive"] = False
    value = lines_of([record])[0][name]
    assert (value == 5.0) == kept


def test_speeds_with_another_number_of_threads_than_most_are_missing():
    records = [make(seed=seed) for seed in range(5)]
    for record, threads in zip(records, (2, 2, 1, 1, 1), strict=True):
        record.environment |= {"threads": threads, "cores": 2}
    records[4].measurements["inference_images_per_s"] = None
    records[3].environment["exclusive"] = False
    speeds = [line["inference_images_per_s"] for line in lines_of(records)]
    assert speeds == [123.4, 123.4, None, None, None]


def test_a_run_on_images_of_another_size_does_not_hide_those_of_the_models_own():
    size = {"image_size": resolve(MODELS["rd_resnet18"], "baseline", SMOKE).image_size}
    whole = [make(seed=seed, protocol=size) for seed in range(3)]
    small = {"image_size": 64}
    look = make(protocol=small, recipe="64 px", finished="2026-01-02T00:00:00+00:00")
    tiled = make(
        protocol={**size, "tiles": [2, 2]}, recipe="tiles", finished="2026-01-03T00:00:00+00:00"
    )
    (runs,) = comparable_runs([*whole, look, tiled])
    assert list(runs.records) == whole
    assert runs.superseded == 2


def test_a_run_with_other_seeds_does_not_hide_those_of_the_catalogs():
    plain = make("padim_resnet18")
    reseeded = make(
        "padim_resnet18",
        recipe="other",
        protocol={"seed_base": 42},
        finished="2026-01-02T00:00:00+00:00",
    )
    (runs,) = comparable_runs([plain, reseeded])
    assert runs.records == (plain,)


@pytest.mark.parametrize(
    "other",
    [
        {"auroc": 0.8},
        {"measurements": {"latency_p50_ms": 2.0}},
        {"recipe": "another"},
        {"notes": {"score.image_auroc": "another"}},
        {"environment": "cpu | torch 2.13"},
    ],
)
def test_of_two_records_that_ended_at_once_the_same_counts_in_any_order(other):
    records = [make("padim_resnet18"), make("padim_resnet18", **other)]
    assert records[0] != records[1]
    assert comparable_runs(records) == comparable_runs(records[::-1])
    ordered = [sorted(order, key=recency_key) for order in (records, records[::-1])]
    assert ordered[0] == ordered[1]
