"""A model that trains on labeled defects runs only where there are some, each with its masks."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from case_names import case_named

from bench.protocol import PROFILES, resolve
from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.run.job import CaseSkipped
from bench.run.samples import case_samples, label_problem
from bench.settings import Settings
from datasets_lib.discover import find_datasets
from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.split import split_labeled
from models.catalog import MODELS

MODEL = "supersimplenet_supervised_resnet18"
CASE = case_named(f"{MODEL}-parts.bolt-default-scratch-s0")


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def find_job(data, tmp_path):
    """Return the job of a case on the data folder."""

    def find(case):
        settings = Settings("smoke", "cpu", (data,), (), tmp_path / "results", tmp_path / "cache")
        return Finder(settings, dict(find_datasets([data]))).job(case)

    return find


def write_bare(category, write_category):
    """Write a category without masks."""
    shutil.rmtree(write_category(category, 6, 2, 6) / "ground_truth")


def test_defects_without_masks_are_skipped(data, write_category, find_job):
    write_bare(data / "parts" / "bolt", write_category)
    with pytest.raises(CaseSkipped, match=r"use parts\.bolt: wanted masks .*\(3\), found none"):
        find_job(CASE)
    unsupervised = find_job(replace(CASE, model="supersimplenet_resnet18"))
    assert unsupervised.inputs.has_masks == {"": False}


def test_a_single_missing_mask_is_an_error_of_the_data(data, write_category, find_job):
    category = write_category(data / "parts" / "bolt", 6, 2, 6)
    (category / "ground_truth/spot/003_mask.png").unlink()
    with pytest.raises(DatasetError, match="1 of 6 defect images"):
        find_job(CASE)


@pytest.mark.parametrize(("spots", "found"), [(0, "no defects"), (1, "1 defect")])
def test_too_few_defects_to_train_on_are_skipped(data, write_category, find_job, spots, found):
    write_category(data / "parts" / "bolt", 6, 2, spots)
    with pytest.raises(CaseSkipped, match=f"found {found} among the test images. Add images of"):
        find_job(CASE)


def test_two_defects_of_a_kind_are_enough(data, write_category, find_job):
    write_category(data / "parts" / "bolt", 6, 2, 2)
    inputs = find_job(CASE).inputs
    defects = [[s.defect for s in part if s.defect] for part in (inputs.fit, inputs.test)]
    assert defects == [["spot"], ["spot"]]


def test_a_category_without_defects_leaves_the_others_their_masks(data, write_category, find_job):
    write_category(data / "parts" / "bolt", 6, 2, 6)
    write_category(data / "parts" / "nut", 6, 2, 0)
    job = find_job(replace(CASE, category="all"))
    fit = DeviceData().load(job, job.inputs, lambda *_: None).fit
    assert fit.labels.sum() == 3
    assert fit.masks.any(2).any(1).equal(fit.labels)


def sample(number, defect, masks=()):
    return Sample(f"test/{defect}/{number}.png", Path(f"{defect}/{number}.png"), masks, defect)


NORMAL = tuple(sample(number, None) for number in range(4))
LIMITED = replace(resolve(MODELS[MODEL], "baseline", PROFILES["smoke"]), test_limit=4)


def problem(test, plan=LIMITED, categories=()):
    chosen = CASE, categories, lambda _: Category("parts", "bolt", NORMAL, test), plan
    return label_problem(*chosen, case_samples(*chosen))


@pytest.mark.parametrize("categories", [(), ("bolt", "nut")])
def test_a_profile_that_leaves_one_defect_of_a_kind_is_named(categories):
    mask = (Path("mask.png"),)
    test = (*NORMAL, *(sample(n, kind, mask) for kind in ("cut", "dent", "hole") for n in range(4)))
    said = problem(test, replace(LIMITED, test_limit=4 * max(1, len(categories))), categories)
    assert "defects among the test images of the profile smoke, no two of a kind" in said
    assert ("in one category" in said) == bool(categories)
    assert "Choose --profile standard" in said
    assert problem(test, replace(LIMITED, test_limit=None), categories) == ""


def test_no_profile_helps_where_every_kind_has_one_image():
    said = problem((*NORMAL, *(sample(0, kind) for kind in ("cut", "dent", "hole"))))
    assert "3 defects among the test images, no two of a kind. Add images" in said
    assert "--profile" not in said


def test_masks_of_some_labeled_defects_are_too_few():
    bare = (*NORMAL, *(sample(number, "cut") for number in range(4)))
    labeled = split_labeled(bare)[0]
    mask = {"masks": (Path("mask.png"),)}
    one = tuple(replace(s, **mask) if s == labeled[0] else s for s in bare)
    both = tuple(replace(s, **mask) if s in labeled else s for s in bare)
    unlimited = replace(LIMITED, test_limit=None)
    assert "wanted masks of the defects to train on (2), found 1." in problem(one, unlimited)
    assert problem(both, unlimited) == ""


def test_a_session_says_what_is_missing(data, write_category, session_options, run_session, store):
    write_bare(data / "parts" / "bolt", write_category)
    result = run_session(*session_options, "--data-dir", str(data), "-k", CASE.id)
    result.assert_outcomes(skipped=1)
    said = " ".join(" ".join(result.outlines).split())
    assert "cannot use parts.bolt: wanted masks of the defects to train on (3), found none." in said
    assert "take a model that trains on normal images alone." in said
    assert store.records() == []
