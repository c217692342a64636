"""U-Nets: shapes, skip connections, and that the output sees the whole image."""

import pytest
import torch
from torch import nn

from models.components.unet import UNet


@pytest.fixture
def network():
    torch.manual_seed(0)
    return UNet(3, 2, (4, 8, 16), (8, 4), nn.InstanceNorm2d)


def test_output_has_the_inputs_size(network):
    assert network(torch.rand(2, 3, 16, 24)).shape == (2, 2, 16, 24)


def test_first_scale_reaches_the_output_past_the_others(network):
    # With the upsampled half of the last block's input cut off, only the skip connection is left.
    with torch.no_grad():
        network.decoder[-1][0].weight[:, :4] = 0
    image = torch.rand(1, 3, 16, 16)
    before = network(image)
    changed = image.clone()
    changed[0, :, 0, 0] += 1
    difference = (network(changed) - before).abs().amax((0, 1))
    assert difference[0, 0] > 1e-3


def test_odd_numbers_of_widths_are_refused():
    with pytest.raises(ValueError, match="zip"):
        UNet(3, 2, (4, 8, 16), (8,), nn.InstanceNorm2d)
