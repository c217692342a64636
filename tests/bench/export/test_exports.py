"""Whole exports by ``python -m bench export``, and predictions with what it wrote."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from saved_models import SIDE, gray, save_padim

from bench.__main__ import main
from bench.export.write import quiet
from models.flows.blocks import likelihood_map

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint and a folder of images of two sizes, half of them with a bright square."""
    folder = tmp_path_factory.mktemp("exports")
    save_padim(folder / "padim.pth")
    (folder / "images").mkdir()
    for number, image in enumerate([*gray(8, seed=3), *gray(8, seed=4, spot=True)]):
        Image.fromarray(image).save(folder / "images" / f"{number:02d}.png")
    for number, image in enumerate(gray(8, seed=5, side=90, spot=True)):
        Image.fromarray(image[: SIDE + 10]).save(folder / "images" / f"wide{number}.png")
    return folder


_ALONE = """
import sys
class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "timm", "onnx", "onnxscript"}:
            raise ImportError(f"{name} was imported")
sys.meta_path.insert(0, Refuses())
from bench.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def predicted(arguments, root):
    run = subprocess.run(
        [sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_onnxruntime_alone_predicts_what_the_checkpoint_does(saved, root, capsys):
    pytest.importorskip("onnxscript", reason="needs proving-ground[onnx]")
    onnxruntime = pytest.importorskip("onnxruntime")
    images = str(saved / "images")
    assert main(["export", str(saved / "padim.pth"), "--images", images]) == 0
    out, err = capsys.readouterr()
    assert out.split() == [str(saved / "padim.onnx"), str(saved / "padim.onnx.json")]
    assert "largest difference" in err
    described = json.loads((saved / "padim.onnx.json").read_text())
    assert described["check"]["difference"] < 1e-4
    assert described["check"]["images"] == 24
    assert described["checkpoint"]["model"] == "padim_resnet18"
    alone = predicted(["-c", _ALONE, "predict", str(saved / "padim.onnx"), images], root)
    main(["predict", str(saved / "padim.pth"), images])
    whole = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(alone) == len(whole) == 24
    for found, wanted in zip(alone, whole, strict=True):
        assert found["score"] == pytest.approx(wanted["score"], rel=1e-4)
        same = ("image", "label", "threshold", "score01")
        assert [found[name] for name in same] == [wanted[name] for name in same]
    session = onnxruntime.InferenceSession(str(saved / "padim.onnx"))
    assert json.loads(session.get_modelmeta().custom_metadata_map["proving_ground"]) == described
    (entry,) = session.get_inputs()
    assert (entry.name, entry.type, entry.shape[3]) == ("images", "tensor(uint8)", 3)
    scores, maps = session.run(None, {"images": np.zeros((5, 33, 71, 3), np.uint8)})
    assert (scores.shape, maps.shape) == ((5,), (5, SIDE, SIDE))


def test_a_program_of_torch_is_checked_and_described(saved, capsys):
    from bench.export.description import read_description
    from bench.export.write import read_torch

    images = str(saved / "images")
    arguments = ["--format", "torch", "--frames", "--images", images]
    assert main(["export", str(saved / "padim.pth"), *arguments]) == 0
    assert "torch" in capsys.readouterr().err
    module, text = read_torch(saved / "padim.pt2")
    described = read_description(text)
    assert described.check.difference < 1e-4
    assert not described.any_size
    import torch

    scores, maps = module(torch.zeros(3, SIDE, SIDE, 3, dtype=torch.uint8))
    assert (scores.shape, maps.shape) == ((3,), (3, SIDE, SIDE))


def test_mistakes_are_one_line(saved, tmp_path, capsys):
    checkpoint = str(saved / "padim.pth")
    for arguments, part in (
        ([checkpoint, "--opset", "12"], "18 to 20"),
        ([checkpoint, "--out", str(tmp_path / "model.bin")], ".onnx"),
        ([checkpoint, "--data-dir", str(tmp_path)], "--images"),
        ([str(tmp_path / "none.pth"), "--images", str(saved / "images")], "none.pth"),
    ):
        assert main(["export", *arguments]) == 2
        err = capsys.readouterr().err
        assert part in err
        assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


class _Map(torch.nn.Module):
    def forward(self, fine, coarse):
        return likelihood_map([fine, coarse], (32, 32))


def test_exported_flows_tell_strong_defects_apart(tmp_path):
    pytest.importorskip("onnxscript", reason="needs proving-ground[onnx]")
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    strength = torch.tensor([1.0, 15.0, 20.0, 200.0]).view(-1, 1, 1, 1)
    latents = strength * torch.randn(4, 5, 16, 16), strength * torch.randn(4, 7, 8, 8)
    with quiet():
        program = torch.onnx.export(_Map(), latents, dynamo=True, verbose=False)
    program.save(tmp_path / "map.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "map.onnx"))
    names = [node.name for node in session.get_inputs()]
    (found,) = session.run(None, dict(zip(names, (z.numpy() for z in latents), strict=True)))
    np.testing.assert_allclose(found, _Map()(*latents).numpy(), rtol=1e-4)
