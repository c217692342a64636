"""Image sizes that tell defective from normal images are reported next to the values."""

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from sklearn.metrics import roc_auc_score

from bench.run.shortcut import size_shortcut


def write(folder, sizes):
    folder.mkdir()
    files = [folder / f"{number}.png" for number in range(len(sizes))]
    for file, size in zip(files, sizes, strict=True):
        Image.new("L", size).save(file)
    return files


def sizes_of(axis, values):
    return [(int(v), 40) if axis == "width" else (40, int(v)) for v in values]


@pytest.mark.parametrize("axis", ["width", "height"])
@pytest.mark.parametrize("shift", [-12, 12])
def test_a_telling_side_is_noted_with_scikit_learns_value(tmp_path, axis, shift):
    rng = np.random.default_rng(0)
    train, normal = (rng.integers(30, 50, count) for count in (30, 40))
    defective = rng.integers(30, 50, 40) + shift
    test = np.concatenate((normal, defective))
    labels = torch.arange(80) >= 40
    expected = roc_auc_score(labels, np.abs(test - np.sort(train)[14]))
    note = size_shortcut(
        write(tmp_path / "train", sizes_of(axis, train)),
        write(tmp_path / "test", sizes_of(axis, test)),
        labels,
    )
    assert axis in note
    assert f"{100 * expected:.1f}" in note


@pytest.mark.parametrize("case", ["one size", "chance", "one class", "few images", "gone"])
def test_no_shortcut_no_note(tmp_path, case):
    rng = np.random.default_rng(1)
    values = np.full(60, 40) if case == "one size" else rng.integers(30, 50, 60)
    labels = torch.arange(60) >= (60 if case == "one class" else 30)
    test = write(tmp_path / "test", sizes_of("width", values))
    if case == "few images":
        test, labels = [test[0], test[-1]], labels[[0, -1]]
    if case == "gone":
        test[0].unlink()
    assert size_shortcut(write(tmp_path / "train", [(40, 40)] * 5), test, labels) == ""


def test_an_orientation_is_no_shortcut(tmp_path):
    files = [tmp_path / f"{number}.tif" for number in range(80)]
    for number, file in enumerate(files):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6 if number >= 60 else 1
        Image.new("L", (40, 30)).save(file, exif=exif)
    assert size_shortcut(files[:20], files[20:], torch.arange(60) >= 40) == ""
