"""Rectangles, fits and tiles through the harness: what is evaluated, and on which pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score
from training_reports import quiet
from written_images import save_image

from bench.case import Case
from bench.run.anomaly import AnomalyTask, split_held_out
from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.run.job import RecipeError
from bench.run.predict import HeadPredictions, predict_all
from bench.run.whole_images import whole_maps, windows_of
from bench.settings import Settings
from datasets_lib.discover import find_datasets
from datasets_lib.images.geometry import Geometry

WIDE, TALL = (60, 24), (20, 50)  # width, height
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Wide and tall images; defects in the middle and at an edge that a crop cuts away."""
    root = tmp_path_factory.mktemp("shapes")
    folder = root / "tiny" / "part"
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 6)):
        for number in range(count):
            width, height = (WIDE, TALL)[number % 2]
            pixels = rng.integers(0, 90, (height, width, 3))
            save_image(folder / split / "good" / f"{number}.png", pixels)
    for number, (width, height) in enumerate((WIDE, TALL, WIDE, TALL)):
        pixels, mask = rng.integers(0, 90, (height, width, 3)), np.zeros((height, width))
        place = (height // 2, width // 2) if number < 2 else (2, 2)
        mask[place[0] : place[0] + 5, place[1] : place[1] + 5] = 255
        pixels[mask > 0] = 250
        save_image(folder / "test" / "spot" / f"{number}.png", pixels)
        save_image(folder / "ground_truth" / "spot" / f"{number}_mask.png", mask)
    return root


@pytest.fixture
def loaded(data, tmp_path):
    """Load a case with options for its shape."""

    def loaded(model="dfm_resnet18", **options):
        settings = Settings("smoke", "cpu", (data,), (), tmp_path, data / "cache", **options)
        case = Case(model, "baseline", "tiny", "part", "default", False, 0)
        task = AnomalyTask(
            Finder(settings, find_datasets(settings.data_dirs)).job(case), CPU, DeviceData(), quiet
        )
        task.load()
        return task

    return loaded


def evaluated(task):
    """Evaluate made-up maps; return them, the true masks of whole images and the evaluation."""
    shown = task.data.shown
    draw = torch.Generator().manual_seed(1)
    maps = torch.rand(len(shown), *shown.images.shape[-2:], generator=draw)
    maps = maps + 0.5 * shown.masks.float()
    result = {"score": HeadPredictions(maps.amax((1, 2)), maps)}
    return maps, task.evaluate({"test": result}, None)


def true_masks(task):
    """Return the masks of whole images at the frame's size, by Pillow only."""
    height, width = task.job.protocol.frame.size
    masks = np.zeros((len(task.inputs.test), height, width), bool)
    for row, sample in enumerate(task.inputs.test):
        for file in sample.masks:
            picture = Image.open(file).resize((width, height), Image.Resampling.NEAREST)
            masks[row] |= np.asarray(picture) > 0
    return masks


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": (32, 64)},
        {"image_size": (32, 64), "fit": "pad"},
        {"image_size": 32, "fit": "crop"},
        {"image_size": 32, "tiles": (1, 2), "overlap": 8},
        {"image_size": 32, "fit": "pad", "tiles": (2, 2), "overlap": 4},
    ],
    ids=str,
)
def test_pixel_metrics_are_over_whole_images(loaded, options):
    task = loaded(**options)
    maps, evaluation = evaluated(task)
    frame = task.job.protocol.frame
    if frame.fit != "squash":
        maps = whole_maps(maps, windows_of(task.inputs.test, frame))
    masks, values = true_masks(task).ravel(), maps.numpy().ravel()
    metrics = evaluation.metrics["score"]
    assert metrics["pixel_auroc"] == pytest.approx(roc_auc_score(masks, values), abs=1e-6)
    assert metrics["pixel_ap"] == pytest.approx(average_precision_score(masks, values), abs=1e-6)
    assert set(evaluation.metrics) == (
        {"score", "score_crop"} if frame.fit == "crop" else {"score"}
    )


def test_a_crop_says_which_defects_it_lost_and_its_own_domain_is_a_second_head(loaded):
    task = loaded(image_size=32, fit="crop")
    maps, evaluation = evaluated(task)
    assert evaluation.fingerprints["defects_cut_away"] == 2
    assert "2 of 4 defective images" in evaluation.notes["score.image_auroc"]
    shown = ~task.data.test.labels | task.data.test.masks.flatten(1).any(1)
    inside = task.data.test.masks[shown].numpy().ravel()
    wanted = roc_auc_score(inside, maps[shown].numpy().ravel())
    assert evaluation.metrics["score_crop"]["pixel_auroc"] == pytest.approx(wanted)


def test_frames_are_cut_into_tiles_to_train_and_to_predict_and_put_together(loaded):
    task = loaded("padim_resnet18", image_size=32, tiles=(1, 2), overlap=8)
    model = task.build()
    task.prepare(model)
    task.train(model)
    assert task.data.fit.images.shape == (22, 3, 32, 32)  # 11 of 12: one calibrates
    found = task.predict(model)
    test = found["test"]["score"]
    assert len(found["calibration"]["score"].scores) == 1
    frames = task.data.frames.images
    assert frames.shape == (10, 3, 32, 56)
    # The tiles' maps, one image at a time; columns 24 to 31 of the frame are in both.
    left, right = (
        predict_all(model, part, batch_size=1, device=CPU, progress=quiet)["score"]
        for part in (frames[..., :32], frames[..., 24:])
    )
    torch.testing.assert_close(test.scores, torch.maximum(left.scores, right.scores))
    falling = (8 - torch.arange(8)) / 9
    blended = falling * left.maps[..., 24:] + (1 - falling) * right.maps[..., :8]
    whole = torch.cat([left.maps[..., :24], blended, right.maps[..., 8:]], dim=-1)
    torch.testing.assert_close(test.maps, whole, rtol=1e-3, atol=1e-4)


def test_all_tiles_of_a_held_out_image_are_held_out(loaded):
    task = loaded("efficientad_small", image_size=64, tiles=(1, 2))
    (name,) = task.inputs.held_out
    fitted, held_out = split_held_out(task.data.fit, task.inputs.held_out)
    assert held_out.names == (name, name)
    assert len(fitted) == 2 * task.inputs.images["fit"]


def test_shapes_share_neither_images_nor_features(loaded):
    shapes = [
        {"image_size": 32},
        {"image_size": 32, "fit": "pad"},
        {"image_size": 32, "fit": "crop"},
        {"image_size": (32, 64)},
        {"image_size": 32, "tiles": (1, 2)},
    ]
    digests = [loaded(**options).data.pixels["fit"] for options in shapes]
    assert len(set(digests)) == len(digests)
    assert len({loaded(**options).job.group for options in shapes}) == len(shapes)


def test_one_store_of_device_data_tells_shapes_apart(loaded):
    store, seen = DeviceData(), []
    for options in ({"image_size": 32}, {"image_size": 32, "fit": "pad"}):
        task = loaded(**options)
        task.device_data = store
        task.load()
        seen.append(task.data.test.images)
    assert not torch.equal(*seen)


def test_textures_have_the_shape_of_the_images(loaded):
    task = loaded("draem", image_size=(32, 64))
    assert task._textures().images.shape[-2:] == (32, 64)
    task.job = replace(task.job, protocol=replace(task.job.protocol, image_size=(64, 32)))
    assert task._textures().images.shape[-2:] == (64, 32)


def test_penalty_pictures_are_the_middle_of_twice_the_size(loaded):
    task = loaded("efficientad_small", image_size=(64, 96))
    assert task.job.protocol.textures("middle") == Geometry(64, 96, "middle")


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("dfm_resnet18", {"image_size": 32, "tiles": (1, 2), "overlap": 17}, "at most 16"),
        ("dfm_resnet18", {"image_size": (32, 64), "tiles": (1, 2), "overlap": 40}, "at most 16"),
    ],
)
def test_impossible_shapes_are_refused_before_anything_is_read(loaded, model, options, words):
    with pytest.raises(RecipeError, match=words):
        loaded(model, **options)
