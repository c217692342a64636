"""Recipes, input sizes and weights by the papers, as the facts table of the models states them.

The numbers are typed from that table and the studies' own, not from the catalog. A constant that
neither gives is torch's default. Left out are U-Flow, whose recipe has its own tests, and
SuperSimpleNet with labels, which the table gives no recipe for.
"""

from dataclasses import replace
from typing import NamedTuple
from unittest.mock import ANY

import pytest
import torch
import torchvision

from bench.protocol import PROFILES, resolve
from bench.run.training.loop import planned_steps
from bench.run.training.optimization import build_optimizer, learning_rate_factor
from models.catalog import MODELS, WEIGHTS

PAPER, ORIGINAL = PROFILES["paper"], PROFILES["original"]
IMAGES = 209  # of the training set whose budget is computed

ADAM = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False}
GAN = (0.5, 0.999)


class Facts(NamedTuple):
    """What is known about some configurations.

    Attributes:
        names: The configurations, separated by spaces.
        optimizer: The recipe's word for the optimizer.
        constants: Those of the optimizer, as torch names them; ANY where the table is silent.
        epochs: Passes over the training images; None where the paper counts something else.
        batch: Images per step in the paper; ANY where the table is silent.
        clip: Maximum norm of the gradient.
    """

    names: str
    optimizer: str
    constants: dict
    epochs: int | None
    batch: int
    clip: float | None = None


FACTS = [
    Facts(
        "stfpm stfpm_resnet18", "sgd", {"lr": 0.4, "momentum": 0.9, "weight_decay": 1e-4}, 100, 32
    ),
    Facts("fre fre_wide_resnet50_2 fre_resnet18", "adam", {**ADAM, "lr": 1e-3}, 220, ANY),
    Facts(
        "rd_resnet18 rd_resnet50 rd_wide_resnet50_2 rd_convnext_adapted",
        *("adam", {**ADAM, "lr": 5e-3, "betas": GAN}, 200, 16),
    ),
    # No paper has these two: in its profile they train as in the study of teachers.
    Facts("rd_convnext", "adamw", {**ADAM, "lr": 1e-3, "weight_decay": 0.01}, 100, 8, 1.0),
    Facts("rd_convnext_cnblock", "adamw", {**ADAM, "lr": 1e-3, "weight_decay": 0.05}, 100, 8, 1.0),
    Facts(
        "efficientad_small efficientad_medium",
        *("adam", {**ADAM, "lr": 1e-4, "weight_decay": 1e-5}, None, 1),
    ),
    # The paper's rate is 2e-4 for steps of 256 positions. A step here has all positions of its
    # images, 8,192 of the finest layer: √32 times that rate, rounded, and a smaller batch.
    Facts("cflow cflow_resnet18 cflow_resnet50", "adam", {**ADAM, "lr": 1e-3}, 25 * 8, ANY),
    Facts(
        "fastflow fastflow_resnet18 fastflow_resnet50 fastflow_cait fastflow_deit",
        *("adam", {**ADAM, "lr": 1e-3, "weight_decay": 1e-5}, 500, 32),
    ),
    Facts(
        "csflow csflow_768",
        *("adam", {**ADAM, "lr": 2e-4, "eps": 1e-4, "weight_decay": 1e-5}, 240, 16, 1.0),
    ),
    Facts("autoencoder", "adam", {**ADAM, "lr": 1e-3}, 200, ANY),
    Facts("ganomaly", "adam", {**ADAM, "lr": 2e-4, "betas": GAN}, 100, ANY),
    Facts("draem draem_plain", "adam", {**ADAM, "lr": 1e-4}, 700, 8),
    Facts("dsr", "adam", {**ADAM, "lr": 2e-4}, None, 8),
    Facts(
        "cfa cfa_resnet18",
        *("adamw", {**ADAM, "lr": 1e-3, "weight_decay": 5e-4, "amsgrad": True}, 30, 4),
    ),
    Facts(
        "dinomaly_small_224 dinomaly_small_392 dinomaly_small_448 "
        "dinomaly_base_224 dinomaly_base_392 dinomaly_base_448 "
        "dinomaly_large_224 dinomaly_large_392 dinomaly_large_448 dinomaly_deit_tiny",
        "stable_adamw",
        {**ADAM, "lr": 2e-3, "weight_decay": 1e-4, "amsgrad": True, "eps": ANY},
        *(None, 16, 0.1),
    ),
    Facts(
        "supersimplenet supersimplenet_resnet18",
        *("adamw", {**ADAM, "lr": 2e-4, "weight_decay": 1e-5}, 300, 32),
    ),
    Facts("uninet uninet_resnet18", "adamw", {**ADAM, "lr": 5e-3, "weight_decay": ANY}, 100, 8),
    Facts(
        "uninet_multiclass",
        *("adamw", {"lr": 5e-3, "eps": 1e-10, "amsgrad": True}, None, 8),
    ),
]
TRAINED = [pytest.param(name, facts, id=name) for facts in FACTS for name in facts.names.split()]

ONE_PASS = (
    "padim",
    "padim_resnet18",
    "patchcore",
    "patchcore_resnet18",
    "patchcore_320",
    "dfkde",
    "dfkde_resnet18",
    "dfm",
    "dfm_nll",
    "dfm_resnet18",
)

# Factors on the learning rate at shares of the steps, where they are not 1 everywhere.
MILESTONES = {0.0: 1, 0.7999: 1, 0.8: 0.4, 0.8999: 0.4, 0.9: 0.4**2, 0.9999: 0.4**2}
DRAEM = {0.0: 1, 0.7999: 1, 0.8: 0.2, 0.8999: 0.2, 0.9: 0.2**2, 0.9999: 0.2**2}
DROP = {0.0: 1, 0.9499: 1, 0.95: 0.1, 0.9999: 0.1}
DROPS_AT_80 = {0.0: 1, 0.7999: 1, 0.8: 0.2, 0.9999: 0.2}
CONSTANT = {0.0: 1, 0.5: 1, 0.9999: 1}
RATES = {
    "efficientad_small": DROP,
    "efficientad_medium": DROP,
    "draem": DRAEM,
    "draem_plain": DRAEM,
    "supersimplenet": MILESTONES,
    "supersimplenet_resnet18": MILESTONES,
    "uninet_multiclass": DROPS_AT_80,
    # A cosine over all steps: half the rate at half of them.
    "rd_convnext": {0.0: 1, 0.5: 0.5, 1.0: 0},
    # One after 5 passes of 100 of warm-up.
    "rd_convnext_cnblock": {0.0: 1 / 501, 0.0249: 250 / 501, 0.05: 1, 0.525: 0.5, 1.0: 0},
}
# These have tests of their own, here or in the tests of the model.
OF_STEPS = ("cflow", "dinomaly", "dsr")
RATED = [
    pytest.param(name, RATES.get(name, CONSTANT), id=name)
    for facts in FACTS
    for name in facts.names.split()
    if not name.startswith(OF_STEPS)
]

# Epochs, images per step and side of the images that the network sees.
ORIGINALS = {
    **dict.fromkeys(("padim", "padim_resnet18"), (1, 4, 256)),
    **dict.fromkeys(("patchcore", "patchcore_resnet18"), (1, 8, 256)),
    "patchcore_320": (1, 8, 320),
    **dict.fromkeys(("dfkde", "dfkde_resnet18"), (1, 8, 256)),
    **dict.fromkeys(("cflow", "cflow_resnet18", "cflow_resnet50"), (250, 8, 256)),
    **dict.fromkeys(("fastflow", "fastflow_resnet18", "fastflow_resnet50"), (500, 8, 256)),
    "fastflow_cait": (500, 2, 448),
    "fastflow_deit": (500, 2, 384),
    "csflow": (500, 2, 256),
    "csflow_768": (500, 2, 768),
    **dict.fromkeys(("stfpm", "stfpm_resnet18"), (50, 16, 256)),
    **dict.fromkeys(("fre", "fre_wide_resnet50_2"), (50, 16, 256)),
    # The study of Reverse Distillation gives the wide ResNet50 the paper's 200 epochs, batch 16.
    **dict.fromkeys(("rd_resnet18", "rd_resnet50"), (50, 8, 256)),
    "rd_wide_resnet50_2": (200, 16, 256),
    "rd_convnext_adapted": (50, 8, 256),
    **dict.fromkeys(("rd_convnext", "rd_convnext_cnblock"), (100, 8, 256)),
    **dict.fromkeys(("efficientad_small", "efficientad_medium"), (20, 1, 256)),
    "autoencoder": (50, 16, 256),
    "ganomaly": (20, 8, 256),
    **dict.fromkeys(("draem", "draem_plain"), (10, 8, 256)),
    "dsr": (50, 8, 256),
    **dict.fromkeys(("dfm", "dfm_nll"), (1, 16, 256)),
    **dict.fromkeys(("cfa", "cfa_resnet18"), (20, 16, 256)),
    "dinomaly_small_224": (15, 32, 224),
    "dinomaly_base_224": (15, 16, 224),
    "dinomaly_large_224": (15, 8, 224),
    "dinomaly_small_392": (10, 24, 392),
    "dinomaly_base_392": (10, 12, 392),
    "dinomaly_large_392": (10, 6, 392),
    "dinomaly_small_448": (10, 16, 448),
    "dinomaly_base_448": (10, 8, 448),
    "dinomaly_large_448": (10, 4, 448),
    "supersimplenet": (50, 16, 256),
    "uninet": (20, 4, 256),
}

# Sides that images are resized to and cropped to in the papers; 256 and no crop for all others.
INPUTS = {
    **dict.fromkeys(("padim", "padim_resnet18"), (256, 224)),
    **dict.fromkeys(("patchcore", "patchcore_resnet18"), (256, 224)),
    "patchcore_320": (366, 320),
    "fastflow_cait": (448, None),
    "fastflow_deit": (384, None),
    "csflow_768": (768, None),
    **dict.fromkeys(("cfa", "cfa_resnet18"), (224, None)),
    # The paper crops 392 of 448: seven eighths.
    **{f"dinomaly_{encoder}_224": (256, 224) for encoder in ("small", "base", "large")},
    **{f"dinomaly_{encoder}_392": (448, 392) for encoder in ("small", "base", "large")},
}
SIZED = [name for name in ORIGINALS if name in INPUTS or not name.startswith("dinomaly")]

CNNS = {
    "resnet18": "padim_resnet18 patchcore_resnet18 dfkde_resnet18 cflow_resnet18 "
    "fastflow_resnet18 stfpm_resnet18 rd_resnet18 cfa_resnet18",
    "resnet50": "dfkde cflow_resnet50 fastflow_resnet50 uflow_resnet50 stfpm fre rd_resnet50 "
    "dfm dfm_nll",
    "wide_resnet50_2": "padim patchcore patchcore_320 cflow fastflow uflow fre_wide_resnet50_2 "
    "rd_wide_resnet50_2 cfa supersimplenet supersimplenet_supervised uninet uninet_multiclass",
    "efficientnet_b5": "csflow csflow_768",
    "convnext_tiny": "rd_convnext rd_convnext_cnblock rd_convnext_adapted",
}
TORCHVISIONS = {
    "resnet18.tv_in1k": "ResNet18_Weights",
    "resnet50.tv_in1k": "ResNet50_Weights",
    "wide_resnet50_2.tv_in1k": "Wide_ResNet50_2_Weights",
    "efficientnet_b5.tv_in1k": "EfficientNet_B5_Weights",
    "convnext_tiny.tv_in1k": "ConvNeXt_Tiny_Weights",
}


def plan_of(name, profile):
    return resolve(MODELS[name], "baseline", profile)


@pytest.mark.parametrize("profile", [PAPER, ORIGINAL], ids=lambda profile: profile.name)
@pytest.mark.parametrize(("name", "facts"), TRAINED)
def test_the_optimizer_has_the_papers_constants(name, facts, profile):
    recipe = plan_of(name, profile).recipe
    assert (recipe.optimizer, recipe.grad_clip) == (facts.optimizer, facts.clip)
    parameter = torch.nn.Parameter(torch.zeros(2))
    (group,) = build_optimizer(recipe, [(1.0, [parameter])]).param_groups
    assert {key: group[key] for key in facts.constants} == facts.constants


@pytest.mark.parametrize(("name", "facts"), TRAINED)
def test_the_profile_paper_has_the_papers_epochs_and_batch(name, facts):
    plan = plan_of(name, PAPER)
    assert plan.recipe.batch_size == facts.batch
    if facts.epochs is not None:
        assert plan.total_images(IMAGES) == facts.epochs * IMAGES


STEPS = {
    **{name: 70_000 for name in MODELS if name.startswith("efficientad")},
    **{name: 5_000 for name in MODELS if name.startswith("dinomaly")},
    "dsr": (100 + 50) * 8_000 // 8,  # passes of 8,000 drawn images, in batches of 8
    "uninet_multiclass": 5_000,
}


@pytest.mark.parametrize(("name", "wanted"), STEPS.items(), ids=STEPS)
@pytest.mark.parametrize("shots", [None, 1, 4])
def test_where_the_paper_counts_steps_the_profile_paper_does(name, wanted, shots):
    plan = resolve(MODELS[name], "baseline", PAPER, shots=shots)
    assert planned_steps(plan, shots or IMAGES) == wanted


def test_nothing_else_counts_steps():
    assert {name for name in MODELS if plan_of(name, PAPER).recipe.images} == {*STEPS}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_resnet50s_and_the_adapted_student_differ_in_nothing_but_the_teacher(profile):
    resnet, adapted = (MODELS[name] for name in ("rd_resnet50", "rd_convnext_adapted"))
    assert resnet.recipes.keys() == adapted.recipes.keys()
    for name in resnet.recipes:
        first, second = (resolve(entry, name, profile) for entry in (resnet, adapted))
        assert replace(second, options=first.options) == first


@pytest.mark.parametrize("multi_class", [False, True])
@pytest.mark.parametrize(
    "profile", [p for p in PROFILES.values() if p.name != "smoke"], ids=lambda profile: profile.name
)
def test_no_two_names_are_one_run(profile, multi_class):
    """All images of `smoke` are of one size, which is all that tells some names apart."""
    names = {}
    for name, entry in MODELS.items():
        plan = resolve(entry, "baseline", profile, multi_class=multi_class)
        run = plan.hash, entry.build, entry.weights, entry.layers, entry.supervised
        names.setdefault(run, []).append(name)
    assert [same for same in names.values() if len(same) > 1] == []


@pytest.mark.parametrize("profile", [PAPER, ORIGINAL], ids=lambda profile: profile.name)
@pytest.mark.parametrize(("name", "rates"), RATED)
def test_the_learning_rate_changes_where_the_paper_changes_it(name, rates, profile):
    recipe, steps = plan_of(name, profile).recipe, 10_000
    found = {share: learning_rate_factor(round(share * steps), steps, recipe) for share in rates}
    assert found == pytest.approx(rates)


@pytest.mark.parametrize("name", ["efficientad_small", "efficientad_medium"])
def test_efficientads_learning_rate_drops_at_step_66_500_of_70_000(name):
    plan = plan_of(name, PAPER)
    rates = [learning_rate_factor(step, 70_000, plan.recipe) for step in (0, 66_499, 66_500)]
    assert rates == [1, 1, 0.1]


@pytest.mark.parametrize("name", ["cflow", "cflow_resnet18", "cflow_resnet50"])
def test_cflows_learning_rate_warms_up_and_then_follows_a_cosine_in_the_paper(name):
    recipe = plan_of(name, PAPER).recipe
    rates = [learning_rate_factor(step, 10_000, recipe) for step in range(10_000)]
    top = rates.index(1.0)
    assert 0 < top < 2_000
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 0.01
    assert rates[(top + 10_000) // 2] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", ONE_PASS)
@pytest.mark.parametrize("profile", [PAPER, ORIGINAL], ids=lambda profile: profile.name)
def test_models_without_gradients_see_every_image_once(name, profile):
    plan = plan_of(name, profile)
    assert plan.recipe.optimizer == "none"
    assert plan.total_images(IMAGES) == IMAGES


@pytest.mark.parametrize(("name", "wanted"), ORIGINALS.items(), ids=ORIGINALS)
def test_the_profile_original_has_the_original_studies_epochs_batch_and_size(name, wanted):
    plan = plan_of(name, ORIGINAL)
    epochs = plan.total_images(IMAGES) / IMAGES
    assert (epochs, plan.recipe.batch_size, plan.input_size) == wanted


@pytest.mark.parametrize("name", SIZED)
def test_the_profile_paper_resizes_and_crops_as_the_paper(name):
    plan = plan_of(name, PAPER)
    assert (plan.image_size, plan.crop) == INPUTS.get(name, (256, None))


@pytest.mark.parametrize(
    ("name", "tag"),
    [(name, f"{cnn}.tv_in1k") for cnn, names in CNNS.items() for name in names.split()],
)
def test_the_zoos_cnns_start_from_torchvisions_weights(name, tag):
    assert MODELS[name].weights == tag


def test_no_other_anomaly_model_has_a_cnn_of_other_weights():
    tags = {entry.weights or "" for entry in MODELS.values() if entry.task == "anomaly"}
    cnns = ("resnet", "wide_resnet", "efficientnet", "convnext")
    assert {tag for tag in tags if tag.startswith(cnns)} == set(TORCHVISIONS)


@pytest.mark.parametrize(("tag", "weights"), TORCHVISIONS.items(), ids=TORCHVISIONS)
def test_torchvisions_weights_are_its_first_version(tag, weights):
    first = torchvision.models.get_weight(f"{weights}.IMAGENET1K_V1")
    transform = first.transforms()
    assert WEIGHTS[tag].url == first.url
    assert list(WEIGHTS[tag].mean) == transform.mean
    assert list(WEIGHTS[tag].std) == transform.std


def test_efficientad_alone_holds_images_out():
    names = {name for name, entry in MODELS.items() if entry.holds_out}
    assert names == {"efficientad_small", "efficientad_medium"}
