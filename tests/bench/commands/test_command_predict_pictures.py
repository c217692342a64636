"""Pictures that ``python -m bench predict`` writes beside its lines."""

import numpy as np
import pytest
from predictions import lines_of, pixels_of

from bench.checkpoint.metadata import Preprocessing
from bench.predict.pictures import Pictures


def test_maps_are_pictures_at_the_size_of_the_image_in_one_scale(predict, saved, images, tmp_path):
    path, _, own = saved
    code, out, err = predict(
        images, images / "good" / "0.png", "--maps", tmp_path / "maps", "--contours"
    )
    assert code == 0
    assert f"pictures in {tmp_path / 'maps'}" in err
    assert f"bench export {path} --format onnx --images {images}" in err  # ready to copy
    names = sorted(
        path.relative_to(tmp_path / "maps").as_posix() for path in tmp_path.glob("maps/**/*.png")
    )
    # A file that was named individually does not collide with others of its name.
    assert len(names) == 14 + 1
    assert {"scale.png", "good/0_heat.png", "spot/2_overlay.png", "0_heat.png"} <= set(names)
    for kind in ("good", "spot"):
        image = pixels_of(images / kind / "2.png")
        heat = pixels_of(tmp_path / "maps" / kind / "2_heat.png")
        overlay = pixels_of(tmp_path / "maps" / kind / "2_overlay.png")
        assert heat.shape == overlay.shape == image.shape
        outlined = (overlay == (0, 229, 255)).all(2)
        (line,) = (ln for ln in lines_of(out) if ln["image"] == str(images / kind / "2.png"))
        assert outlined.any() == bool(line["regions"])
        inside = outlined.any(0).nonzero()[0]
        assert kind == "good" or (inside[0] < 80 < inside[-1])
        # Where the map is lowest, there is no heat and the image itself shows.
        assert (overlay == image)[heat.sum(2) < 10].all()
    low, high = own.map_range
    pictures = Pictures(tmp_path, own, Preprocessing(64, 64))
    heat, colors = pictures.colors(np.array([[low - 1, low, (low + high) / 2, high, 1e9]], "f4"))
    assert heat[0] == pytest.approx([0, 0, 0.5**0.5, 1, 1])
    assert colors[0, 0].tolist() == colors[0, 1].tolist() == [0, 0, 4]


def test_pictures_are_not_predicted_themselves(predict, images):
    for _ in range(2):
        code, out, _ = predict(images, "--maps", images / "maps")
        assert (code, len(lines_of(out))) == (0, 6)
    assert len(list((images / "maps").rglob("*.png"))) == 13
    for arguments in (
        [images / "good"],
        [images / "good" / "*.png"],
        ["--watch", images / "good", "--idle", "0.1"],
    ):
        before = sorted((images / "good").iterdir())
        code, out, err = predict(*arguments, "--maps", images / "good" / ".." / "good")
        assert (code, out) == (2, "")
        assert "wanted a folder for the pictures" in err
        assert sorted((images / "good").iterdir()) == before
    code, out, _ = predict(images / "good", "--maps", images)  # above the images is apart from them
    assert (code, len(lines_of(out))) == (0, 3)


@pytest.mark.parametrize("maps", ["maps", "spot"])
def test_pictures_are_not_predicted_by_a_pattern_either(predict, images, maps):
    pattern, maps = f"{images}/**/*.png", images / maps
    for _ in range(2):
        code, out, _ = predict(pattern, "--maps", maps)
        assert (code, len(lines_of(out))) == (0, 6)
    code, out, _ = predict(pattern, maps / "0_heat.png", "--maps", maps)
    assert len(lines_of(out)) == 7  # a file that is named is wanted


def test_a_long_name_does_not_end_a_stream(predict, images, tmp_path):
    long = f"{76 * '가'}-1"  # 230 bytes
    (images / "good" / "1.png").rename(images / "good" / f"{long}.png")
    code, out, _ = predict(images / "good", "--maps", tmp_path / "maps")
    assert (code, len(lines_of(out))) == (0, 3)
    names = [file.name for file in (tmp_path / "maps").iterdir()]
    assert len(names) == 7
    assert sum(name.startswith(long[:60]) for name in names) == 2
