"""Profiles and hashes: two runs share a hash exactly when every deciding constant is equal."""

import argparse
import json
from dataclasses import fields, replace

import pytest

from bench import arguments
from bench.protocol import (
    PROFILES,
    resolve,
    shape_problem,
)
from bench.recorded_protocol import ADDED_FIELDS, protocol_hash, recorded_shape
from bench.studies.rd_backbone.study import RD_BACKBONE
from bench.studies.rd_backbone.verdict import MAIN_PAIR
from datasets_lib.catalog import DATASETS
from datasets_lib.images.geometry import Geometry
from models.catalog import MODELS, Recipe

ENTRY = MODELS["rd_resnet50"]
TEACHERS = [MODELS[name] for name in RD_BACKBONE.models]


def test_smoke_is_the_studys_smoke():
    plan = resolve(ENTRY, "baseline", PROFILES["smoke"])
    assert (plan.image_size, plan.train_limit, plan.test_limit) == (128, 64, 64)
    other = resolve(MODELS["rd_convnext"], "baseline", PROFILES["smoke"])
    assert other.total_images(58) == 2000


def test_large_students_share_a_smoke_budget_that_options_replace():
    smoke = PROFILES["smoke"]
    large = [MODELS[name] for name in MAIN_PAIR.models]
    assert {resolve(entry, "same", smoke).total_images(58) for entry in large} == {600}
    assert resolve(ENTRY, "baseline", smoke, images_seen=99).total_images(58) == 99
    assert resolve(ENTRY, "baseline", smoke, changes={"epochs": 3}).total_images(58) == 3 * 58
    assert resolve(ENTRY, "baseline", PROFILES["original"]).images_seen is None


def test_seed_is_the_originals_recipe_and_holds_nothing_out():
    plan = resolve(ENTRY, "baseline", PROFILES["original"])
    assert (plan.recipe.optimizer, plan.recipe.lr, plan.recipe.betas) == (
        "adam",
        0.005,
        (0.5, 0.999),
    )
    assert (plan.recipe.batch_size, plan.recipe.epochs, plan.recipe.loss) == (8, 50, "flattened")
    assert not plan.calibration
    assert plan.total_images(209) == 209 * 50


def test_paper_takes_the_papers_recipe_for_the_baseline_alone():
    paper = resolve(ENTRY, "baseline", PROFILES["paper"]).recipe
    assert (paper.batch_size, paper.epochs) == (16, 200)
    same = resolve(ENTRY, "same", PROFILES["paper"]).recipe
    assert (same.optimizer, same.epochs, same.grad_clip) == ("adamw", 100, 1.0)


def test_the_same_arm_is_one_recipe_for_every_model():
    assert len({entry.recipes["same"] for entry in TEACHERS}) == 1


def test_every_model_offers_both_losses():
    for entry in TEACHERS:
        assert {recipe.loss for recipe in entry.recipes.values()} == {"flattened", "per_pixel"}


OTHERS = {"adam": "sgd", "constant": "cosine"}


def other(value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, dict):
        return value | {"more": 1}
    if isinstance(value, int | float):
        return value + 1
    if value in OTHERS:
        return OTHERS[value]
    return (0.1, 0.2) if isinstance(value, tuple) else 7 if value is None else value + "x"


@pytest.mark.parametrize("name", [f.name for f in fields(Recipe) if f.name != "source"])
def test_every_constant_of_a_recipe_moves_the_hash(name):
    plan = resolve(ENTRY, "baseline", PROFILES["standard"])
    changed = replace(plan.recipe, **{name: other(getattr(plan.recipe, name))})
    assert replace(plan, recipe=changed).hash != plan.hash


def test_an_option_of_the_model_moves_the_hash_and_an_arms_takes_the_entrys_place():
    entry = MODELS["patchcore"]
    plain = resolve(entry, "baseline", PROFILES["standard"])
    other = resolve(entry, "anomalib", PROFILES["standard"])
    assert plain.options == {"ratio": 0.1}
    assert other.options["neighbors"] == 9
    assert other.options["ratio"] == 0.1
    assert replace(plan := plain, options={"ratio": 0.2}).hash != plan.hash


def test_a_crop_is_of_the_models_own_share():
    entry = MODELS["patchcore_320"]
    plan = resolve(entry, "baseline", PROFILES["standard"])
    assert (plan.image_size, plan.crop, plan.input_size) == (366, 320, 320)
    small = resolve(entry, "baseline", PROFILES["smoke"])
    assert (small.image_size, small.crop, small.input_size) == (128, 96, 96)
    paper = resolve(MODELS["padim"], "baseline", PROFILES["paper"])
    assert (paper.image_size, paper.crop) == (256, 224)
    assert resolve(MODELS["padim"], "baseline", PROFILES["standard"]).crop is None


@pytest.mark.parametrize(
    ("profile", "multi_class", "images"),
    [("paper", True, 160_000), ("paper", False, 80_000), ("standard", True, 20_000)],
)
def test_one_dinomaly_for_all_categories_trains_twice_as_long(profile, multi_class, images):
    """The paper's 10,000 steps of 16 images in place of 5,000; `original` has epochs."""
    entry = MODELS["dinomaly_base_392"]
    plan = resolve(entry, "baseline", PROFILES[profile], multi_class=multi_class)
    assert plan.total_images(200) == images


def test_budgets_may_be_counted_in_images():
    entry = MODELS["efficientad_small"]
    assert resolve(entry, "baseline", PROFILES["paper"]).total_images(209) == 70_000
    assert resolve(entry, "baseline", PROFILES["original"]).total_images(209) == 20 * 209
    assert resolve(entry, "baseline", PROFILES["standard"]).total_images(209) == 100 * 209
    assert resolve(MODELS["padim"], "baseline", PROFILES["smoke"]).total_images(58) == 58


def test_who_chose_a_recipe_does_not_move_the_hash():
    plan = resolve(ENTRY, "baseline", PROFILES["standard"])
    assert replace(plan, recipe=replace(plan.recipe, source="hearsay")).hash == plan.hash


@pytest.mark.parametrize("option", [{"images_seen": 99}, {"image_size": 64}, {"precision": "bf16"}])
def test_the_callers_own_budget_is_kept_apart(option):
    profile = PROFILES["standard"]
    assert resolve(ENTRY, "same", profile, **option).hash != resolve(ENTRY, "same", profile).hash


@pytest.mark.parametrize("option", [{"images_seen": 99}, {"precision": "bf16"}])
def test_options_of_training_change_nothing_for_a_model_of_one_pass(option):
    for profile in PROFILES.values():
        plain = resolve(MODELS["padim"], "baseline", profile)
        assert resolve(MODELS["padim"], "baseline", profile, **option).hash == plain.hash


@pytest.mark.parametrize(
    "option",
    [
        {"image_size": (128, 256)},
        {"fit": "pad"},
        {"fit": "crop"},
        {"tiles": (2, 3)},
        {"tiles": (2, 3), "overlap": 8},
    ],
)
def test_shapes_are_kept_apart_and_read_back_from_a_record(option):
    plain = resolve(ENTRY, "baseline", PROFILES["standard"])
    plan = resolve(ENTRY, "baseline", PROFILES["standard"], **option)
    assert plan.hash != plain.hash
    fields = json.loads(json.dumps(plan.as_dict()))
    assert protocol_hash(fields, type(plan.recipe)) == plan.hash
    assert recorded_shape(fields) != recorded_shape(plain.as_dict())


def test_the_shapes_of_old_leave_hashes_as_they_are():
    plan = resolve(ENTRY, "baseline", PROFILES["standard"])
    old = {name: value for name, value in plan.as_dict().items() if name not in ADDED_FIELDS}
    assert protocol_hash(old, type(plan.recipe)) == plan.hash
    assert set(ADDED_FIELDS) < set(plan.as_dict())


def test_what_is_padded_cropped_or_tiled_is_not_cropped_again():
    entry, profile = MODELS["patchcore_320"], PROFILES["standard"]
    wide = resolve(entry, "baseline", profile, image_size=(256, 640))
    assert (wide.image_size, wide.crop, wide.input_size) == ((256, 640), (224, 544), (224, 544))
    for option in ({"fit": "pad"}, {"fit": "crop"}, {"tiles": (2, 2)}):
        plan = resolve(entry, "baseline", profile, **option)
        assert (plan.image_size, plan.crop) == (320, None)
        plan = resolve(entry, "baseline", profile, image_size=(256, 640), **option)
        assert (plan.image_size, plan.crop) == ((256, 640), None)


def test_tiles_have_the_size_of_images_and_frames_that_of_all_tiles():
    plan = resolve(ENTRY, "baseline", PROFILES["standard"], tiles=(2, 3), overlap=32, fit="pad")
    assert plan.input_size == 256
    assert plan.frame == Geometry(2 * 256 - 32, 3 * 256 - 64, "pad")
    assert resolve(ENTRY, "baseline", PROFILES["standard"]).frame == Geometry(256, 256)


@pytest.mark.parametrize(
    ("model", "option", "words"),
    [
        ("resnet50", {"image_size": (64, 96)}, "classifies square images"),
        ("resnet50", {"fit": "pad"}, "px, pad"),
        ("resnet50", {"tiles": (1, 2)}, "1x2 tiles"),
        ("padim", {"tiles": (1, 2), "overlap": 129}, "at most 128"),
        ("padim", {"tiles": (1, 2), "overlap": 128}, ""),
        ("padim", {"image_size": (64, 96), "fit": "crop"}, ""),
        ("resnet50", {"image_size": 64}, ""),
    ],
)
def test_shapes_that_no_model_can_take_are_known_beforehand(model, option, words):
    plan = resolve(MODELS[model], "baseline", PROFILES["standard"], native_size=32, **option)
    problem = shape_problem(MODELS[model], plan)
    assert (words in problem) if words else not problem


@pytest.mark.parametrize(
    ("text", "size"),
    [("256", 256), ("256x640", (256, 640)), ("640X256", (640, 256)), ("64×64", 64)],
)
def test_sizes_are_a_side_or_height_and_width(text, size):
    assert arguments.size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0x5", "5x", "x5", "1x2x3", "-4", "1.5", "４"])
def test_other_sizes_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="256x640"):
        arguments.size(text)


def test_grids_are_rows_and_columns():
    assert arguments.grid("2x3") == (2, 3)
    assert arguments.grid("1x1") is None
    for text in ("2", "0x3", "2x", "axb", "2x3x4", "100x1"):
        with pytest.raises(argparse.ArgumentTypeError, match="2x3"):
            arguments.grid(text)


@pytest.mark.parametrize("model", ["resnet50", "vit_small_patch16_224"])
@pytest.mark.parametrize("pretrained", [True, False])
def test_the_mixing_study_is_run_as_specified(model, pretrained):
    entry = MODELS[model]
    plan = resolve(entry, "baseline", PROFILES["original"], pretrained=pretrained, native_size=64)
    recipe = plan.recipe
    assert (recipe.optimizer, recipe.lr, recipe.schedule) == ("adam", 1e-3, "cosine")
    assert (recipe.epochs, recipe.batch_size, recipe.warmup_epochs) == (50, 256, 0)
    assert (recipe.alpha, recipe.label_smoothing, recipe.ema_decay) == (1.0, 0.0, None)
    assert (recipe.base_transform, recipe.weight_decay, entry.seed_base) == ("none", 0.0, 223)
    assert (plan.image_size, plan.images_seen) == (64, None)


def test_starting_from_weights_the_modern_recipe_steps_more_carefully():
    entry = MODELS["resnet50"]
    scratch, tuned = (
        resolve(entry, "modern", PROFILES["standard"], pretrained=pretrained).recipe.lr
        for pretrained in (False, True)
    )
    assert tuned < scratch


def test_classifiers_are_trained_at_the_images_own_size():
    sizes = {name: DATASETS[name].image_size for name in ("cifar100", "tiny_imagenet", "digits")}
    assert sizes == {"cifar100": 32, "tiny_imagenet": 64, "digits": 32}


def test_the_paper_profile_is_modern_for_two_hundred_epochs():
    for model in ("resnet50", "vit_small_patch16_224"):
        plan = resolve(MODELS[model], "baseline", PROFILES["paper"], native_size=32)
        modern = MODELS[model].recipes["modern"]
        assert plan.recipe == replace(modern, epochs=200)
    assert PROFILES["paper"].classification.recipes == ("baseline",)


def test_biases_and_norms_of_classifiers_are_not_decayed():
    import torch

    from bench.run.training.optimization import build_optimizer

    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((3, 2), (3,), (2,))]
    modern = build_optimizer(MODELS["resnet50"].recipes["modern"], [(1.0, parameters)])
    assert [(len(g["params"]), g["weight_decay"]) for g in modern.param_groups] == [
        (1, 5e-4),
        (2, 0.0),
    ]
    same = build_optimizer(MODELS["rd_resnet50"].recipes["same"], [(1.0, parameters)])
    (group,) = same.param_groups
    assert (len(group["params"]), group["weight_decay"]) == (3, 0.01)


def test_groups_have_their_factors_on_the_learning_rate():
    import torch

    from bench.run.training.optimization import build_optimizer

    slow, fast = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    recipe = Recipe(optimizer="adamw", lr=0.1, source="test")
    groups = build_optimizer(recipe, [(1.0, [fast]), (0.25, [slow])]).param_groups
    assert [(group["lr"], group["params"]) for group in groups] == [(0.1, [fast]), (0.025, [slow])]


def test_a_field_added_to_recipes_leaves_the_hashes_of_older_protocols():
    plan = resolve(MODELS["stfpm"], "baseline", PROFILES["standard"])
    older = plan.as_dict()
    del older["recipe"]["final_factor"]
    assert protocol_hash(older, Recipe) == plan.hash
    changed = replace(plan, recipe=replace(plan.recipe, final_factor=0.5))
    assert changed.hash != plan.hash


def test_a_model_that_is_not_trained_says_float32_whatever_the_machine_would_train_in():
    precisions = {
        name: resolve(MODELS[name], "baseline", PROFILES["standard"], precision="bf16").precision
        for name in ("padim_resnet18", "patchcore", "dfm", "stfpm", "rd_resnet18")
    }
    assert precisions == {
        "padim_resnet18": "float32",
        "patchcore": "float32",
        "dfm": "float32",
        "stfpm": "bf16",
        "rd_resnet18": "bf16",
    }


@pytest.mark.parametrize("name", ["rd_resnet18", "rd_resnet50", "autoencoder", "dinomaly_base_392"])
def test_in_the_paper_profile_a_loss_is_not_a_hidden_budget(name):
    entry, paper = MODELS[name], PROFILES["paper"]
    baseline = resolve(entry, "baseline", paper).recipe
    own = ("loss", "options", "source")
    alike = {
        other
        for other, recipe in entry.recipes.items()
        if other != "baseline"
        and replace(recipe, **{n: getattr(entry.recipes["baseline"], n) for n in own})
        == entry.recipes["baseline"]
    }
    assert alike
    for other in alike:
        recipe = resolve(entry, other, paper).recipe
        assert recipe.loss == entry.recipes[other].loss
        assert recipe.options == entry.recipes[other].options
        assert replace(recipe, **{n: getattr(baseline, n) for n in own}) == baseline
    for other in entry.recipes.keys() - alike - {"baseline"}:
        assert resolve(entry, other, paper).recipe == entry.recipes[other]
