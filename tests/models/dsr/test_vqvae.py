"""DSR's VQ-VAE: the quantizer against brute force, residual blocks, and files of two layouts."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.catalog import WEIGHTS
from models.dsr import vqvae
from models.dsr.vqvae import VQVAE, Codebook, Residual, frozen_vqvae, official_names

ENTRY = WEIGHTS["dsr_vqvae.pretrained"]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return VQVAE(16, 32)


def official(network):
    """Return the tensors of a network as the official file names them, and those of training."""
    names = official_names(network)
    state = {names[name]: tensor for name, tensor in network.state_dict().items()}
    for level in ("top", "bot"):
        state[f"_vq_vae_{level}._ema_w"] = torch.zeros(32, 16)
        state[f"_vq_vae_{level}._ema_cluster_size"] = torch.zeros(32)
    return state


def test_quantizer_takes_the_nearest_code(monkeypatch):
    monkeypatch.setattr(vqvae, "_ROWS", 7)  # several parts
    torch.manual_seed(0)
    codes, features = Codebook(50, 6), 2 * torch.randn(2, 6, 4, 5)
    quantized = codes(features)
    vectors = codes.vectors.detach().double()
    for image, row, column in ((i, r, c) for i in range(2) for r in range(4) for c in range(5)):
        distances = [
            ((features[image, :, row, column].double() - vector) ** 2).sum() for vector in vectors
        ]
        nearest = vectors[torch.stack(distances).argmin()]
        assert torch.allclose(quantized[image, :, row, column].double(), nearest, atol=1e-6)


def test_gradient_passes_the_quantizer_unchanged():
    codes, features = Codebook(5, 3), torch.randn(1, 3, 2, 2, requires_grad=True)
    weights = torch.randn(1, 3, 2, 2)
    (codes(features) * weights).sum().backward()
    assert torch.equal(features.grad, weights)
    assert codes.vectors.grad is None


def test_quantizer_ignores_autocast():
    torch.manual_seed(0)
    codes, features = Codebook(50, 6), torch.randn(2, 6, 4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(codes(features), codes(features))
        found = codes(features)
    assert torch.equal(found, codes(features))


def test_residual_blocks_add_to_the_rectified_input():
    """The official block begins with ReLU in place, which changes what it adds to."""
    torch.manual_seed(0)
    ours, x = Residual(8), torch.randn(2, 8, 5, 5)
    wanted = x.clone()
    for wide, narrow in ours.blocks:
        block = nn.Sequential(nn.ReLU(inplace=True), wide, nn.ReLU(inplace=True), narrow)
        wanted = wanted + block(wanted)
    torch.testing.assert_close(ours(x), F.relu(wanted))


def test_codes_are_at_a_quarter_and_an_eighth_of_the_side(network):
    lo, hi = network.encode(torch.rand(2, 3, 64, 96))
    assert lo.shape == (2, 16, 8, 12)
    assert hi.shape == (2, 16, 16, 24)
    assert network.decode(lo, hi).shape == (2, 3, 64, 96)


def test_official_names_are_those_of_the_official_code():
    with torch.device("meta"):
        network = VQVAE()
    named = {
        name: network.state_dict()[ours].shape for ours, name in official_names(network).items()
    }
    assert len(named) == 36
    assert named["_encoder_b._conv_3.bias"] == (128,)
    assert named["_encoder_t._residual_stack._layers.1._block.3.weight"] == (128, 64, 1, 1)
    assert named["_pre_vq_conv_bot.weight"] == (128, 256, 1, 1)
    assert named["_vq_vae_top._embedding.weight"] == (4096, 128)
    assert named["_decoder_b._conv_trans_2.weight"] == (64, 3, 4, 4)
    assert named["upsample_t.weight"] == (128, 128, 4, 4)


@pytest.mark.parametrize("layout", ["official", "own"])
def test_files_of_both_layouts_load(network, layout):
    state = official(network) if layout == "official" else network.state_dict()
    loaded = frozen_vqvae(ENTRY, state, 16, 32)
    images = torch.rand(1, 3, 64, 64)
    # The official code reads images by OpenCV, whose first channel is blue.
    order = [2, 1, 0] if layout == "official" else [0, 1, 2]
    wanted = network.decode(*network.encode(images[:, order]))[:, order]
    torch.testing.assert_close(loaded.decode(*loaded.encode(images)), wanted)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training


@pytest.mark.parametrize("damage", ["missing", "of another size"])
def test_foreign_tensors_are_refused(network, damage):
    state = official(network)
    if damage == "missing":
        del state["upsample_t.weight"]
    else:
        state["_vq_vae_top._embedding.weight"] = torch.zeros(64, 16)
    with pytest.raises(ValueError, match="bench pretrain"):
        frozen_vqvae(ENTRY, state, 16, 32)


def test_random_codes_depend_on_the_image():
    torch.manual_seed(0)
    network = frozen_vqvae(ENTRY, None, 16, 64)
    images = torch.rand(2, 3, 64, 64) * torch.tensor([0.1, 1.0]).view(2, 1, 1, 1)
    for codes in network.encode(images):
        assert len(codes.detach().movedim(1, -1).flatten(0, -2).unique(dim=0)) > 2
