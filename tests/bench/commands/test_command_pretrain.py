"""``python -m bench pretrain`` on tiny images, and the training of DSR's VQ-VAE."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from training_reports import quiet, resumes_equally

from bench.__main__ import main
from bench.run.weights_training import vqvae as training
from bench.run.weights_training.common import WeightsTrainingError
from bench.run.weights_training.vqvae import VQVAEPlan, _TrainedVQVAE, follow, pretrain
from models.components.weights import load_state, resolve
from models.dsr import vqvae
from models.dsr.model import build
from models.dsr.vqvae import Codebook

CPU = torch.device("cpu")
PLAN = VQVAEPlan("stripes", side=32, steps=6, batch=4, width=16, codes=32)

pytestmark = pytest.mark.usefixtures("one_thread")


def stripes(count=40):
    phase = torch.arange(count).view(-1, 1, 1, 1) * 0.4
    waves = torch.sin(torch.arange(32) / 3 + phase).expand(count, 3, 32, 32)
    return (127 + 100 * waves * torch.linspace(0, 1, count).view(-1, 1, 1, 1)).to(torch.uint8)


def test_codes_follow_the_running_mean_of_their_features():
    torch.manual_seed(0)
    book = Codebook(7, 3)
    sizes, sums = torch.zeros(7), torch.zeros(7, 3)
    wanted_sizes, wanted_sums = [0.0] * 7, torch.zeros(7, 3, dtype=torch.float64)
    for _ in range(4):
        features = torch.randn(2, 3, 4, 5)
        _, index = book.quantize(features)
        follow(book, features, index, sizes, sums)
        for code in range(7):
            rows = features.movedim(1, -1).reshape(-1, 3)[index == code].double()
            wanted_sizes[code] = 0.99 * wanted_sizes[code] + 0.01 * len(rows)
            wanted_sums[code] = 0.99 * wanted_sums[code] + 0.01 * rows.sum(0)
    whole = sum(wanted_sizes)
    for code in range(7):
        smoothed = (wanted_sizes[code] + 1e-5) / (whole + 7 * 1e-5) * whole
        assert torch.allclose(book.vectors[code].double(), wanted_sums[code] / smoothed, rtol=1e-4)


@pytest.mark.parametrize("codes", [32, 128])  # at the low resolution, of 64 features
def test_no_code_begins_at_zero(tmp_path, codes):
    trained = _TrainedVQVAE(replace(PLAN, codes=codes), CPU, tmp_path / "kept")
    with torch.no_grad():
        trained.loss(stripes()[20:24].float() / 255, begin=True)
    lo, hi = (book.vectors for book in trained._books)
    assert min(vectors.norm(dim=1).min().item() for vectors in (lo, hi)) > 1e-3
    assert len(hi.unique(dim=0)) == codes


def test_a_code_that_no_feature_is_near_keeps_its_place(tmp_path):
    torch.manual_seed(0)
    trained = _TrainedVQVAE(PLAN, CPU, tmp_path / "kept")
    features = torch.randn(2, 16, 4, 8)
    trained._quantized(0, features, begin=True)
    book = trained.network.codes_lo
    begun = book.vectors.detach().clone()
    assert begun.unique(dim=0).shape == (32, 16)
    for _ in range(50):  # all features are now at the first code
        trained._quantized(0, begun[0].view(1, 16, 1, 1).expand(2, 16, 4, 8), begin=False)
    torch.testing.assert_close(book.vectors[1:].detach(), begun[1:], rtol=5e-3, atol=0)


def test_training_explains_variance(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "RECIPE", replace(training.RECIPE, lr=5e-3))  # a small network
    result = pretrain(replace(PLAN, steps=150, batch=8), stripes(), CPU, tmp_path / "kept", quiet)
    assert result.last < 0.2 * result.first
    assert result.explained > 0.4
    assert 0.05 < result.used <= 1


def test_killed_training_resumes(tmp_path, monkeypatch):
    resumes_equally(partial(pretrain, PLAN, stripes(), CPU), tmp_path, monkeypatch)
    with pytest.raises(WeightsTrainingError, match=r"in the way.*codes was 32, now 64"):
        pretrain(replace(PLAN, codes=64), stripes(), CPU, tmp_path / "kept", quiet)


def test_made_file_loads_as_dsrs_vqvae(tmp_path, root, capsys, monkeypatch):
    for name, size in (("WIDTH", 16), ("CODES", 32)):
        monkeypatch.setattr(vqvae, name, size)
    out = tmp_path / "dsr_vqvae.pth"
    options = ("--steps", "2", "--batch", "2", "--size", "32", "--device", "cpu")
    assert main(["pretrain", "--out", str(out), *options]) == 0
    printed = capsys.readouterr().out
    assert "of the variance explained" in printed
    assert f"use it    --weights-dir {tmp_path}" in printed
    found = resolve("dsr_vqvae.pretrained", [tmp_path])
    state = load_state(found)
    model = build(weights="dsr_vqvae.pretrained", state=state, width=16, codes=32)
    assert torch.equal(model.vqvae.codes_lo.vectors, state["codes_lo.vectors"])
    assert main(["pretrain", "--out", str(out), *options]) == 2
    assert "already exists" in capsys.readouterr().err
