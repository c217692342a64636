"""The tidy frame has one row per record, with its values unchanged."""

import random

import pytest
from fake_records import make

from bench.aggregate.frame import comparable_runs, tidy_frame


def test_a_record_is_a_row_with_its_axes_and_values():
    record = make("rd_resnet50.same", "mvtec.screw", 2, 0.875, multi={"f1": 0.5})
    (line,) = tidy_frame([record]).to_dict("records")
    assert line["record"] is record
    assert (line["dataset"], line["category"], line["replicate"]) == ("mvtec", "screw", 2)
    assert (line["variant"], line["init"]) == ("rd_resnet50.same", "pretrained")
    assert (line["single_scale.image_auroc"], line["multi_scale.f1"]) == (0.875, 0.5)
    assert (line["inference_images_per_s"], line["share"]) == (123.4, 1.0)


def test_rows_are_sorted_by_age_whatever_the_order():
    records = [make(seed=n, finished=f"2026-01-0{n + 1}T00:00:00+00:00") for n in range(5)]
    expected = [record.key.id for record in records]
    random.Random(0).shuffle(records)
    assert list(tidy_frame(records).id) == expected


@pytest.mark.parametrize("count", [0, 1])
def test_no_record_is_an_empty_frame(count):
    frame = tidy_frame([make()] * count)
    assert len(frame) == count
    assert {"dataset", "category", "variant", "record"} <= set(frame)
    assert len(comparable_runs([make()] * count)) == count


@pytest.mark.parametrize(
    ("name", "kept"),
    [("inference_images_per_s", False), ("latency_p50_ms", False), ("parameters", True)],
)
def test_speeds_of_a_shared_machine_are_missing(name, kept):
    record = make(measurements={name: 5.0})
    record.environment["exclusive"] = False
    value = tidy_frame([record])[name].iloc[0]
    assert (value == 5.0) == kept
