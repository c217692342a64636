"""Upsampling by matrices against torch's interpolation and its gradient."""

import pytest
import torch
from torch.nn import functional as F

from models.components.upsampling import upsample


@pytest.mark.parametrize("size", [(6, 10), (7, 5), (9, 15)])
def test_is_torchs_bilinear_interpolation(size):
    maps = torch.rand(2, 4, 3, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weights = torch.rand(2, 4, *size, generator=torch.Generator().manual_seed(1))
    wanted = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    found = upsample(maps, size)
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad((each * weights).sum(), maps)[0] for each in (found, wanted)]
    torch.testing.assert_close(*gradients)


def test_keeps_the_type():
    assert upsample(torch.rand(1, 1, 2, 2).double(), (4, 4)).dtype == torch.float64
