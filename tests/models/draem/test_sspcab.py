"""SSPCAB against its formula, position by position in float64."""

import numpy as np
import torch
from torch import nn

from models.draem.sspcab import SSPCAB


def by_hand(block, x):
    """Four corners two pixels away, ReLU, and the attention of the mean over positions."""
    x = x.numpy()
    channels, height, width = x.shape
    predicted = np.zeros_like(x)
    offsets = [(-2, -2), (-2, 2), (2, -2), (2, 2)]
    for (down, right), corner in zip(offsets, block.corners, strict=True):
        weight = corner.weight.detach().numpy()[:, :, 0, 0]
        bias = corner.bias.detach().numpy()
        for i, j in np.ndindex(height, width):
            seen = np.zeros(channels)
            if 0 <= i + down < height and 0 <= j + right < width:
                seen = x[:, i + down, j + right]
            predicted[:, i, j] += weight @ seen + bias
    predicted = np.maximum(predicted, 0)
    squeeze, excite = block.attention[0], block.attention[2]
    hidden = (
        squeeze.weight.detach().numpy() @ predicted.mean((1, 2)) + squeeze.bias.detach().numpy()
    )
    logits = excite.weight.detach().numpy() @ np.maximum(hidden, 0) + excite.bias.detach().numpy()
    return predicted / (1 + np.exp(-logits))[:, None, None]


def test_block_matches_its_formula():
    torch.manual_seed(0)
    block = SSPCAB(16).double()
    x = torch.randn(2, 16, 5, 7, dtype=torch.float64)
    found = block(x).detach().numpy()
    for number in range(2):
        assert np.abs(found[number] - by_hand(block, x[number])).max() < 1e-12


class _NoAttention(nn.Module):
    def forward(self, x):
        return torch.ones_like(x)


def test_prediction_of_a_position_does_not_see_it():
    torch.manual_seed(0)
    block = SSPCAB(8)
    block.attention = _NoAttention()  # attention sees every position
    x = torch.randn(1, 8, 9, 9, requires_grad=True)
    block(x)[0, :, 4, 4].sum().backward()
    seen = x.grad[0].abs().sum(0) > 0
    assert torch.nonzero(seen).tolist() == [[2, 2], [2, 6], [6, 2], [6, 6]]
