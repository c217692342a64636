"""Small saved models, for tests of checkpoints and of predictions with them."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import torch

from bench.checkpoint.file import write_checkpoint
from bench.checkpoint.metadata import Calibration, Metadata, Preprocessing
from models.catalog import MODELS

sys.path.append(str(Path(__file__).parents[1] / "models"))

import model_driver as driver

SIDE = driver.SIDE


def describe(name, /, **fields):
    """Return the metadata of a catalog entry as `model_driver.make` builds it."""
    entry = MODELS[name]
    given = {
        "model": name,
        "recipe": "baseline",
        "task": entry.task,
        "options": driver.options_of(name),
        "heads": entry.heads,
        "preprocessing": Preprocessing(SIDE, SIDE),
        "dataset": "tiny",
        "category": "tile",
        "case": f"{name}-tiny.tile-default-scratch-s0",
    }
    return Metadata(**{**given, **fields})


def save(path, name, model, /, **fields):
    """Save a model with the metadata of its catalog entry."""
    return write_checkpoint(path, model, describe(name, **fields))


def gray(count, seed=0, side=SIDE, spot=False):
    """Return noisy gray images ``(count, side, side, 3)`` uint8, with a bright square if asked."""
    images = np.random.default_rng(seed).integers(90, 120, (count, side, side, 3), np.uint8)
    if spot:
        images[:, side // 4 : side // 2, side // 2 : 3 * side // 4] = 250
    return images


def save_padim(path, *, spoil=lambda model: None, **fields):
    """Save a PaDiM of gray images, calibrated on thirty of them; return it and its raw scores.

    Args:
        path: Path of the file.
        spoil: Changes the model before it is saved.
        fields: Fields of its metadata.
    """
    model = driver.make("padim_resnet18")
    images = torch.from_numpy(gray(64)).permute(0, 3, 1, 2) / 255
    driver.gather(model, images[:32], cuts=8)
    scores = driver.predict(model, images[32:62])["score"]
    ascending = scores.scores.sort().values
    own = Calibration(
        scores=tuple(ascending.tolist()),
        peaks=tuple(scores.maps.amax((1, 2)).sort().values.tolist()),
        thresholds={
            "calibrated_p95": float(ascending[-1]),
            "pixel_calibrated_p95": float(ascending[-1]),
        },
        test_thresholds={"best_f1": float(ascending[15]), "pixel_best_f1": float(ascending[15])},
        map_range=(float(scores.maps.median()), 2 * float(ascending[-1])),
    )
    spoil(model)
    given = {"calibrations": {"": {"score": own}}, **fields}
    save(path, "padim_resnet18", model, **given)
    return model, own


def relocate(path, device="cuda:0"):
    """Rewrite a file of torch.save as if its tensors had been on another device.

    The archive's pickle names the device of each storage; torch writes nothing else about it.
    """
    with zipfile.ZipFile(path) as archive:
        parts = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts:
            if name.endswith("/data.pkl"):
                data = data.replace(_pickled("cpu"), _pickled(device))
            archive.writestr(name, data)
    return path


def places(path):
    """Return the devices that a file of torch.save names for its tensors."""
    found = set()

    def keep(storage, location):
        found.add(location)
        return storage

    torch.load(path, map_location=keep, weights_only=True)
    return found


def _pickled(text):
    """Return a text as protocol 2 of pickle writes it."""
    return b"X" + len(text).to_bytes(4, "little") + text.encode()
