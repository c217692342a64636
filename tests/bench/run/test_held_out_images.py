"""A model that holds images out takes its constants from these alone, and trains on none of them.

The images are told apart by their pixels, as read from the files of the dataset.
"""

from itertools import chain
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image

import models.catalog
from bench.case import Case
from bench.run.anomaly import AnomalyTask
from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.settings import Settings
from datasets_lib.discover import find_datasets
from models.catalog import ModelEntry, Recipe
from models.components.base import AnomalyModel, Prediction

SIDE = 48  # that of the files: images are not resized
TRAINING_IMAGES, TEST_IMAGES = 30, 12


class Recorder(AnomalyModel):
    """Notes the images of every call in the order of the calls, and learns one brightness."""

    def __init__(self):
        super().__init__()
        self.brightness = torch.nn.Parameter(torch.zeros(()))
        self.calls = []

    def loss(self, batch):
        self._note("loss", [batch])
        return (batch.get_images() - self.brightness).square().mean()

    def update(self, batch):
        self._note("update", [batch])

    def compute(self):
        pass

    def calibrate(self, batches):
        self._note("calibrate", batches)

    def predict(self, batch):
        maps = (batch.get_images() - self.brightness).abs().mean(1)
        return {"score": Prediction(maps.amax((1, 2)), maps)}

    def _note(self, method, batches):
        images = torch.cat([batch.get_images() for batch in batches])
        pixels = (images * 255).round().to(torch.uint8)
        self.calls.append((method, [image.numpy().tobytes() for image in pixels]))

    def seen(self, method):
        """Return the images of all calls of a method."""
        return set(chain.from_iterable(images for name, images in self.calls if name == method))


def build(*, weights, state):
    return Recorder()


ENTRY = ModelEntry(
    name="recorder",
    family="test",
    build=build,
    weights=None,
    recipes={"baseline": Recipe(optimizer="adam", lr=0.01, epochs=2, source="test")},
    holds_out=True,
)


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1).tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_category):
    folder = tmp_path_factory.mktemp("data")
    write_category(folder / "tiny" / "tile", train=TRAINING_IMAGES, side=SIDE)
    return folder


@pytest.fixture(scope="module")
def training_images(folder):
    return {pixels_of(path) for path in (folder / "tiny/tile/train/good").iterdir()}


@pytest.fixture(scope="module")
def test_images(folder):
    return {pixels_of(path) for path in (folder / "tiny/tile/test").glob("*/*.png")}


# With the profile `smoke`, three training images set the threshold and are neither fitted to nor
# held out; with `paper`, none does.
@pytest.fixture(scope="module", params=["smoke", "paper"])
def task(request, folder, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    settings = Settings(
        *(request.param, "cpu", (folder,), (), root / "results", root / "cache"),
        image_size=SIDE,
        images_seen=64,
    )
    case = Case("recorder", "baseline", "tiny", "tile", "default", False, 0)
    with patch.dict(models.catalog._models, {"recorder": ENTRY}):
        job = Finder(settings, find_datasets([folder])).job(case)
        task = AnomalyTask(job, torch.device("cpu"), DeviceData(), lambda *_: None)
        task.load()
        yield task


@pytest.fixture(scope="module")
def model(task):
    """A model that the task has trained."""
    model = task.build()
    task.prepare(model)
    task.train(model)
    return model


@pytest.fixture(scope="module")
def held_out(task):
    """The images of the files whose names the inputs say are held out."""
    paths = [sample.image for sample in task.inputs.fit if sample.name in task.inputs.held_out]
    return {pixels_of(Path(path)) for path in paths}


@pytest.fixture(scope="module")
def threshold_images(task):
    """The images of the files that set the threshold."""
    return {pixels_of(sample.image) for sample in task.inputs.calibration}


def test_the_files_have_different_pixels(training_images, test_images):
    assert (len(training_images), len(test_images)) == (TRAINING_IMAGES, TEST_IMAGES)
    assert training_images.isdisjoint(test_images)


def test_a_tenth_of_the_training_images_is_held_out(
    held_out, threshold_images, training_images, test_images
):
    assert len(held_out) == 3
    assert held_out < training_images - threshold_images
    assert held_out.isdisjoint(test_images)


def test_the_last_calibration_after_training_sees_exactly_the_held_out_images(model, held_out):
    methods = [method for method, _ in model.calls]
    assert "loss" in methods[:-1]
    method, images = model.calls[-1]
    assert method == "calibrate"
    assert len(images) == len(held_out)
    assert set(images) == held_out


def test_no_calibration_sees_another_image(model, held_out):
    assert model.seen("calibrate") == held_out


@pytest.mark.parametrize("method", ["update", "loss"])
def test_a_model_is_fitted_to_all_other_training_images(
    model, method, held_out, threshold_images, training_images
):
    assert model.seen(method) == training_images - held_out - threshold_images


def test_neither_test_images_nor_those_of_the_threshold_are_seen_in_training(
    model, test_images, threshold_images
):
    seen = model.seen("update") | model.seen("loss") | model.seen("calibrate")
    assert seen.isdisjoint(test_images | threshold_images)
