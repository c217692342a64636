"""Which cases there are, in which order, and what a typo may have meant."""

from collections import Counter
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.collected import Collected
from bench.selected import header
from bench.selection import all_cases, keywords, unknown_words
from bench.settings import Settings
from bench.studies import STUDIES
from datasets_lib.discover import FoundDataset
from models.catalog import MODELS


def cases(profile="standard", found=None, **options):
    here = Path()
    settings = Settings(profile, "cpu", (), (), here, here, **options)
    return all_cases(settings, found or {})


def of_study(name, **options):
    return [case for case in cases(**options) if STUDIES[name].selects(case)]


def test_grid_is_complete_and_has_every_case_once():
    ids = [case.id for case in cases(seeds=2)]
    # MVTec's, VisA's, BTAD's, ELPV's and surface's categories; three sets, three augmentations.
    places = {"anomaly": 15 + 12 + 3 + 2 + 4, "classification": 9}
    expected = 0
    for entry in MODELS.values():
        inits = 2 if entry.weights else 1
        expected += places[entry.task] * len(entry.recipes) * inits * 2
    assert len(ids) == len(set(ids)) == expected
    assert {case.model for case in cases()} == set(MODELS)
    assert "rd_convnext-mvtec.bottle-default-pretrained-s0" in ids
    assert "rd_resnet50.same-surface.woven-default-scratch-s1" in ids


def test_few_shot_cases_of_one_choice_of_images_run_one_after_another():
    few = [case for case in cases(seeds=2, shots=(2,)) if case.shots]
    choices = [(case.data, case.replicate) for case in few]
    assert len([*groupby(choices)]) == len(set(choices))


def test_smoke_takes_one_texture_and_the_baseline_recipe():
    smoke = cases("smoke", recipes=("baseline",))
    assert {case.category for case in smoke if case.dataset == "surface"} == {"woven"}
    assert {case.recipe for case in smoke} == {"baseline"}


def test_found_folders_join_the_catalog():
    folders = {"own": FoundDataset("own", Path(), {"part_a": Path(), "part_b": Path()}, "x:y")}
    folders["mvtec"] = FoundDataset("mvtec", Path(), {"bottle": Path(), "extra": Path()}, "x:y")
    data = {case.data for case in cases(found=folders)}
    assert {"own.part_a", "own.part_b", "mvtec.bottle", "mvtec.extra", "mvtec.wood"} <= data


def test_found_class_folders_join_the_studies_of_classifiers_alone():
    shapes = FoundDataset("shapes", Path(), {}, "x:y", "classification")
    added = [case for case in cases(found={"shapes": shapes}) if case.dataset == "shapes"]
    selected = {name for name, study in STUDIES.items() if any(map(study.selects, added))}
    assert selected == {"mixing", "classifiers"}
    assert {case.category for case in added} == {None}
    digits = [case for case in cases() if case.dataset == "digits"]
    assert Counter(case.model for case in added) == Counter(case.model for case in digits)


def test_data_change_least_often_then_backbones():
    order = [(case.data, MODELS[case.model].weights) for case in cases()]
    assert len([key for key, _ in groupby(order)]) == len(set(order))
    data = [case.data for case in cases()]
    assert len([key for key, _ in groupby(data)]) == len(set(data)) == 36 + 3


def test_the_mixing_study_is_the_originals_twenty_four_and_digits():
    ids = {case.id for case in of_study("mixing", recipes=("baseline",))}
    named = {
        f"{model}-{data}-{augmentation}-{start}-s0"
        for model in ("resnet50", "vit_small_patch16_224")
        for data in ("cifar100", "tiny_imagenet")
        for augmentation in ("default", "mixup", "cutmix")
        for start in ("scratch", "pretrained")
    }
    assert len(named) == 24
    assert ids - {case_id for case_id in ids if "-digits-" in case_id} == named


def test_keywords_name_every_axis():
    case = next(c for c in cases() if c.id == "rd_convnext.same-mvtec.wood-default-scratch-s0")
    assert set(keywords(case)) == {
        *("rd_backbone", "anomaly_zoo", "anomaly", "distillation"),
        *("rd_convnext", "same", "mvtec", "wood", "default", "scratch", "s0"),
    }


def test_every_axis_is_a_marker_but_never_one_of_pytests_own():
    folders = {name: Path() for name in ("bolt", "gpu", "skipif")}
    found = {name: FoundDataset(name, Path(), folders, "x:y") for name in ("parts", "slow")}
    settings = Settings("standard", "cpu", (), (), Path(), Path(), seeds=2)
    markers = Collected(settings, found, all_cases(settings, found)).markers
    axes = {"rd_convnext", "same", "mvtec", "bottle", "parts", "bolt", "cutmix", "scratch", "s1"}
    assert axes <= markers
    assert not markers & {"slow", "gpu", "skipif", "s2"}


def test_an_alias_finds_a_model_and_makes_no_case_of_its_own():
    found = [case for case in cases() if "reverse_distillation" in keywords(case)]
    assert {case.model for case in found} == {"rd_wide_resnet50_2"}
    assert not [case for case in cases() if case.model == "reverse_distillation"]


def test_the_zoo_has_every_named_configuration():
    sizes = [f"{size}_{side}" for size in ("small", "base", "large") for side in (224, 392, 448)]
    named = {
        *("padim", "padim_resnet18", "patchcore", "patchcore_resnet18", "patchcore_320"),
        *("dfkde", "dfkde_resnet18", "dfm", "dfm_nll", "cfa", "cfa_resnet18"),
        *("cflow", "cflow_resnet18", "cflow_resnet50", "csflow", "csflow_768"),
        *("fastflow", "fastflow_resnet18", "fastflow_resnet50", "fastflow_cait", "fastflow_deit"),
        *("uflow", "uflow_resnet50", "uflow_mcait"),
        *("stfpm", "stfpm_resnet18", "fre", "fre_wide_resnet50_2"),
        *("rd_resnet18", "rd_resnet50", "rd_wide_resnet50_2"),
        *("rd_convnext", "rd_convnext_adapted", "rd_convnext_cnblock"),
        *("efficientad_small", "efficientad_medium"),
        *("autoencoder", "ganomaly", "draem", "draem_plain", "dsr"),
        *("supersimplenet", "supersimplenet_supervised", "uninet", "uninet_multiclass"),
        *(f"dinomaly_{size}" for size in sizes),
    }
    assert len(named) == 54
    # No published configurations: they run where the smallest weights are.
    small = {
        *("dfm_resnet18", "fre_resnet18", "uninet_resnet18", "dinomaly_deit_tiny"),
        *("supersimplenet_resnet18", "supersimplenet_supervised_resnet18"),
    }
    assert {case.model for case in of_study("anomaly_zoo")} == named | small


def test_a_model_without_pretrained_parts_has_scratch_cases_alone():
    assert {case.pretrained for case in cases() if case.model == "autoencoder"} == {False}


@pytest.mark.parametrize(
    ("expression", "word", "near"),
    [
        ("rd_convnxt", "rd_convnxt", "rd_convnext"),
        ("rd_ and mvtek", "mvtek", "mvtec"),
        ("not (bottel)", "bottel", "bottle"),
        ("rd_resnet18 or surfaec", "surfaec", "surface"),
    ],
)
def test_a_typo_suggests_the_near_name(expression, word, near):
    unknown = unknown_words(expression, cases())
    assert list(unknown) == [word]
    assert near in unknown[word]


@pytest.mark.parametrize("expression", ["rd_", "RD_ConvNext and not bottle", "s0 or pretrained"])
def test_words_that_match_are_not_called_typos(expression):
    assert unknown_words(expression, cases()) == {}


def test_augmentations_of_the_users_own_go_where_their_task_is():
    found = cases("smoke", augmentations=("flips", "cutmix"))
    by_study = {
        name: {case.augmentation for case in found if STUDIES[name].selects(case)}
        for name in ("rd_backbone", "mixing")
    }
    assert by_study == {"rd_backbone": {"flips"}, "mixing": {"cutmix"}}


def test_modes_add_cases_of_anomaly_models_alone():
    usual = [case.id for case in cases()]
    more = cases(shots=(1, 4), multi_class=True)
    assert [case.id for case in more if case.shots is None and case.category != "all"] == usual
    assert {case.dataset for case in more if case.category == "all"} >= {"mvtec", "surface"}
    assert {MODELS[c.model].task for c in more if c.shots or c.category == "all"} == {"anomaly"}
    assert Counter(case.shots for case in more if case.model == "padim_resnet18")[4] > 0
    assert "padim_resnet18-surface.all-default-scratch-4shot-s0" in {case.id for case in more}


def test_dataset_with_a_category_named_all_gets_no_model_for_all():
    parts = {"all": Path(), "part": Path()}
    found = {"own": FoundDataset("own", Path(), parts, "x:y")}
    ids = [c.id for c in cases(found=found, multi_class=True) if c.data == "own.all"]
    assert ids == [c.id for c in cases(found=found) if c.data == "own.all"]


@pytest.mark.parametrize(
    ("profile", "options", "told"),
    [
        ("smoke", {}, "; rd_resnet50, rd_convnext_adapted: 600"),
        ("smoke", {"images_seen": 99}, "99 images seen"),
        ("smoke", {"changes": {"epochs": 3}}, "10,000 images seen"),
        ("standard", {}, "a budget of minutes on one GPU"),
    ],
)
def test_the_header_names_models_with_a_budget_of_their_own(profile, options, told):
    models = ("rd_resnet50", "rd_convnext", "rd_convnext_adapted")
    selected = [case for case in cases(profile) if case.model in models and not case.pretrained]
    selected.sort(key=lambda case: models.index(case.model))
    settings = Settings(profile, "cpu", (), (), Path(), Path(), **options)
    config = SimpleNamespace(option=SimpleNamespace(bench_profile=profile, keyword=""))
    first, *_ = header(config, Collected(settings, {}, selected), selected)
    assert first.endswith(told)
