"""What `train` says about a mistake: what was wanted, what was found, what to do."""

import pytest

from bench import TrainingError, train
from bench.interface import training
from bench.store import Store, StoreError


@pytest.mark.parametrize(
    ("names", "keywords"),
    [
        (("tinny", "tile", "padim_resnet18"), ["tinny", "tiny", "dataset_dir"]),
        (("tiny", "tlie", "padim_resnet18"), ["tlie", "tile"]),
        (("tiny", "tile", "padim_resnt18"), ["padim_resnet18"]),
        (("tiny", "tile", "rd_resnet18.sane"), ["same"]),
        (("tiny", "tile"), ["model_type"]),
        (("tiny", "tile", "resnet50"), ["classification"]),
        (("mvtec", None, "padim"), ["bottle", "all"]),
        (("mvtec", "bottle", "padim_resnet18"), ["mvtec", "data get", "dataset_dir"]),
        (("digits", "eight", "resnet50"), ["no categories"]),
        ((["tiny", 3], "tile", "padim"), ["list of names"]),
    ],
)
def test_a_name_that_is_not_there(outputs, names, keywords):
    with pytest.raises(TrainingError) as caught:
        train(*names, pretrained=False)
    for keyword in keywords:
        assert keyword in str(caught.value)
    assert not Store(outputs / "runs").records()


def test_missing_weights_name_the_file_the_places_and_the_command(outputs, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("PROVING_GROUND_WEIGHTS", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    weights = tmp_path / "weights"
    weights.mkdir()
    with pytest.raises(TrainingError) as caught:
        train("tiny", "tile", "rd_convnext", backbone_dir=weights)
    text = str(caught.value)
    assert "convnext_tiny" in text
    assert str(weights) in text
    assert "curl" in text
    assert "backbone_dir" in text
    assert "--weights-dir" not in text


@pytest.mark.parametrize(
    ("options", "keyword"),
    [
        ({"num_epoch": 3}, "num_epochs"),
        ({"num_epochs": 0}, "at least 1"),
        ({"num_epochs": "ten"}, "'ten'"),
        ({"lr": -1}, "number of at least 0"),
        ({"schedule": "sometimes"}, "cosine"),
        ({"alpha": 0.5}, "classifiers"),
        ({"img_size": "large"}, "pixels"),
        ({"img_size": (64,)}, "height"),
        ({"fit": "stretch"}, "squash"),
        ({"shots": 0}, "at least 1, or None"),
        ({"shots": -3}, "found -3"),
        ({"shots": "4"}, "found '4'"),
        ({"tiles": 3}, "rows"),
        ({"overlap": 8}, "overlap: wanted tiles"),
        ({"resume_from": "nowhere.pth"}, "nowhere.pth"),
        ({"profile": "fast"}, "smoke"),
        ({"precision": "fp16"}, "wanted one of float32, bf16, found 'fp16'"),
        ({"device": "gpu"}, "wanted cpu, cuda or cuda:N, found 'gpu'"),
        ({"device": "cuda:"}, "found 'cuda:'"),
        ({"device": 0}, "found 0"),
        ({"backbone_dir": "nowhere"}, "nowhere"),
        ({"dataset_dir": "nowhere"}, "dataset_dir"),
        ({"augmentation": "flip"}, "flips"),
        ({"bits": 7}, "bits: wanted a whole number from 8 to 16, found 7"),
        ({"bits": "12"}, "bits.*found '12'"),
        ({"split_by": "part["}, "split_by: wanted a regular expression"),
        ({"split_by": None}, "split_by.*found None"),
        ({"max_megapixels": 0}, "max_megapixels.*at least 1"),
    ],
)
def test_an_option_that_cannot_be(outputs, options, keyword):
    with pytest.raises(TrainingError, match=keyword):
        train("tiny", "tile", "rd_resnet18", pretrained=False, **options)
    assert not Store(outputs / "runs").records()


@pytest.mark.parametrize("name", ["output_dir", "cache_dir"])
def test_a_folder_that_cannot_be_written_is_named_before_training(
    outputs, tmp_path, monkeypatch, name
):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(training, "_the_runner", lambda: pytest.fail("a case ran"))
    with pytest.raises(TrainingError, match=rf"{name} .*file/here: wanted a folder.*not a folder"):
        train("tiny", "tile", "padim", pretrained=False, **{name: tmp_path / "file" / "here"})


def test_a_record_that_cannot_be_stored_is_an_error_in_the_words_of_this_interface(
    outputs, monkeypatch
):
    def fail(store, record):
        raise StoreError("Free some disk space or choose another place with --results-dir.")

    monkeypatch.setattr(Store, "append", fail)
    with pytest.raises(TrainingError, match="another place with output_dir"):
        train("tiny", "tile", "padim", pretrained=False, img_size=64)


def test_one_pass_models_have_nothing_to_resume(outputs, tmp_path):
    file = tmp_path / "model.pth"
    file.write_bytes(b"x")
    with pytest.raises(TrainingError, match="one pass"):
        train("tiny", "tile", "padim_resnet18", pretrained=False, resume_from=file)


def test_a_file_that_is_no_training_is_refused(outputs, tmp_path):
    file = tmp_path / "model.pth"
    file.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(TrainingError, match="cannot be read"):
        train("tiny", "tile", "autoencoder", resume_from=file, img_size=64)


def test_of_several_cases_one_may_fail(outputs, tmp_path, write_category):
    folder = write_category(tmp_path / "data" / "tiny" / "broken")
    (folder / "test" / "spot" / "000.png").write_bytes(b"not an image")
    records = train("tiny", "all", "padim_resnet18", pretrained=False, img_size=64)
    assert [(r.case.category, r.outcome) for r in records] == [("broken", "data"), ("tile", "ok")]
    with pytest.raises(TrainingError, match=r"000\.png"):
        train("tiny", "broken", "padim_resnet18", pretrained=False, img_size=64)
