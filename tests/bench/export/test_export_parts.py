"""The parts of an export that need no other package: pixels, comparison, description."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image
from saved_models import SIDE, describe, gray, save_padim

from bench.__main__ import main
from bench.checkpoint.metadata import CheckpointError, Preprocessing
from bench.export import export, packages
from bench.export.check import _difference, compare
from bench.export.description import KEY, Description, ExportCheck, read_description
from bench.export.errors import ExportError
from bench.export.export import exported_model
from bench.export.graph import ExportedModel, resize
from bench.export.images import dataset_images
from bench.export.onnx_file import OnnxScorer, load_onnx, of_head
from bench.export.packages import made_by
from bench.export.write import quiet, write_onnx
from bench.predict.predictor import Predictor, load_checkpoint


@pytest.mark.parametrize(
    ("before", "after"),
    [((40, 70), (64, 64)), ((300, 90), (64, 64)), ((333, 256), (48, 80)), ((30, 31), (64, 32))],
)
def test_the_graph_resizes_as_pillow_does_along_rows_first(before, after):
    height, width = after
    pixels = np.random.default_rng(0).integers(0, 256, (*before, 3), np.uint8)
    image = Image.fromarray(pixels).resize((width, before[0]), Image.Resampling.BILINEAR)
    wanted = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    found = resize(torch.from_numpy(pixels).permute(2, 0, 1)[None], height, width)
    np.testing.assert_array_equal(found[0].permute(1, 2, 0), wanted)


def test_frames_are_left_as_they_are():
    pixels = torch.from_numpy(gray(2)).permute(0, 3, 1, 2)
    assert torch.equal(resize(pixels, SIDE, SIDE), pixels.double())


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "padim.pth"
    save_padim(path)
    return load_checkpoint(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Seventeen images, most of other sizes than the model's."""
    folder = tmp_path_factory.mktemp("images")
    for number, image in enumerate(gray(17, seed=5, side=90, spot=True)):
        Image.fromarray(image[: SIDE + number, : SIDE + 26 - number]).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def graph(predictor, any_size=True):
    own = predictor.metadata
    return ExportedModel(predictor.model, own.preprocessing, "score", any_size)


def run_of(model, change=lambda outputs: outputs):
    def run(images):
        with torch.no_grad():
            outputs = model(torch.from_numpy(np.ascontiguousarray(images)))
        return change([each.numpy() for each in outputs])

    return run


def test_a_graph_that_agrees_says_by_how_much(predictor, files):
    check = compare(run_of(graph(predictor)), predictor, "score", files, True, "torch")
    assert (check.images, check.batch_sizes, check.own_size_images) == (17, (1, 16), 8)
    assert check.difference < 1e-5
    assert check.own_size_difference < 1e-5
    frames = compare(run_of(graph(predictor, False)), predictor, "score", files, False, "torch")
    assert frames.own_size_difference is None
    assert frames.difference < 1e-5


def test_a_crop_is_cut_by_the_graph(predictor, files):
    own = Preprocessing(SIDE + 16, SIDE + 16, crop=(SIDE, SIDE))
    cropping = Predictor(
        replace(predictor.metadata, preprocessing=own), predictor.model, predictor.device
    )
    check = compare(run_of(graph(cropping)), cropping, "score", files, True, "torch")
    assert max(check.difference, check.own_size_difference) < 1e-5


@pytest.mark.parametrize(
    "change",
    [
        lambda outputs: [outputs[0] * 1.001, outputs[1]],
        lambda outputs: [outputs[0], outputs[1] + 0.02],
        lambda outputs: [outputs[0] * np.nan, outputs[1]],
        lambda outputs: [outputs[0], outputs[1] * np.nan],
        lambda outputs: outputs[:1],
        lambda outputs: [outputs[0][::-1], outputs[1]],
    ],
)
def test_an_export_that_differs_is_an_error(predictor, files, change):
    with pytest.raises(ExportError, match=r"wrong|outputs"):
        compare(run_of(graph(predictor), change), predictor, "score", files, True, "torch")


def test_one_image_without_a_number_is_found_wherever_it_is(predictor, files):
    own, calls = run_of(graph(predictor)), []

    def run(images):
        outputs = own(images)
        calls.append(len(images))
        if len(calls) == 5:
            outputs[0] = outputs[0] * np.nan
        return outputs

    with pytest.raises(ExportError, match="nan"):
        compare(run, predictor, "score", files, True, "torch")


def test_small_outputs_are_compared_by_their_own_size():
    wanted = [np.full(4, 3e-8, np.float32), np.full((4, 2, 2), 50.0, np.float32)]
    assert _difference([wanted[0] * 0, wanted[1]], wanted, 0) == 1.0
    assert _difference([each * 1.00001 for each in wanted], wanted, 0) == pytest.approx(
        1e-5, rel=0.1
    )
    nothing = [np.zeros(4, np.float32)]
    assert _difference(nothing, nothing, 0) == 0.0


def test_wrong_resizing_is_named(predictor, files):
    own = run_of(graph(predictor))

    def run(images):
        return own(images if images.shape[1] == images.shape[2] == SIDE else images[:, ::-1])

    with pytest.raises(ExportError, match="--frames"):
        compare(run, predictor, "score", files, True, "torch")


def test_few_images_prove_nothing(predictor, files):
    with pytest.raises(ExportError, match="at least 16 images, found 15"):
        compare(run_of(graph(predictor)), predictor, "score", files[:15], True, "torch")


def test_what_cannot_be_exported_says_why(predictor):
    def shaped(**fields):
        own = replace(predictor.metadata.preprocessing, **fields)
        return Predictor(
            replace(predictor.metadata, preprocessing=own), predictor.model, predictor.device
        )

    with pytest.raises(ExportError, match="2 × 3 tiles"):
        exported_model(shaped(tiles=(2, 3)), None, True)
    with pytest.raises(ExportError, match="--frames"):
        exported_model(shaped(fit="pad"), None, True)
    assert exported_model(shaped(fit="pad"), None, False).head == "score"
    with pytest.raises(ExportError, match="wanted one of score"):
        exported_model(predictor, "other", True)


def test_a_description_is_read_back_and_another_refused():
    check = ExportCheck(32, (1, 16), 1e-6, 8, 2e-6, None, 30.0, "onnxruntime 1")
    own = Description(describe("padim_resnet18"), "ab" * 32, "onnx", True, 18, "torch 2", check)
    text = own.to_json()
    assert read_description(text).to_json() == text
    for broken in ("", "[]", "{}", text.replace("checkpoint_sha256", "sha"), '{"checkpoint": 1}'):
        with pytest.raises(CheckpointError):
            read_description(broken)


def test_an_export_describes_its_head_alone():
    two = describe(
        "rd_resnet18",
        calibrations={"": {}},
        metrics={"single_scale": {"image_auroc": 0.9}, "multi_scale": {"image_auroc": 0.8}},
    )
    one = of_head(two, "multi_scale")
    assert one.heads == ("multi_scale",)
    assert one.metrics == {"multi_scale": {"image_auroc": 0.8}}


def test_images_of_a_dataset_that_is_not_there_are_asked_for(tmp_path, write_category):
    metadata = describe("padim_resnet18")
    with pytest.raises(ExportError, match=r"tiny\.tile, which was not found"):
        dataset_images(metadata, (), tmp_path, 16)
    write_category(tmp_path / "data" / "tiny" / "tile")
    found = dataset_images(metadata, (tmp_path / "data",), tmp_path, 8)
    assert len(found) == 8
    assert {file.parent.name for file in found} == {"good", "spot"}
    # Twelve test images, topped up with training images: a small set can be exported too.
    more = dataset_images(metadata, (tmp_path / "data",), tmp_path, 16)
    assert [file.parents[1].name for file in more] == 12 * ["test"] + 4 * ["train"]


def test_packages_that_an_export_needs_are_named_before_it_begins(monkeypatch):
    def version(name):
        if name != "torch":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(packages, "version", version)
    assert made_by("torch") == "torch 1.0"
    for spec, missing in ((None, "onnxruntime"), (True, "onnxscript")):
        monkeypatch.setattr(packages, "find_spec", lambda _, spec=spec: spec)
        with pytest.raises(ExportError, match=rf"needs the package {missing},.*Install it with"):
            made_by("onnx")


def test_a_runtime_for_gpus_is_onnxruntime_too(monkeypatch):
    """Its distribution is called onnxruntime-gpu."""

    def version(name):
        if name == "onnxruntime":
            raise PackageNotFoundError(name)
        return "1.0"

    own = Description(describe("padim_resnet18"), "ab" * 32, "onnx", True, 18, "torch 2")
    monkeypatch.setattr(packages, "version", version)
    monkeypatch.setattr(packages, "find_spec", lambda _: True)
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(export, "load_onnx", lambda _: OnnxScorer(None, own))
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(__version__="1.32"))
    assert made_by("onnx") == "torch 1.0, onnxscript 1.0, onnx 1.0"
    assert export.runner("model.onnx", "onnx")[1] == "onnxruntime 1.32"


def test_each_format_has_a_description_of_its_own(tmp_path):
    files = [export.description_file(tmp_path / f"m{end}") for end in export.SUFFIXES.values()]
    assert [file.name for file in files] == ["m.onnx.json", "m.pt2.json"]


_WRITE_PROGRAM = """
import sys, torch
from pathlib import Path
from full_disk import limit_file_size
from saved_models import describe
from bench.export.description import Description
from bench.export.write import write_torch
program = torch.export.export(torch.nn.Linear(512, 512), (torch.zeros(1, 512),))
own = Description(describe("padim_resnet18"), "ab" * 32, "torch", True, None, "torch 2")
limit_file_size(100_000)
try:
    write_torch(program, Path(sys.argv[1]), own)
except OSError as error:
    print(error.strerror)
"""


def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(root, tmp_path):
    paths = os.pathsep.join(map(str, [root, root / "tests", root / "tests" / "bench"]))
    done = subprocess.run(
        [sys.executable, "-c", _WRITE_PROGRAM, str(tmp_path / "model.pt2")],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "File too large\n"), done.stderr
    assert not list(tmp_path.iterdir())


def test_an_ensemble_is_named_as_what_it_is(tmp_path, capsys):
    with ZipFile(tmp_path / "two.pth", "w") as archive:
        archive.writestr("ensemble.json", "{}")
    assert main(["export", str(tmp_path / "two.pth"), "--format", "torch"]) == 2
    assert "two.pth is an ensemble: wanted the checkpoint of one" in capsys.readouterr().err


def test_the_limit_of_images_can_be_raised(files, tmp_path, monkeypatch, capsys):
    """As the message about an image beyond it says."""

    def stop(*_, **__):
        raise ExportError(f"up to {Image.MAX_IMAGE_PIXELS} pixels")

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(export, "export_checkpoint", stop)
    arguments = [str(tmp_path / "padim.pth"), "--format", "torch", "--images", str(files[0])]
    for limit, said in (([], "up to 1000 pixels"), (["--max-megapixels", "9"], "up to 9000000 p")):
        assert main(["export", *arguments, *limit]) == 2
        assert said in capsys.readouterr().err


def test_a_file_of_another_kind_is_refused(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs proving-ground[onnx]")
    path = tmp_path / "other.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match="onnxruntime rejects"):
        load_onnx(path)
    with pytest.raises(CheckpointError, match="--device cuda: this onnxruntime has only"):
        load_onnx(path, "cuda")
    with pytest.raises(CheckpointError, match="--device tpu: wanted cpu, cuda or cuda:N"):
        load_onnx(path, "tpu")


def test_the_device_by_number_is_asked_for_and_must_be_used(tmp_path, monkeypatch):
    asked = []

    def session(path, providers):
        asked.extend(providers)
        return SimpleNamespace(
            get_modelmeta=lambda: SimpleNamespace(custom_metadata_map={}),
            get_providers=lambda: ["CPUExecutionProvider"],
        )

    runtime = SimpleNamespace(
        InferenceSession=session,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    with pytest.raises(CheckpointError, match="--device cuda:3: onnxruntime could not use it"):
        load_onnx(tmp_path / "model.onnx", "cuda:3")
    assert asked == [("CUDAExecutionProvider", {"device_id": 3})]


def test_weights_stay_in_the_onnx_file_however_large(tmp_path, monkeypatch):
    ir = pytest.importorskip("onnx_ir", reason="needs proving-ground[onnx]")
    with quiet():
        from torch.onnx._internal.exporter import _onnx_program
    monkeypatch.setattr(_onnx_program, "_LARGE_MODEL_THRESHOLD", 0)
    weight = ir.Value(name="weight", const_value=ir.tensor(np.ones(1000, np.float32)))
    graph = ir.Graph([], [], nodes=[], initializers=[weight], name="g", opset_imports={"": 18})
    program = _onnx_program.ONNXProgram(ir.Model(graph, ir_version=10), None)
    own = Description(describe("padim_resnet18"), "ab" * 32, "onnx", True, 18, "torch 2")
    write_onnx(program, tmp_path / "model.onnx", own)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    found = ir.load(tmp_path / "model.onnx")
    assert found.graph.initializers["weight"].const_value.nbytes == 4000
    assert found.metadata_props == {KEY: own.to_json()}
