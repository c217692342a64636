"""Linear attention against brute force, and the initialization."""

import pytest
import torch
from torch import nn

from models.dinomaly.decoder import DecoderBlock, LinearAttention, NoisyBottleneck, initialize


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(6)


def brute_force(attention, tokens):
    """Mix values by φ(q)·φ(k) / Σ φ(q)·φ(k), one query at a time, in float64."""
    width = tokens.shape[-1]
    size = width // attention.heads
    qkv = tokens @ attention.qkv.weight.T + attention.qkv.bias
    mixed = torch.zeros_like(tokens)

    def phi(x):
        return torch.where(x > 0, x + 1, x.exp())

    for image in range(len(tokens)):
        for head in range(attention.heads):
            part = slice(head * size, (head + 1) * size)
            query, key, value = (
                qkv[image, :, n * width : (n + 1) * width][:, part] for n in range(3)
            )
            for row, q in enumerate(query):
                weights = torch.stack([(phi(q) * phi(k)).sum() for k in key])
                mixed[image, row, part] = (weights / weights.sum()) @ value
    return mixed @ attention.proj.weight.T + attention.proj.bias


def test_linear_attention_is_a_mean_weighted_by_the_kernel():
    attention = LinearAttention(12, heads=3)
    tokens = 2 * torch.randn(2, 7, 12)
    found = attention(tokens)
    wanted = brute_force(attention.double(), tokens.double())
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)


def test_linear_attention_survives_keys_that_vanish_in_float32():
    attention = LinearAttention(8, heads=2)
    with torch.no_grad():
        attention.qkv.bias.fill_(-1e4)
    assert attention(torch.randn(1, 5, 8)).isfinite().all()


def test_linear_attention_sums_in_float32_under_autocast():
    attention = LinearAttention(64, heads=2)
    tokens = torch.randn(1, 3000, 64)
    with torch.autocast("cpu", torch.bfloat16):
        cast = attention(tokens)
    assert cast.dtype == torch.bfloat16
    torch.testing.assert_close(cast.float(), attention(tokens), rtol=0.05, atol=0.02)


def test_decoder_block_is_a_pre_norm_transformer_block():
    block = DecoderBlock(16, 4).double()
    tokens = torch.randn(2, 5, 16, dtype=torch.float64)
    inner = tokens + brute_force(
        block.attn,
        nn.functional.layer_norm(tokens, (16,), block.norm1.weight, block.norm1.bias, 1e-8),
    )
    normed = nn.functional.layer_norm(inner, (16,), block.norm2.weight, block.norm2.bias, 1e-8)
    hidden = normed @ block.mlp.fc1.weight.T + block.mlp.fc1.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    wanted = inner + hidden @ block.mlp.fc2.weight.T + block.mlp.fc2.bias
    torch.testing.assert_close(block(tokens), wanted, rtol=1e-5, atol=1e-6)


def test_bottleneck_drops_at_its_input_inside_and_at_its_output():
    bottleneck = NoisyBottleneck(32, 0.5)
    rates = []
    with torch.no_grad():
        bottleneck.fc1.bias.fill_(1)
        bottleneck.fc2.bias.fill_(1)
        for layer in (bottleneck.fc1, bottleneck.fc2):
            layer.register_forward_pre_hook(
                lambda layer, inputs: rates.append((inputs[0] == 0).float().mean().item())
            )
        output = bottleneck(1 + torch.rand(4, 50, 32))
    rates.append((output == 0).float().mean().item())
    assert rates == pytest.approx([0.5] * 3, abs=0.05)


def test_initialization_is_a_normal_distribution_cut_at_three_deviations():
    block = DecoderBlock(128, 4)
    initialize(block)
    for layer in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2):
        assert layer.weight.abs().max() <= 0.03
        # The standard deviation of a normal distribution cut at ±3σ is .9866 σ.
        assert layer.weight.std().item() == pytest.approx(0.009866, rel=0.02)
        assert not layer.bias.any()
    assert torch.equal(block.norm1.weight, torch.ones(128))
