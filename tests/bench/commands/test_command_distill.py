"""``python -m bench distill`` on tiny images, and its targets against PatchCore's formula."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch.nn import functional as F
from training_reports import quiet, resumes_equally

from bench.__main__ import main
from bench.run.weights_training.common import WeightsTrainingError
from bench.run.weights_training.distill import DistillationPlan, distill
from bench.run.weights_training.patch_targets import PatchTargets, pooling_matrix
from models.catalog import WEIGHTS
from models.components.backbone import Backbone
from models.components.weights import load_state, resolve
from models.efficientad.model import build

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def weights_dir(tmp_path):
    """A folder with a random resnet18, as its publisher names the tensors."""
    torch.manual_seed(0)
    folder = tmp_path / "weights"
    folder.mkdir()
    state = timm.create_model("resnet18").state_dict()
    torch.save(state, folder / "resnet18.pth")
    return folder


@pytest.fixture
def command(tmp_path, weights_dir, capsys):
    """Return a function that runs the command and returns its code, output and errors."""

    def run(*arguments, out="pdn_small.pth"):
        code = main(
            [
                *(
                    "distill",
                    "small",
                    "--backbone",
                    "resnet18.tv_in1k",
                    "--out",
                    f"{tmp_path / out}",
                ),
                *("--weights-dir", str(weights_dir), "--steps", "2", "--batch", "2"),
                *("--size", "16", "--device", "cpu", *arguments),
            ]
        )
        return code, *capsys.readouterr()

    return run


def backbone(layers=(2, 3)):
    torch.manual_seed(1)
    return Backbone(WEIGHTS["resnet18.tv_in1k"], None, layers)


def pictures(count=20, side=32):
    return torch.randint(
        0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(2)
    ).to(torch.uint8)


def plan(**change):
    given = DistillationPlan("small", "resnet18", (2, 3), "noise", side=16, steps=6, batch=4)
    return replace(given, **change)


@pytest.mark.parametrize(("numbers", "wanted"), [(10, 4), (576, 1024), (7, 7), (2304, 1024)])
def test_pooling_matrix_matches_adaptive_pooling(numbers, wanted):
    values = torch.rand(3, numbers, dtype=torch.float64)
    expected = F.adaptive_avg_pool1d(values[:, None], wanted)[:, 0]
    torch.testing.assert_close(values @ pooling_matrix(numbers, wanted).T, expected)


@pytest.mark.parametrize("layers", [(2, 3), (2,), (1, 2, 3)])
def test_targets_match_patchcore(layers):
    """Follow the paper's code: unfold, resize each channel, pool each layer, pool all."""
    cnn = backbone(layers)
    images = pictures(2, side=64).float() / 255
    targets = PatchTargets(cnn)(images, (8, 8))
    pooled = []
    for features in cnn(images):
        side = features.shape[-1]
        patches = F.unfold(features, 3, padding=1).view(2, -1, side, side)
        patches = F.interpolate(patches, (8, 8), mode="bilinear", align_corners=False)
        vectors = patches.permute(0, 2, 3, 1).reshape(2 * 64, 1, -1)
        pooled.append(F.adaptive_avg_pool1d(vectors, 1024)[:, 0])
    joint = F.adaptive_avg_pool1d(torch.cat(pooled, dim=1)[:, None], 384)[:, 0]
    expected = joint.view(2, 8, 8, 384).permute(0, 3, 1, 2)
    torch.testing.assert_close(targets, expected, atol=1e-4, rtol=1e-4)


def test_distill_explains_variance(tmp_path):
    """The images are stripes of varying contrast; predicting the mean explains nothing."""
    phase = torch.arange(40).view(-1, 1, 1, 1) * 0.4
    stripes = torch.sin(torch.arange(32) / 3 + phase).expand(40, 3, 32, 32)
    images = (127 + 100 * stripes * torch.linspace(0, 1, 40).view(-1, 1, 1, 1)).to(torch.uint8)
    considered = []
    result = distill(
        plan(steps=40),
        images,
        PatchTargets(backbone()),
        CPU,
        tmp_path / "kept",
        lambda _, info: considered.append((info["step"], info["steps"])),
    )
    assert result.last < 0.6 * result.first
    assert result.explained > 0.15
    assert result.trivial == pytest.approx(1, abs=0.5)
    assert considered == [(step, 40) for step in range(1, 41)]
    assert not (tmp_path / "kept").exists()


def test_killed_distillation_resumes(tmp_path, monkeypatch):
    targets, kept = PatchTargets(backbone()), tmp_path / "kept"
    train = partial(distill, plan(), pictures(), targets, CPU)
    resumes_equally(train, tmp_path, monkeypatch)
    with pytest.raises(WeightsTrainingError, match=r"in the way.*batch was 4, now 2"):
        distill(plan(batch=2), pictures(), targets, CPU, kept, quiet)
    kept.write_bytes(kept.read_bytes()[:500])
    with pytest.raises(WeightsTrainingError, match="damaged"):
        train(kept, quiet)


def test_nonfinite_loss_is_an_error(tmp_path):
    targets = PatchTargets(backbone())
    targets.kernel0[:] = torch.nan
    with pytest.raises(WeightsTrainingError, match="not finite by step 1"):
        distill(plan(steps=2), pictures(), targets, CPU, tmp_path / "kept", quiet)


def test_distilled_file_loads_as_teacher(command, tmp_path, root):
    code, out, err = command()
    assert (code, "of the variance explained" in out) == (0, True), err
    assert "generated textures instead of photographs" in out
    assert "python -m bench data get imagenette2" in out
    assert f"use it    --weights-dir {tmp_path}" in out
    assert "distilling pdn_small" in err
    found = resolve("pdn_small.distilled", [tmp_path])
    model = build(weights="pdn_small.distilled", state=load_state(found))
    assert torch.equal(model.teacher.conv1.weight, torch.load(found.path)["conv1.weight"])
    assert [path.name for path in tmp_path.glob("*pdn*")] == ["pdn_small.pth"]


def test_texture_dataset_is_used(command, tmp_path):
    folder = tmp_path / "data" / "dtd" / "images" / "banded"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(4):
        image = rng.integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(image).save(folder / f"banded_{number}.jpg")
    code, out, err = command("--data-dir", str(tmp_path / "data"), "--images", "dtd")
    assert code == 0, err
    assert "images    4 of dtd\n" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--backbone", "pdn_small.distilled"), "wanted the weights of a CNN: resnet18.tv_in1k"),
        (("--backbone", "resnet50.tv_in1k"), "The weights resnet50.tv_in1k are missing"),
        (("--layers", "2,2"), "--layers 2,2: wanted distinct stages from 1 to 4"),
        (("--layers", "two"), "--layers two: wanted distinct stages"),
        (("--steps", "0"), "--steps 0: wanted at least 1"),
        (("--size", "20"), "--size 20: wanted a multiple of 8"),
        (("--images", "mvtec"), "wanted imagenette2, dtd or procedural"),
        (
            ("--images", "imagenette"),
            "found in no data folder. Get it with python -m bench data get",
        ),
        (("--device", "cuda:7"), "--device cuda:7: The device cuda:7 was requested"),
        (("--device", "toaster"), "--device toaster: "),
    ],
)
def test_invalid_options_are_errors(command, arguments, words):
    code, _, err = command(*arguments)
    assert code == 2
    assert words in err


def test_output_file_must_be_new_and_loadable(command, tmp_path):
    (tmp_path / "pdn_small.pth").write_bytes(b"precious")
    code, _, err = command()
    assert (code, "already exists" in err) == (2, True)
    assert (tmp_path / "pdn_small.pth").read_bytes() == b"precious"
    code, _, err = command(out="pdn_small.safetensors")
    assert (code, "wanted a file that ends in .pth, .pt, .bin" in err) == (2, True)


def test_damaged_weights_are_an_error(command, weights_dir):
    (weights_dir / "resnet18.pth").write_bytes(b"damaged")
    code, _, err = command()
    assert code == 2
    assert "resnet18.pth cannot be loaded" in err
