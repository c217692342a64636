"""``python -m bench predict`` as a user runs it, with a small model."""

import argparse
import csv
import io
import json
import re
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from predictions import lines_of, pixels_of
from saved_models import driver, save, save_padim

from bench.checkpoint.metadata import Calibration, Preprocessing
from bench.commands.command import CommandError
from bench.commands.predict import _ANOMALY_OPTIONS, _check_no_anomaly_option
from bench.metrics.thresholds import calibrated_threshold
from models.catalog import MODELS


def test_each_image_is_a_line_with_all_that_was_asked(predict, saved, images):
    _, model, own = saved
    code, out, err = predict(images)
    assert code == 0
    assert f"defective above {own.scores[-1]:.6g} (calibrated_p95 of 30 held-out" in err
    lines = lines_of(out)
    assert [line["image"] for line in lines] == [
        str(images / kind / f"{number}.png") for kind in ("good", "spot") for number in range(3)
    ]
    for line in lines:
        assert list(line) == ["image", "score", "score01", "label", "threshold", "regions", "ms"]
        pixels = pixels_of(line["image"], (64, 64))
        floats = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
        score = float(driver.predict(model, floats)["score"].scores)
        assert line["score"] == pytest.approx(score, rel=1e-4)
        assert line["score01"] == np.mean(np.array(own.scores) < line["score"])
        assert line["label"] == ("defective" if line["score"] > line["threshold"] else "normal")
        assert line["ms"] > 0
    for number, line in enumerate(lines[3:]):
        assert line["label"] == "defective"
        found, height = line["regions"][0], 96 + 32 * number
        assert found["peak"] == pytest.approx(line["score"], rel=1e-6)
        # The square lies in the third quarter of the width and the second of the height.
        assert found["x"] < 80 < found["x"] + found["width"]
        assert found["y"] < 0.375 * height < found["y"] + found["height"]


def test_order_and_batch_size_change_nothing_but_rounding(predict, images):
    scores = []
    for size, sources in ((32, ["spot", "good"]), (1, ["spot", "good"]), (4, ["good", "spot"])):
        _, out, _ = predict(*(images / name for name in sources), "--batch-size", size)
        scores.append({line["image"]: line["score"] for line in lines_of(out)})
    again = lines_of(predict(images / "spot", images / "good")[1])
    assert {line["image"]: line["score"] for line in again} == scores[0]
    for other in scores[1:]:
        assert other == pytest.approx(scores[0], rel=1e-5)


def test_thresholds_are_changed_without_training(predict, saved, images):
    _, _, own = saved
    for arguments, wanted in (
        (("--threshold", "1e9"), 1e9),
        (("--threshold=-3",), -3.0),
        (("--threshold", "best_f1"), own.test_thresholds["best_f1"]),
        (("--sensitivity", "0.8"), calibrated_threshold(torch.tensor(own.scores), 0.8)),
        (("--sensitivity", "0.8x3"), None),
    ):
        code, out, err = predict(images, *arguments)
        lines = lines_of(out)
        assert code == 0
        assert len({line["threshold"] for line in lines}) == 1
        assert wanted is None or lines[0]["threshold"] == pytest.approx(wanted)
        assert ("chosen on test labels" in err) == ("best_f1" in arguments)
        assert all((ln["score"] > ln["threshold"]) == (ln["label"] == "defective") for ln in lines)


def test_few_held_out_images_are_named_with_what_moves_the_threshold(predict, images, tmp_path):
    path = tmp_path / "few.pth"
    few = Calibration(scores=(1.0, 2.0, 9.0), thresholds={"calibrated_p95": 9.0})
    save_padim(path, calibrations={"": {"score": few}})
    _, out, err = predict(images, checkpoint=path)
    assert err.splitlines()[-1] == (
        "the threshold is set by 3 held-out images, fewer than 19: --sensitivity 0.5 (leaves their "
        "highest score out) or --threshold N moves it"
    )
    assert lines_of(out)[0]["threshold"] == 9.0
    _, out, err = predict(images, "--sensitivity", "0.5", checkpoint=path)
    assert lines_of(out)[0]["threshold"] == 2.0
    assert "fewer than 19" not in err + predict(images)[2]


def test_csv_holds_the_same(predict, images, tmp_path):
    (images / "good" / "9.png").write_bytes(b"GIF89a")
    code, out, _ = predict(images, "--format", "csv", "--out", tmp_path / "a" / "scores.csv")
    assert (code, out) == (1, "")
    rows = list(csv.DictReader((tmp_path / "a" / "scores.csv").read_text().splitlines()))
    lines = lines_of(predict(images)[1])
    assert [row["image"] for row in rows] == [line["image"] for line in lines]
    assert "GIF" in rows[3]["error"]
    assert [float(row["score"]) for row in rows if not row["error"]] == [
        line["score"] for line in lines if "score" in line
    ]
    assert json.loads(rows[-1]["regions"]) == lines[-1]["regions"]


def test_unreadable_images_are_lines_and_the_next_go_on(predict, images):
    whole = (images / "good" / "1.png").read_bytes()
    (images / "good" / "1.png").write_bytes(whole[:-40])
    code, out, err = predict(images, images / "absent.png")
    assert code == 1
    assert "2 of 7 images could not be predicted" in err
    assert re.search(r"^7 images: \d defective(, \d normal)?; \d+ ms each$", err, re.M)
    assert "--maps FOLDER" in err
    lines = lines_of(out)
    broken = [line for line in lines if "error" in line]
    assert [line["image"] for line in broken] == [
        str(images / "good/1.png"),
        f"{images}/absent.png",
    ]
    assert all(line["image"] in line["error"] for line in broken)
    assert all(line["label"] for line in lines if line not in broken)


def test_names_that_are_not_utf_8_are_spelled_out(predict, images, tmp_path):
    (images / "good" / "\udcff.png").write_bytes(b"GIF89a")
    (images / "good" / "0.png").rename(images / "good" / "\udcfe.png")
    for kind in ("jsonl", "csv"):
        out = tmp_path / f"out.{kind}"
        assert predict(images / "good", "--format", kind, "--out", out)[0] == 1
        text = out.read_text(encoding="utf-8")
        assert text.count(r"\udcfe.png") == 1
        assert text.count(r"\udcff.png") == 2  # the name, and in the error


def test_sixty_damaged_images_cost_their_own_lines(predict, images, tmp_path):
    rng = np.random.default_rng(3)
    folder = tmp_path / "damaged"
    folder.mkdir()
    whole = Image.fromarray(pixels_of(images / "spot" / "1.png"))
    for number in range(60):
        kind = ("png", "jpg", "bmp", "tif")[number % 4]
        path = folder / f"{number:02}.{kind}"
        whole.save(path)
        data = bytearray(path.read_bytes())
        if kind == "png" and number % 8:  # its checksums detect a single bit
            data[int(rng.integers(8, len(data)))] ^= 1 << int(rng.integers(8))
        else:
            del data[int(rng.integers(2, len(data) * 9 // 10)) :]
        path.write_bytes(data)
    code, out, err = predict(folder, images / "good" / "0.png")
    lines = lines_of(out)
    assert (code, len(lines)) == (1, 61)
    assert "60 of 61 images could not be predicted" in err
    assert all(line["image"] in line["error"] for line in lines[:60])
    assert lines[60]["label"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [({}, "--format onnx --images"), ({"fit": "pad"}, "--format onnx --frames --images")],
)
def test_the_export_that_is_suggested_is_one_that_works(predict, images, tmp_path, fields, words):
    path = tmp_path / "model.pth"
    save_padim(path, preprocessing=Preprocessing(64, 64, **fields))
    _, _, err = predict(images, "--maps", tmp_path / "maps", checkpoint=path)
    assert f"bench export {path} {words} {images}\n" in err
    _, _, err = predict(
        images, "--maps", tmp_path / "maps", "--max-megapixels", 100, checkpoint=path
    )
    assert f"{words} {images} --max-megapixels 100\n" in err


def test_no_export_is_suggested_for_a_model_of_tiles(predict, images, tmp_path):
    path = tmp_path / "model.pth"
    save_padim(path, preprocessing=Preprocessing(64, 128, tiles=(1, 2)))
    code, _, err = predict(images, "--maps", tmp_path / "maps", checkpoint=path)
    assert code == 0
    assert "bench export" not in err


def test_the_category_of_a_model_of_one_may_be_named(predict, images):
    code, out, _ = predict(images, "--category", "tile")
    assert code == 0
    same = [line["threshold"] for line in lines_of(predict(images)[1])]
    assert [line["threshold"] for line in lines_of(out)] == same
    code, out, err = predict(images, "--category", "bolt")
    assert (code, out) == (2, "")
    assert "--category bolt: wanted no category, because this model was trained on tile only" in err


def test_a_source_without_images_keeps_earlier_results(predict, images, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("earlier\n")
    (tmp_path / "empty").mkdir()
    code, _, err = predict(images, tmp_path / "empty", "--out", out)
    assert code == 2
    assert "contain no image" in err
    assert out.read_text() == "earlier\n"


def test_paths_and_frames_come_through_the_standard_input(predict, images, monkeypatch):
    expected = [line["score"] for line in lines_of(predict(images)[1])]
    files = sorted(images.glob("*/*.png"))

    def piped(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        code, out, _ = predict("-")
        assert code == 0
        return lines_of(out)

    paths = piped("\n".join(map(str, files)).encode())
    frames = piped(b"".join(file.read_bytes() for file in files))
    assert [line["image"] for line in paths] == list(map(str, files))
    assert [line["image"] for line in frames] == [f"frame-{n:06}" for n in range(6)]
    for lines in (paths, frames):
        assert [line["score"] for line in lines] == pytest.approx(expected, rel=1e-5)


def test_scores_that_are_no_number_are_errors_of_their_images(predict, images, tmp_path):
    path = tmp_path / "broken.pth"
    save_padim(path, spoil=lambda model: model.gaussians.mean.fill_(torch.nan))
    code, out, err = predict(images, checkpoint=path)
    assert code == 1
    assert "6 of 6" in err
    assert all("NaN" in line["error"] for line in lines_of(out))


def test_watched_folder_is_predicted_as_it_fills(predict, images):
    code, out, _ = predict("--watch", images / "spot", "--idle", "0.7")
    assert code == 0
    assert sorted(line["image"] for line in lines_of(out)) == sorted(
        map(str, (images / "spot").glob("*"))
    )


def test_model_of_several_categories_asks_for_one(predict, saved, images, tmp_path):
    own = saved[2]
    path = tmp_path / "all.pth"
    strict = Calibration(scores=(0.0,), thresholds={"calibrated_p95": 0.0})
    save_padim(path, calibrations={"nut": {"score": own}, "bolt": {"score": strict}})
    code, out, err = predict(images, checkpoint=path)
    assert (code, out) == (2, "")
    assert "--category" in err
    thresholds = [
        lines_of(predict(images, "--category", name, checkpoint=path)[1])[0]["threshold"]
        for name in ("nut", "bolt")
    ]
    assert thresholds == [own.scores[-1], 0.0]


def test_classifier_names_the_class_and_its_probability(predict, images, tmp_path):
    options = {"classes": 3, "image_size": 32, "label_smoothing": 0.0}
    torch.manual_seed(0)
    model = MODELS["resnet50"].load_build()(
        weights=MODELS["resnet50"].weights, state=None, **options
    )
    path = save(
        *(tmp_path / "classes.pth", "resnet50", model),
        options=options,
        heads=(),
        classes=("cat", "dog", "owl"),
        preprocessing=Preprocessing(32, 32),
    )
    (images / "good" / "1.png").write_bytes(b"")
    code, out, _ = predict(images, checkpoint=path)
    lines = lines_of(out)
    assert code == 1
    assert "empty file" in lines[1]["error"]
    for line in lines[:1] + lines[2:]:
        assert list(line) == ["image", "label", "probability", "probabilities", "ms"]
        assert line["probabilities"].keys() == {"cat", "dog", "owl"}
        assert sum(line["probabilities"].values()) == pytest.approx(1)
        assert line["probability"] == max(line["probabilities"].values())
    code, out, err = predict(images, "--maps", tmp_path / "maps", "--contours", checkpoint=path)
    assert (code, out) == (2, "")
    assert "--maps is for anomaly models; resnet50 is a classifier." in err


@pytest.mark.parametrize("name", _ANOMALY_OPTIONS)
def test_options_that_do_nothing_for_a_classifier_are_refused(name):
    options = argparse.Namespace(**dict.fromkeys(_ANOMALY_OPTIONS))
    options.contours = False
    _check_no_anomaly_option(options, "resnet50")
    setattr(options, name, "0")
    with pytest.raises(CommandError, match=f"--{name} is for anomaly models"):
        _check_no_anomaly_option(options, "resnet50")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "needs images"),
        (("{images}", "--contours"), "--maps"),
        (("{images}", "--threshold", "best_f2"), "did you mean best_f1"),
        (("{images}", "--sensitivity", "1.5"), "between 0 and 1"),
        (("{images}", "--sensitivity", "high"), "between 0 and 1"),
        (("{images}", "--head", "multi_scale"), "wanted one of score"),
        (("{images}/good/*.gif",), "No file matches"),
        (("{images}", "--device", "tpu"), "--device tpu"),
        (("{images}", "--device", "cuda:99"), "cuda:99"),
        (("--watch", "{images}/absent"), "absent cannot be listed"),
        (("{images}", "--threshold", "1", "--sensitivity", "0.9"), "not allowed with"),
    ],
)
def test_mistakes_are_a_line(arguments, said, predict, images):
    code, out, err = predict(*(argument.format(images=images) for argument in arguments))
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_what_is_no_checkpoint_is_a_line(predict, images, tmp_path):
    for name, data in (("a.pth", b"hello"), ("b.pth", b"")):
        (tmp_path / name).write_bytes(data)
        code, out, err = predict(images, checkpoint=tmp_path / name)
        assert (code, out) == (2, "")
        assert "wanted a file that --save-models wrote" in err
    assert predict(images, checkpoint=tmp_path / "absent.pth")[0] == 2


@pytest.mark.slow
def test_a_thousand_images_take_no_more_memory_than_a_hundred(saved, tmp_path, root):
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 255, (600, 800, 3), np.uint8)).save(tmp_path / "a.jpg")

    def peak(count):
        paths = "\n".join([str(tmp_path / "a.jpg")] * count)
        command = [sys.executable, "-m", "bench", "predict", str(saved[0]), "-", "--batch-size=8"]
        done = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        out, _ = done.communicate(paths)
        assert out.count("\n") == count
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024

    few = peak(100)
    assert peak(1000) - few < 60  # MB; the pixels alone are 1,440


def test_a_program_of_torch_export_is_named(predict, images, tmp_path):
    (tmp_path / "model.pt2").write_bytes(b"PK")
    code, _, err = predict(images, checkpoint=tmp_path / "model.pt2")
    assert code == 2
    assert "is a program of torch.export" in err
