"""What `Finder` says about a case that cannot become a job."""

import hashlib
import math
import shutil
from dataclasses import replace

import pytest
from case_names import case_named

from bench.regression.series import series_of
from bench.run import recent
from bench.run.inputs import Finder
from bench.run.job import RecipeError
from bench.settings import Settings
from datasets_lib.cache import content
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


@pytest.fixture
def tiny(finder, tmp_path, images):
    """Find cases on the category `tiny.tile`."""
    return Finder(finder.settings, find_datasets([tmp_path / "data"]))


@pytest.mark.parametrize(
    ("copy", "said"),
    [
        ({}, ""),
        ({"test/good/000.png": "test/good/001.png"}, ""),
        ({"test/good/001.png": "train/good/000.png"}, "1 of 2 normal test images are copies"),
        (
            {"test/good/001.png": "train/good/000.png", "test/spot/000.png": "train/good/003.png"},
            "1 of 2 normal and 1 of 2 defective test images are copies",
        ),
    ],
)
def test_copies_of_training_images_in_the_test_are_noted(tiny, images, copy, said):
    category = images.parents[1]
    for new, old in copy.items():
        shutil.copyfile(category / old, category / new)
    record = tiny.job(case_named("autoencoder-tiny.tile-default-scratch-s0")).record()
    assert record.notes.get("data", "").startswith(f"tiny.tile: {said}" if said else "")
    assert record.fingerprints.get("copied_test_images", 0) == (len(copy) if said else 0)


def test_copies_are_found_by_hashes_that_exist_anyway(tiny, images, monkeypatch):
    read = []
    one_file = content._sha256
    monkeypatch.setattr(content, "_sha256", lambda file: read.append(file) or one_file(file))
    tiny.job(case_named("autoencoder-tiny.tile-default-scratch-s0"))
    assert len(read) == len(set(read)) > 0


def test_copies_in_the_test_split_of_classes_are_noted(finder, images):
    own = FoundDataset("own", images, {}, read_classes, "classification")
    finder = Finder(finder.settings, {"own": own})
    record = finder.job(case_named("resnet18-own-default-scratch-s0")).record()
    assert record.notes["data"].startswith("own: 4 of 4 test images are copies")
    assert record.fingerprints["copied_test_images"] == 4


def test_few_shot_replicates_share_the_hashes_of_the_first(tiny):
    case = case_named("draem-tiny.tile-default-scratch-2shot-s0")
    jobs = [tiny.job(replace(case, replicate=n)) for n in range(3)]
    assert len({job.key.data for job in jobs}) == len({job.inputs.fit for job in jobs}) > 1
    assert all(job.key.data == job.inputs.data_hash for job in jobs)
    records = [job.record() for job in jobs]
    assert {record.shared_data for record in records} == {jobs[0].key.data}
    assert {record.shared_images for record in records} == {jobs[0].inputs.images_hash}
    assert len({series_of(record).data for record in records}) == 1
    whole = [tiny.job(replace(case, shots=None, replicate=n)).record() for n in range(2)]
    assert whole[0].fingerprints == whole[1].fingerprints


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
