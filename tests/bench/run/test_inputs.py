"""What `Finder` says about a case that cannot become a job."""

import hashlib
import math
import shutil
from dataclasses import replace

import pytest
from case_names import case_named

from bench.run import recent
from bench.run.inputs import Finder
from bench.run.job import RecipeError
from bench.settings import Settings
from datasets_lib.discover import FoundDataset, find_datasets
from datasets_lib.layouts.category import Sample
from datasets_lib.layouts.classification import Classification, FileSplit

CASE = case_named("autoencoder-surface.woven-default-scratch-s0")


@pytest.fixture
def finder(tmp_path):
    return Finder(Settings("smoke", "cpu", (), (), tmp_path, tmp_path), {})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"alpha": 0.5}, "alpha: only classifiers' recipes have these fields"),
        ({"schedule": "milestones"}, "without milestones"),
        ({"optimizer": "adamant"}, "wanted one of"),
    ],
)
def test_a_change_that_a_recipe_cannot_take_is_the_recipes_fault(finder, changes, said):
    asking = Finder(replace(finder.settings, changes=changes), {})
    with pytest.raises(RecipeError, match=f"Recipe 'baseline' of autoencoder .*{said}"):
        asking.job(CASE)
    assert asking.unresolved_key(CASE) != finder.unresolved_key(CASE)


@pytest.mark.parametrize(
    ("own", "images"), [(("all",), 80_000), (("left", "right"), 160_000), (("all", "left"), 80_000)]
)
def test_a_category_named_all_is_one_category(finder, tmp_path, own, images):
    categories = {name: tmp_path / name for name in own}
    found = FoundDataset("parts", tmp_path, categories, "never:read")
    case = case_named("dinomaly_base_392-parts.all-default-scratch-s0")
    paper = Finder(replace(finder.settings, profile="paper"), {"parts": found})
    assert paper.protocol(case).recipe.images == images


def read_classes(root):
    """A classification set whose splits are the images of a folder."""
    images = [Sample(file.name, file) for file in sorted(root.glob("*.png"))]
    split = FileSplit(("a", "b"), tuple(images), (0, 1, 0, 1))
    return Classification("own", split, split)


def list_images(root):
    """A texture set."""
    return sorted(root.glob("*.png"))


@pytest.fixture
def images(tmp_path, write_category):
    """The folder of four training images of a category."""
    folder = write_category(tmp_path / "data" / "tiny" / "tile", train=4, good=2, spots=2)
    return folder / "train" / "good"


@pytest.mark.parametrize(
    "case", ["autoencoder-tiny.tile-default-scratch-s0", "resnet18-own-default-scratch-s0"]
)
def test_data_that_are_edited_during_a_session_get_another_hash(
    finder, tmp_path, images, monkeypatch, case
):
    own = FoundDataset("own", images, {}, read_classes, "classification")
    finder = Finder(finder.settings, {"own": own, **find_datasets([tmp_path / "data"])})
    monkeypatch.setattr(recent, "_FRESH_SECONDS", math.inf)
    before = finder.job(case_named(case)).key
    shutil.copyfile(images / "000.png", images / "001.png")
    assert finder.job(case_named(case)).key == before
    monkeypatch.setattr(recent, "_FRESH_SECONDS", -1.0)
    assert finder.job(case_named(case)).key.data != before.data


def test_the_images_of_a_texture_set_are_part_of_the_data(finder, tmp_path, images, monkeypatch):
    monkeypatch.setattr(recent, "_FRESH_SECONDS", -1.0)
    case = case_named("draem-tiny.tile-default-scratch-s0")
    found = find_datasets([tmp_path / "data"])
    folder = shutil.copytree(images, tmp_path / "textures")
    textures = FoundDataset("dtd", folder, {}, list_images, "texture")
    beside = Finder(finder.settings, {"dtd": textures, **found})
    before = beside.job(case).inputs
    shutil.copyfile(folder / "000.png", folder / "001.png")
    after = beside.job(case).inputs
    assert after.data_hash != before.data_hash
    assert after.images_hash == before.images_hash
    procedural = Finder(finder.settings, found).job(case).inputs
    assert procedural.images_hash == before.images_hash
    unchanged = hashlib.sha256(f"{before.images_hash} beside None".encode()).hexdigest()
    assert procedural.data_hash == unchanged


def test_a_session_records_it(session_options, run_session, store):
    result = run_session(*session_options, "--set", "alpha=0.5", "-k", CASE.id)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*autoencoder*alpha: only classifiers*"])
    (record,) = store.records()
    assert record.outcome == "recipe"
    assert "Traceback" not in str(result.stdout)
