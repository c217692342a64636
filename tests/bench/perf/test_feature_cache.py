"""The comparison of training with and without cached features."""

from types import SimpleNamespace

import pytest
from case_names import case_named

from bench.perf import feature_cache


def test_a_row_has_the_backbone_and_a_pass_of_either_side():
    cached = SimpleNamespace(
        measurements={"train_images_per_s_cached": 100.0, "train_images_per_s": 25.0},
        charges={"train_images_per_s": {"optimizer step": 0.08, "frozen backbone": 0.24}},
    )
    recomputed = SimpleNamespace(measurements={"train_images_per_s_cached": 20.0})
    name, *numbers = feature_cache.row("a_flow", cached, recomputed)
    assert name == "a_flow"
    assert numbers == pytest.approx([30.0, 10.0, 50.0, 5.0])


def test_its_models_have_cases():
    for model in feature_cache.MODELS:
        assert case_named(f"{model}-surface.woven-default-scratch-s0").model == model
