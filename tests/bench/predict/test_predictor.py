"""A loaded checkpoint predicts what the trained model did, bit for bit."""

import pytest
import torch
from saved_models import driver, gray, places, relocate, save, save_padim

from bench.checkpoint.file import read_checkpoint
from bench.checkpoint.metadata import CheckpointError, Preprocessing
from bench.predict.predictor import load_checkpoint
from models.catalog import MODELS
from models.components import winograd
from models.components.base import Prediction

QUICK = ("padim_resnet18", "rd_resnet18", "autoencoder")
# One of each class of models, and of each kind of frozen part.
SLOW = (
    *("patchcore_resnet18", "dfm_resnet18", "dfkde_resnet18", "fre_resnet18", "stfpm_resnet18"),
    *("cfa_resnet18", "cflow_resnet18", "fastflow_resnet18", "fastflow_deit"),
    *("csflow", "rd_convnext", "efficientad_small", "draem", "dsr", "ganomaly", "uninet_resnet18"),
    *("supersimplenet_resnet18", "uflow_mcait"),
)
NAMES = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def fitted(name, side=driver.SIDE):
    size = side, side
    images = driver.pictures(24 if name.startswith("dfkde") else 6, 1, size)
    held_out = driver.pictures(3, 5, size) if MODELS[name].holds_out else None
    fields = driver.training_fields(name, images[:2])
    return driver.fit(driver.make(name), images, held_out=held_out, steps=1, **fields)


def assert_equal(result, expected: Prediction):
    assert torch.equal(result.scores, expected.scores)
    assert (result.maps is None) == (expected.maps is None)
    if expected.maps is not None:
        assert torch.equal(result.maps, expected.maps)


@pytest.mark.parametrize("name", NAMES)
def test_loaded_model_predicts_to_the_bit_and_needs_no_weights_file(name, tmp_path):
    model = fitted(name)
    with driver.smaller_weights():
        predictor = load_checkpoint(save(tmp_path / "model.pth", name, model))
    pixels = torch.from_numpy(gray(5, seed=2)).permute(0, 3, 1, 2)
    floats = pixels.to(torch.float32, memory_format=torch.channels_last) / 255
    expected = driver.predict(model, floats)
    found = predictor.predict(pixels)
    assert list(found) == list(MODELS[name].heads)
    batch = predictor.score(gray(5, seed=2))
    for head, prediction in expected.items():
        assert_equal(found[head], prediction)
        assert (torch.from_numpy(batch.scores[head]) == prediction.scores).all()
        assert (head in batch.maps) == (prediction.maps is not None)


def test_a_checkpoint_of_a_gpu_predicts_the_same_on_a_machine_without_one(tmp_path):
    path = tmp_path / "model.pth"
    save_padim(path)
    pixels = torch.from_numpy(gray(3, seed=2)).permute(0, 3, 1, 2)
    expected = load_checkpoint(path).predict(pixels)["score"]
    digest = read_checkpoint(path).sha256
    assert places(path) == {"cpu"}
    assert places(relocate(path)) == {"cuda:0"}
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):  # as it would when read any other way
            torch.load(path, weights_only=True)
    predictor = load_checkpoint(path)
    assert read_checkpoint(path).sha256 == digest
    assert {tensor.device.type for tensor in predictor.model.state_dict().values()} == {"cpu"}
    assert_equal(predictor.predict(pixels)["score"], expected)


def test_read_only_pixels_are_scored_without_a_warning(tmp_path):
    """As NumPy views of Pillow's images are."""
    save_padim(tmp_path / "model.pth")
    predictor = load_checkpoint(tmp_path / "model.pth")
    pixels = gray(3, seed=2)
    wanted = predictor.score(pixels)
    pixels.flags.writeable = False
    found = predictor.score(pixels)
    assert (found.scores["score"] == wanted.scores["score"]).all()


def test_any_order_and_batch_size_gives_the_same_scores(tmp_path):
    save_padim(tmp_path / "model.pth")
    predictor = load_checkpoint(tmp_path / "model.pth")
    pixels = torch.from_numpy(gray(9, seed=2)).permute(0, 3, 1, 2)
    together = predictor.predict(pixels)["score"].scores
    for size in (1, 2, 9):
        backwards = predictor.predict(pixels.flip(0), size)["score"].scores.flip(0)
        torch.testing.assert_close(backwards, together, rtol=1e-5, atol=0)


@pytest.mark.slow
def test_wide_convolutions_are_computed_as_in_training(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    model = fitted("efficientad_small", side=128)
    own = Preprocessing(128, 128)
    predictor = load_checkpoint(
        save(tmp_path / "model.pth", "efficientad_small", model, preprocessing=own)
    )
    calls = count_calls(monkeypatch)
    pixels = (255 * driver.pictures(2, 3, (128, 128))).to(torch.uint8)
    expected = driver.predict(model, pixels.float() / 255)["score"]
    once = len(calls)
    assert_equal(predictor.predict(pixels)["score"], expected)
    assert len(calls) == 2 * once > 0


def count_calls(monkeypatch):
    """Return a list that grows by one with each convolution by minimal filtering."""
    calls, convolve = [], winograd.convolve

    def counted(*arguments):
        calls.append(1)
        return convolve(*arguments)

    monkeypatch.setattr(winograd, "convolve", counted)
    return calls


def test_classifier_gives_probabilities_of_its_classes(tmp_path):
    name = "resnet50"
    options = {"classes": 3, "image_size": 32, "label_smoothing": 0.1}
    torch.manual_seed(1)
    model = MODELS[name].load_build()(weights=MODELS[name].weights, state=None, **options)
    fields = {"options": options, "heads": (), "classes": ("cat", "dog", "owl")}
    own = Preprocessing(32, 32)
    path = save(tmp_path / "model.pth", name, model, preprocessing=own, **fields)
    predictor = load_checkpoint(path)
    images = torch.from_numpy(gray(4, side=32)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = model.predict(images.to(torch.float32) / 255).softmax(1)
    found = predictor.probabilities(images)
    torch.testing.assert_close(found, expected)
    assert found.sum(1) == pytest.approx([1.0] * 4)
    with pytest.raises(TypeError, match="classifier"):
        predictor.predict(images)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "padim_resnet19"}, "not in the catalog.*padim_resnet18"),
        ({"model": "rd_resnet18", "options": {"loss": "per_pixel"}}, "does not fit"),
        ({"model": "autoencoder", "options": {}}, "pretrained parts.*backbone"),
        ({"options": {"channels": 7}}, "does not fit"),
        ({"options": {"channels": -1}}, "does not fit.*channels"),
        ({"options": {"channels": 100, "checkpoint_path": "/x.pth"}}, "checkpoint_path"),
        ({"options": {"channels": 100, "weights": "/x.pth"}}, None),
        ({"options": {"channels": [[[]], {}]}}, "does not fit"),
        ({"task": "classification"}, "is for anomaly"),
    ],
)
def test_description_of_another_model_is_an_error_and_opens_nothing(fields, said, tmp_path):
    path = tmp_path / "model.pth"
    save_padim(path, **fields)
    if said is None:
        load_checkpoint(path)  # an option that names a file is ignored
        return
    with pytest.raises(CheckpointError, match=said) as raised:
        load_checkpoint(path)
    assert str(path) in str(raised.value)


def test_a_checkpoint_from_before_its_scores_changed_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    save_padim(path, code={"commit": "c" * 40})
    monkeypatch.setattr("models.padim.PaDiM.score_version", 2)
    with pytest.raises(CheckpointError, match=r"thresholds do not fit them.*cccccccc"):
        load_checkpoint(path)
    save_padim(path)
    assert load_checkpoint(path).metadata.score_version == 2


def test_random_numbers_of_the_caller_stay_as_they_were(tmp_path):
    save_padim(tmp_path / "model.pth")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_checkpoint(tmp_path / "model.pth")
    assert torch.equal(torch.rand(3), expected)


def test_tiles_are_predicted_one_by_one_and_put_together(tmp_path):
    path = tmp_path / "model.pth"
    model, _ = save_padim(path, preprocessing=Preprocessing(112, 64, tiles=(2, 1), overlap=16))
    predictor = load_checkpoint(path)
    frames = gray(3, side=112)[:, :, :64]
    found = predictor.predict(torch.from_numpy(frames).permute(0, 3, 1, 2))["score"]
    floats = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    parts = floats[:, :, :64], floats[:, :, 48:]
    upper, lower = (driver.predict(model, part)["score"] for part in parts)
    torch.testing.assert_close(found.scores, torch.maximum(upper.scores, lower.scores))
    assert found.maps.shape == (3, 112, 64)
    torch.testing.assert_close(found.maps[:, :48], upper.maps[:, :48])
    torch.testing.assert_close(found.maps[:, 64:], lower.maps[:, 16:])
    batch = predictor.score(frames)
    assert (torch.from_numpy(batch.scores["score"]) == found.scores).all()
    assert (torch.from_numpy(batch.maps["score"]) == found.maps).all()
