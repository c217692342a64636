"""A session on the solar cells of the installed package, as README's command runs it."""

from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("elpv_dataset") is None, reason="elpv-dataset is not installed (extra data)"
    ),
]


def test_a_session_on_solar_cells_has_image_metrics_and_says_why_there_are_no_pixel_ones(
    run_session, session_options, store
):
    options = [*session_options, "--image-size", "64", "--no-measurements"]
    words = "elpv and padim_resnet18- and scratch and s0"
    result = run_session("bench", *options, "-k", words)
    assert result.ret == 0, result.outlines
    records = list(store.records())
    assert {record.case.category for record in records} == {"mono", "poly"}
    for record in records:
        assert record.status == "ok"
        scores = record.metrics["score"]
        assert 0 < scores["image_auroc"] < 1
        assert scores.get("pixel_auroc") is None
        assert any("mask" in reason for reason in record.reasons.values())
