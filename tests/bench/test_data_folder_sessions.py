"""Sessions on folders as people have them: other writing systems and layouts, cameras, bursts."""

import pytest
from case_names import case_named
from PIL import Image
from written_images import write_camera

from bench.run.inputs import Finder
from bench.settings import Settings
from datasets_lib.discover import find_datasets

CASE = "autoencoder-{}-default-scratch-s0"


@pytest.fixture
def data(tmp_path, write_category):
    """A data folder with one dataset in Korean and three folders that are not datasets."""
    for category in ("너트", "볼트"):
        write_category(tmp_path / "data" / "부품" / category, 6, 2, 2)
    for file in ("good/1.png", "cut/1.png", "flat/bolt/1.png", "flat/nut/1.png"):
        folder = "hazelnut" if file.count("/") == 1 else "."
        path = tmp_path / "data" / folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    return tmp_path / "data"


@pytest.fixture
def collect(session_options, run_session, data):
    """List cases; return the output."""

    def run(*options):
        result = run_session(*session_options, "--data-dir", str(data), "--co", "-q", *options)
        return result.ret, "\n".join(result.outlines + result.errlines)

    return run


def test_names_of_any_script_are_cases_with_ids_to_type(collect):
    code, said = collect("-k", "autoencoder and neoteu")
    assert code == 0
    assert CASE.format("bupum.neoteu") in said
    assert "bolteu" not in said


def test_a_name_as_it_is_written_leads_to_its_id(collect):
    code, said = collect("-k", "너트")
    assert code != 0
    assert "neoteu" in said


def test_folders_that_are_no_dataset_say_what_to_rename(collect, data):
    for options in (("-k", "autoencoder and neoteu"), ("-k", "hazelnut_toy")):
        said = collect(*options)[1]
        assert f"passed over {data / 'hazelnut'}: good holds normal images: move cut" in said
        assert f"passed over {data / 'flat'}: it has the classes bolt, nut without a split" in said


def test_a_dataset_in_place_of_its_parent_is_named(collect, data):
    said = collect("--data-dir", str(data / "부품"), "-k", "autoencoder and neoteu")[1]
    assert f"this is the dataset bupum itself: name {data} with --data-dir" in said


@pytest.fixture
def camera(tmp_path):
    """A data folder with the shots of a 12-bit camera."""
    write_camera(tmp_path / "shots" / "camera")
    return tmp_path / "shots"


@pytest.fixture
def job(tmp_path, camera):
    """The job of a case on the camera's images with some settings."""

    def find(**options):
        settings = Settings(
            "smoke", "cpu", (camera,), (), tmp_path / "results", tmp_path / "cache", **options
        )
        finder = Finder(settings, dict(find_datasets([camera])))
        return finder.job(case_named(CASE.format("camera.all")))

    return find


def test_unfilled_bits_are_in_the_record_and_in_the_key(job):
    plain, twelve = job(), job(bits=12)
    assert "--bits 12" in plain.record().notes["data"]
    assert "bits" not in plain.record().fingerprints
    assert twelve.record().fingerprints["bits"] == 12
    assert "data" not in twelve.record().notes
    assert plain.key.data != twelve.key.data


def test_a_split_by_prefix_is_in_the_record_and_in_the_key(job):
    plain, grouped = job(), job(split_by="part[0-9]+")
    parts = [
        {sample.image.name.partition("_")[0] for sample in samples if sample.defect is None}
        for samples in (grouped.inputs.fit, grouped.inputs.test)
    ]
    assert sorted(map(sorted, parts)) == [["part0"], ["part1"]]
    assert grouped.record().fingerprints["split_by"] == "part[0-9]+"
    assert plain.key.data != grouped.key.data


@pytest.mark.slow
@pytest.mark.parametrize("bits", [16, 12])
def test_a_session_scales_by_the_cameras_bits(run_session, session_options, camera, store, bits):
    result = run_session(
        *session_options,
        *("--data-dir", str(camera), "-k", CASE.format("camera.all"), "--bits", str(bits)),
        *("--image-size", "64", "--images-seen", "4", "--no-pictures", "--no-measurements"),
    )
    result.assert_outcomes(passed=1)
    [record] = store.records()
    said = "\n".join(result.outlines)
    assert ("read them with --bits 12" in said) == (bits == 16)
    assert record.fingerprints.get("bits", 16) == bits
