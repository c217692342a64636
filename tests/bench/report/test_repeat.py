"""The command that repeats a case: a session with its options has a job of the same key."""

import argparse
import shlex
import shutil

import pytest
from fake_records import make

from bench.commands.session_options import add_session_options
from bench.read_options import settings_from
from bench.record import from_json
from bench.report.repeat import repeat_command
from bench.run.inputs import Finder
from bench.selection import all_cases, matching
from datasets_lib.discover import find_datasets

CASE = "{}-parts.nuts-default-scratch-s0"
RD, PADIM, PATCHCORE, CROPPED, DINOMALY, UNINET, WARMING = (
    CASE.format(name)
    for name in (
        *("rd_resnet18", "padim", "patchcore", "patchcore_320"),
        *("dinomaly_small_224", "uninet_multiclass", "rd_convnext_cnblock"),
    )
)
FEW = "rd_resnet18-parts.nuts-default-scratch-4shot-s0"
ALL_PARTS = "rd_resnet18-parts.all-default-scratch-s0"
PLAIN = "rd_resnet18-plain.all-default-scratch-s0"
DIGITS = "resnet18-digits-default-scratch-s0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_category):
    """A data folder: `parts` has two categories, `plain` has none but its own, named `all`."""
    folder = tmp_path_factory.mktemp("repeat")
    for category in ("nuts", "bolts"):
        write_category(folder / "data" / "parts" / category)
    nuts, plain = (folder / "data" / name for name in ("parts/nuts", "plain"))
    shutil.copytree(nuts / "train" / "good", plain / "normal")
    shutil.copytree(nuts / "test" / "spot", plain / "abnormal")
    return folder


@pytest.fixture(scope="module")
def job(folder):
    """The job of the only case that a session selects with some options; nothing is trained."""
    parser = argparse.ArgumentParser()
    add_session_options(parser)
    places = ["--device", "cpu", "--data-dir", str(folder / "data")]
    places += ["--cache-dir", str(folder / "cache"), "--results-dir", str(folder / "results")]

    def find(words):
        options = parser.parse_args([*words, *places])
        settings = settings_from(options, folder)
        datasets = find_datasets(settings.data_dirs)
        (case,) = matching(all_cases(settings, datasets), options.keyword)
        return Finder(settings, datasets).job(case)

    return find


def repeated(record):
    """The options in the command that repeats a record, as it is read from a file."""
    words = shlex.split(repeat_command(from_json(record.to_json())))
    assert words[:2] == ["pytest", "bench"]
    assert words[-1] == "--rerun"
    if "DATA" in words:
        place = words.index("DATA")
        assert words[place - 1] == "--data-dir"
        del words[place - 1 : place + 1]
    return words[2:-1]


def finished(job):
    """The record of a finished job, with metrics of each category if it has several."""
    names = getattr(job.inputs, "categories", ())
    values = {name: {"image_auroc": 0.9} for name in names}
    return job.record(categories={"multi_scale": values} if names else {})


@pytest.mark.parametrize(
    ("case", "options"),
    [
        (RD, ""),
        (RD, "--images-seen 600"),
        (RD, "--images-seen 2000"),
        (FEW, "--shots 4"),
        (FEW, "--shots 4 --images-seen 2000"),
        (FEW, "--shots 4 --images-seen 500"),
        (FEW, "--shots 4 --set images=300"),
        (RD, "--image-size 64"),
        (RD, "--image-size 256x640"),
        (RD, "--profile standard --image-size 256x640"),
        (CROPPED, ""),
        (CROPPED, "--image-size 256x640"),
        (CROPPED, "--fit pad"),
        (CROPPED, "--fit crop --image-size 128"),
        (CROPPED, "--profile standard --image-size 366"),
        (PATCHCORE, "--profile paper"),
        (PATCHCORE, "--profile paper --image-size 256"),
        (DINOMALY, "--profile paper --image-size 256x512"),
        (RD, "--tiles 2x3"),
        (CROPPED, "--tiles 2x3 --overlap 32 --image-size 96"),
        (RD, "--bits 12"),
        (RD, "--split-by '[0-9]+ ?'"),
        (RD, "--split-by=-*[0-9]+"),
        (RD, "--set lr=1e-05 --set schedule=cosine --set betas=0.5,0.9 --set amsgrad=True"),
        (RD, "--set schedule=milestones --set milestones=(0.5,) --set grad_clip=1.0"),
        (RD, "--set epochs=5"),
        (RD, "--set epochs=50"),  # its own number, which replaces the profile's budget
        (RD, "--set epochs=5 --images-seen 700"),
        (RD, "--profile standard --set epochs=50"),
        (PADIM, "--set epochs=5"),
        (PADIM, "--set 'options={\"channels\": 20}'"),
        (UNINET, "--set epochs=7"),
        (UNINET, "--set epochs=7 --set images=40000"),  # its own number, which epochs keep
        (UNINET, "--set images=None"),
        (UNINET, "--profile standard --set epochs=50"),
        (ALL_PARTS, "--multi-class"),
        (ALL_PARTS, "--multi-class --image-size 64"),
        (PLAIN, ""),
        (DIGITS, ""),
        (DIGITS, "--image-size 48 --set label_smoothing=0.1 --set pretrained_lr=0.01"),
        (RD, "--precision bf16 --no-pictures --no-measurements --pixel-metrics histogram"),
        ("rd_resnet18.same-parts.nuts-flips-scratch-s2", "--seeds 3 --recipes same"),
    ],
)
def test_the_command_gives_the_same_job(job, case, options):
    words = shlex.split(options)
    if "-flips-" in case:
        words += ["--augmentations", "flips"]
    first = job(["-k", case, *words])
    again = job(repeated(finished(first)))
    assert again.key == first.key
    assert again.settings.asked == first.settings.asked


@pytest.mark.parametrize("options", ["", "--images-seen 2000", "--image-size 128x128"])
def test_options_that_change_nothing_are_left_out(job, options):
    first = job(["-k", RD, *options.split()])
    usual = ["-k", RD, "--profile", "smoke", "--precision", first.protocol.precision]
    assert repeated(finished(first)) == usual


@pytest.mark.parametrize(
    ("data", "file", "folders"),
    [
        ("parts.nuts", "resnet18.pth", ["DATA", "WEIGHTS"]),
        ("mvtec.bottle", "resnet18-f37072fd.pth", ["DATA"]),  # as its publisher names it
        ("surface.woven", "resnet18.pth", ["WEIGHTS"]),
        ("elpv.mono", None, []),  # a package, and weights that a run did not get to
    ],
)
def test_folders_that_a_session_does_not_find_by_itself_are_to_be_filled_in(data, file, folders):
    record = make(data=data, fingerprints={"weights_file": file} if file else {})
    words = shlex.split(repeat_command(record, "--save-models"))
    assert [word for word in words if word in {"DATA", "WEIGHTS"}] == folders
    assert words[-2:] == ["--rerun", "--save-models"]


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ("epochs=10", []),
        ("epochs=10 warmup_epochs=1", []),
        ("epochs=10 warmup_epochs=5", ["warmup_epochs=5.0"]),  # as before epochs shortened it
        ("epochs=70 warmup_epochs=1", ["warmup_epochs=1.0"]),
        ("warmup_epochs=1", ["warmup_epochs=1.0"]),
    ],
)
def test_a_warm_up_is_named_unless_it_follows_the_epochs(job, changes, kept):
    words = [word for change in changes.split() for word in ("--set", change)]
    first = job(["-k", WARMING, "--profile", "standard", *words])
    again = repeated(finished(first))
    assert [word for word in again if word.startswith("warmup_epochs")] == kept
    assert job(again).key == first.key


def test_a_category_named_all_needs_no_model_for_all_categories(job):
    assert "--multi-class" not in repeated(finished(job(["-k", PLAIN])))


def test_a_failed_model_for_all_categories_is_repeated(job):
    first = job(["-k", ALL_PARTS, "--multi-class"])
    assert job(repeated(first.failed_record("crash", "it broke"))).key == first.key


def test_a_model_that_is_not_registered_has_its_recorded_budget_and_size():
    record = make("mine", protocol={"image_size": [256, 640], "images_seen": 700})
    words = " ".join(repeated(record))
    assert "--images-seen 700 --image-size 256x640" in words


def test_a_field_that_recipes_no_longer_have_is_named():
    recipe = {"optimizer": "sgd", "momentum": 0.8}
    record = make(protocol={"recipe": recipe, "changed": {"momentum": 0.9}})
    assert "--set momentum=0.8" in " ".join(repeated(record))
