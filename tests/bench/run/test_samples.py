"""Which samples a few-shot case, or a model for several categories, uses."""

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bench.case import Case
from bench.protocol import PROFILES, resolve
from bench.run.job import seed_of
from bench.run.samples import case_samples, split_samples
from datasets_lib.layouts.category import Category, DatasetError, Sample
from models.catalog import MODELS

CASE = Case("padim_resnet18", "baseline", "own", "part", "default", False, 0)
TRAIN = tuple(Sample(f"train/{n}.png", Path(f"{n}.png")) for n in range(20))
CATEGORY = Category("own", "part", TRAIN, TRAIN[:8])


def protocol(model="padim_resnet18", profile="smoke", shots=None):
    return resolve(MODELS[model], "baseline", PROFILES[profile], shots=shots)


def splits(shots, replicate=0):
    case = replace(CASE, shots=shots, replicate=replicate)
    return split_samples(case, CATEGORY, protocol(shots=shots))


@pytest.mark.parametrize("replicate", [0, 1])
def test_shots_are_nested_and_all_train(replicate):
    chosen = [{sample.name for sample in splits(n, replicate).fit} for n in (1, 2, 4, 8)]
    assert [len(names) for names in chosen] == [1, 2, 4, 8]
    assert all(fewer < more for fewer, more in pairwise(chosen))
    assert splits(8).calibration == ()


def test_each_replicate_has_shots_of_its_own():
    chosen = [splits(4, replicate) for replicate in range(3)]
    assert len({split.fit for split in chosen}) == 3
    assert len({split.test for split in chosen}) == 1
    # The first has those of records from before replicates chose.
    by_name = sorted(TRAIN, key=lambda sample: hashlib.sha256(sample.name.encode()).hexdigest())
    assert set(chosen[0].fit) == set(by_name[:4])


def test_replicates_of_all_images_have_the_same():
    whole = [splits(None, replicate) for replicate in range(2)]
    assert whole[0] == whole[1]
    assert splits(20, 0) == splits(20, 1)


def test_more_shots_than_images_is_an_error():
    with pytest.raises(DatasetError, match="--shots"):
        splits(21)


@pytest.mark.parametrize(("shots", "advice"), [(1, "--shots 2"), (None, "Add normal ones")])
def test_a_model_that_holds_images_out_needs_two(shots, advice):
    case = replace(CASE, model="efficientad_small", shots=shots)
    one = replace(CATEGORY, train=TRAIN[:1])
    with pytest.raises(DatasetError, match=f"at least two, found 1. .*{advice}"):
        split_samples(case, one, protocol(case.model, "original", shots))


@pytest.mark.parametrize("profile", ["smoke", "standard"])
def test_few_shots_keep_the_recipes_passes(profile):
    few = protocol("rd_resnet18", profile, shots=4)
    assert few.total_images(4) == few.recipe.epochs * 4
    assert few.hash != protocol("rd_resnet18", profile).hash


def test_categories_share_the_limits_under_names_of_their_own():
    limited = replace(protocol(), train_limit=8, test_limit=4)
    listed = []

    def samples_of(case):
        listed.append(case.category)
        return CATEGORY

    whole = case_samples(replace(CASE, category="all"), ("a", "b"), samples_of, limited)
    assert listed == ["a", "b"]
    assert len(whole.fit) + len(whole.calibration) == 8
    assert [sample.name[0] for sample in whole.test] == ["a", "a", "b", "b"]


def test_a_case_of_one_category_uses_the_samples_of_that_category():
    expected = split_samples(CASE, CATEGORY, protocol())
    assert case_samples(CASE, (), {CASE: CATEGORY}.__getitem__, protocol()) == expected


@pytest.mark.parametrize(("base", "seed"), [(None, MODELS[CASE.model].seed_base), (7, 7)])
def test_replicates_have_consecutive_seeds(base, seed):
    assert [seed_of(replace(CASE, replicate=n), base) for n in (0, 1, 2)] == [
        seed,
        seed + 1,
        seed + 2,
    ]
