"""Registration of models and weights."""

from dataclasses import replace

import pytest

import models.catalog
from models.catalog import MODELS, WEIGHTS, register_model, register_weights
from models.components.base import AnomalyModel

ENTRY = replace(MODELS["padim_resnet18"], name="mine")


@pytest.fixture(autouse=True)
def _own_registry():
    """Undo a test's registrations."""
    registries = [getattr(models.catalog, name) for name in ("_models", "_weights", "_origins")]
    before = [dict(registry) for registry in registries]
    yield
    for registry, content in zip(registries, before, strict=True):
        registry.clear()
        registry.update(content)


def test_registered_model_is_in_the_catalog_and_outsiders_cannot_write():
    register_model(ENTRY)
    assert MODELS["mine"] is ENTRY
    with pytest.raises(TypeError):
        MODELS["other"] = ENTRY


def test_duplicate_names_both_origins():
    register_model(ENTRY)
    with pytest.raises(ValueError, match=r"'mine'.*test_catalog.py.*test_catalog.py"):
        register_model(ENTRY)
    with pytest.raises(ValueError, match=r"catalog/__init__.py.*test_catalog.py"):
        register_model(replace(ENTRY, name="padim"))
    with pytest.raises(ValueError, match="Two weights"):
        register_weights(WEIGHTS["resnet18.tv_in1k"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "my-model"}, "found 'my-model'"),
        ({"name": "Mine"}, "lower-case"),
        ({"weights": "resnet19"}, "found 'resnet19'"),
        ({"recipes": {"tuned": ENTRY.recipes["baseline"]}}, "'baseline'"),
        ({"heads": ()}, "heads"),
    ],
)
def test_malformed_entries_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        register_model(replace(ENTRY, **change))
    assert "mine" not in MODELS


def test_every_license_names_the_page_that_states_it_and_unknown_ones_say_so():
    for entry in WEIGHTS.values():
        assert entry.license_page.startswith("https://"), entry.tag
        if entry.license:
            assert entry.license_text == entry.license
        else:
            assert entry.license_text == f"unknown: see {entry.license_page}"
    # torchvision states none for its weights, and nobody publishes copies of these with one.
    assert not WEIGHTS["convnext_tiny.tv_in1k"].license
    assert not WEIGHTS["efficientnet_b5.tv_in1k"].license
    assert replace(WEIGHTS["resnet18.tv_in1k"], license="").license_text.startswith("unknown: see")


def test_weights_registered_first_can_be_named_by_a_model():
    register_weights(replace(WEIGHTS["resnet18.tv_in1k"], tag="resnet18.mine"))
    register_model(replace(ENTRY, weights="resnet18.mine"))
    assert MODELS["mine"].weights in WEIGHTS


def test_build_may_be_a_function_or_its_path():
    assert replace(ENTRY, build=AnomalyModel).load_build() is AnomalyModel
    assert replace(ENTRY, build="models.components.base:AnomalyModel").load_build() is AnomalyModel
