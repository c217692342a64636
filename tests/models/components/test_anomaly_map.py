from itertools import product

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from models.components.anomaly_map import upsample_and_blur


def by_scipy(maps, size, sigma=4.0, align_corners=False):
    large = F.interpolate(
        maps[:, None].double(), size=size, mode="bilinear", align_corners=align_corners
    )
    return np.stack([gaussian_filter(image, sigma=sigma) for image in large[:, 0].numpy()])


@pytest.mark.parametrize(
    ("small", "large"),
    [((16, 16), (64, 64)), ((8, 8), (64, 64)), ((4, 6), (64, 96)), ((1, 2), (8, 16))],
)
def test_interpolation_and_scipys_gaussian(small, large):
    maps = torch.rand(3, *small, generator=torch.Generator().manual_seed(2)) * 2
    found = upsample_and_blur(maps, large)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), by_scipy(maps, large), atol=1e-6)


def test_corners_are_aligned_where_asked_for():
    maps = torch.rand(2, 4, 6, generator=torch.Generator().manual_seed(3))
    found = upsample_and_blur(maps, (64, 96), align_corners=True)
    wanted = by_scipy(maps, (64, 96), align_corners=True)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)
    # By hand, without a blur: the centers of the corner pixels coincide.
    sharp = upsample_and_blur(maps, (13, 21), sigma=1e-3, align_corners=True)
    rows, columns = np.linspace(0, 3, 13), np.linspace(0, 5, 21)
    for (row, y), (column, x) in product(enumerate(rows), enumerate(columns)):
        top, left = min(int(y), 2), min(int(x), 4)
        down, right = y - top, x - left
        corners = maps[:, top : top + 2, left : left + 2].double().numpy()
        weights = np.outer((1 - down, down), (1 - right, right))
        np.testing.assert_allclose(
            sharp[:, row, column], (corners * weights).sum((1, 2)), atol=1e-5
        )


def test_float32_under_bfloat16_autocast():
    maps = torch.rand(2, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = upsample_and_blur(maps, (32, 32))
    np.testing.assert_allclose(found.numpy(), by_scipy(maps, (32, 32)), atol=1e-6)


def test_matrices_cached_in_inference_mode_allow_training():
    maps = torch.rand(1, 5, 5)
    with torch.inference_mode():
        upsample_and_blur(maps, (40, 40))
    weight = torch.ones(1, requires_grad=True)
    upsample_and_blur(maps * weight, (40, 40)).sum().backward()
    assert weight.grad is not None
