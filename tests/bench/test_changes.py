"""Fields of a recipe that a user changes."""

from dataclasses import replace

import pytest

from bench.changes import FIELDS, change_recipe, checked_changes, parse_change
from bench.protocol import PROFILES, resolve
from models.catalog import MODELS

ENTRY = MODELS["stfpm_resnet18"]
STANDARD = PROFILES["standard"]


def test_a_change_to_what_is_so_already_is_none():
    plain = resolve(ENTRY, "baseline", STANDARD)
    same = resolve(ENTRY, "baseline", STANDARD, changes={"epochs": 100, "batch_size": 16})
    assert (same.hash, same.changed) == (plain.hash, {})


def test_epochs_take_the_place_of_a_budget_in_images():
    smoke = resolve(ENTRY, "baseline", PROFILES["smoke"], changes={"epochs": 3})
    assert (smoke.images_seen, smoke.total_images(10)) == (None, 30)
    entry = MODELS["efficientad_small"]
    plan = resolve(entry, "baseline", PROFILES["paper"], changes={"epochs": 3})
    assert plan.total_images(10) == 30
    assert plan.changed["images"] == 70_000


@pytest.mark.parametrize(
    ("model", "recipe", "profile", "own"),
    [
        ("rd_convnext_cnblock", "baseline", "standard", 5),
        ("resnet50", "modern", "standard", 5),
        ("cflow_resnet18", "baseline", "paper", 16),
    ],
)
def test_with_fewer_epochs_at_most_a_tenth_of_them_is_warm_up(model, recipe, profile, own):
    def plan(**changes):
        return resolve(MODELS[model], recipe, PROFILES[profile], changes=changes)

    short = plan(epochs=4)
    assert (short.recipe.warmup_epochs, short.changed["warmup_epochs"]) == (0.4, own)
    assert plan(epochs=500).recipe.warmup_epochs == plan().recipe.warmup_epochs == own
    asked = plan(epochs=4, warmup_epochs=3.0)
    assert asked.recipe.warmup_epochs == 3
    assert plan(epochs=4, warmup_epochs=0.4).hash == short.hash


def test_warm_ups_of_unchanged_recipes_are_their_own():
    for entry in MODELS.values():
        for name, recipe in entry.recipes.items():
            for profile in ("smoke", "standard", "original"):
                plan = resolve(entry, name, PROFILES[profile])
                assert plan.recipe.warmup_epochs == recipe.warmup_epochs


def test_the_standard_profile_shortens_a_warm_up_with_its_recipe():
    entry = replace(MODELS["rd_convnext_cnblock"], standard_epochs=5)
    assert resolve(entry, "baseline", STANDARD).recipe.warmup_epochs == 0.5


def test_one_pass_models_have_options_alone_to_change():
    recipe = MODELS["patchcore"].recipes["anomalib"]
    changed, before = change_recipe(recipe, {"epochs": 9, "options": {"neighbors": 5}})
    assert changed.epochs == recipe.epochs
    assert changed.options == {**recipe.options, "neighbors": 5}
    assert before == {"options": recipe.options}


def test_every_field_of_every_recipe_can_be_set_to_what_it_is():
    for entry in MODELS.values():
        for recipe in entry.recipes.values():
            own = {name: getattr(recipe, name) for name in FIELDS if hasattr(recipe, name)}
            assert replace(recipe, **checked_changes(own)) == recipe


def test_a_change_is_read_from_the_command_line():
    assert parse_change("betas=(0.5,0.9)") == ("betas", (0.5, 0.9))
    assert parse_change("patience=None") == ("patience", None)
    for wrong in ("epochs", "epochs="):
        with pytest.raises(ValueError, match="FIELD=VALUE"):
            parse_change(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"betas": 0.5},
        {"betas": (0.1, 0.2, 0.3)},
        {"amsgrad": 1},
        {"optimizer": None},
        {"options": 3},
        {"batch_size": True},
        {"lr": float("nan")},
    ],
)
def test_a_value_of_another_kind_is_refused(wrong):
    with pytest.raises(ValueError, match="wanted"):
        checked_changes(wrong)


def test_the_protocols_own_later_fields_move_the_hash_unless_they_say_nothing():
    plain = resolve(ENTRY, "baseline", STANDARD)
    assert resolve(ENTRY, "baseline", STANDARD, seed_base=ENTRY.seed_base).hash == plain.hash
    others = [
        resolve(ENTRY, "baseline", STANDARD, **field).hash
        for field in ({"seed_base": 7}, {"normalize": False}, {"resumed_from": "ab"})
    ]
    assert len({plain.hash, *others}) == 4
