import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from models.components.ssim import structural_similarity


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(3)
    first = torch.rand(2, 3, 24, 40, generator=generator)
    noise = torch.randn(2, 3, 24, 40, generator=generator)
    return first, (first + torch.tensor([0.05, 0.3]).view(2, 1, 1, 1) * noise).clamp(0, 1)


def by_scipy(first, second, padded):
    """Eq. 13 of the paper in float64, mean over windows inside the image or around each pixel."""

    def smooth(x):
        edge = {"mode": "constant", "cval": 0.0}
        smoothed = gaussian_filter(x, sigma=1.5, radius=5, axes=(2, 3), **edge)
        return smoothed if padded else smoothed[:, :, 5:-5, 5:-5]

    x, y = first.double().numpy(), second.double().numpy()
    mu_x, mu_y = smooth(x), smooth(y)
    var_x, var_y = smooth(x * x) - mu_x**2, smooth(y * y) - mu_y**2
    cov = smooth(x * y) - mu_x * mu_y
    c1, c2 = 1e-4, 9e-4
    ssim = (2 * mu_x * mu_y + c1) * (2 * cov + c2)
    ssim /= (mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2)
    return ssim.mean(axis=(1, 2, 3))


@pytest.mark.parametrize("padded", [False, True])
def test_ssim_matches_the_papers_formula(pair, padded):
    ours = structural_similarity(*pair, padded=padded)
    np.testing.assert_allclose(ours.numpy(), by_scipy(*pair, padded), atol=1e-5)
    assert ours[0] > 0.9 > ours[1] + 0.1


def test_equal_images_have_one_and_flat_images_no_nan(pair):
    first = pair[0]
    torch.testing.assert_close(structural_similarity(first, first), torch.ones(2))
    black, white = torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
    assert structural_similarity(black, white).item() == pytest.approx(1e-4 / (1 + 1e-4), rel=1e-3)


def test_autocast_leaves_it_in_float32(pair):
    with torch.autocast("cpu", torch.bfloat16):
        half = structural_similarity(*pair)
    assert torch.equal(half, structural_similarity(*pair))


def test_images_smaller_than_a_window_are_refused():
    small = torch.rand(1, 3, 32, 10)
    with pytest.raises(ValueError, match=r"11 pixels wide: wanted images of .*, found 32×10"):
        structural_similarity(small, small)
