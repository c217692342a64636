"""EfficientAD's color jitter against torchvision's."""

import pytest
import torch
from torchvision.transforms import functional as TF

from datasets_lib.augment.random_streams import RandomStreams
from models.components.color_jitter import (
    BRIGHTNESS,
    CONTRAST,
    SATURATION,
    jitter,
    jittered,
    random_grayscale,
)
from models.components.draws import GlobalDraws

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("kind", "adjust"),
    [
        (BRIGHTNESS, TF.adjust_brightness),
        (CONTRAST, TF.adjust_contrast),
        (SATURATION, TF.adjust_saturation),
    ],
)
@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_colors_change_as_torchvision_changes_them(kind, adjust, factor):
    images = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    kinds, factors = torch.full((2, 1, 1, 1), kind), torch.tensor([factor, 1.0]).view(2, 1, 1, 1)
    found = jittered(images, kinds, factors)
    torch.testing.assert_close(found[0], adjust(images[0], factor))
    torch.testing.assert_close(found[1], images[1])


def test_jitter_draws_kind_and_factor_for_each_image():
    torch.manual_seed(0)
    image = torch.tensor([0.5, 0.3, 0.2]).view(1, 3, 1, 1).expand(600, 3, 1, 2)
    red, green = jitter(image, GlobalDraws(600, CPU))[:, :2, :, 0].unbind(dim=1)
    brightness = ((red / green - 5 / 3).abs() < 1e-4) & ((red - 0.5).abs() > 1e-4)
    assert 150 < brightness.sum() < 250
    factors = red[brightness] / 0.5
    assert 0.8 <= factors.min() < 0.82 < 1.18 < factors.max() <= 1.2
    # A gray image has no saturation to change, and one of a single color has no contrast.
    gray = jitter(torch.full((300, 3, 2, 2), 0.5), GlobalDraws(300, CPU))
    assert 70 < ((gray[:, 0, 0, 0] - 0.5).abs() > 1e-3).sum() < 130


def test_some_auxiliary_pictures_are_gray():
    torch.manual_seed(0)
    images = torch.rand(400, 3, 2, 2)
    changed = random_grayscale(images, GlobalDraws(400, CPU), 0.3)
    gray = (changed[:, 0] == changed[:, 2]).flatten(1).all(dim=1)
    assert 90 < gray.sum() < 150
    assert torch.equal(changed[~gray], images[~gray])
    torch.testing.assert_close(changed[gray][:, :1], TF.rgb_to_grayscale(images[gray]))


def test_an_image_is_changed_alike_in_any_batch():
    images = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    draws = RandomStreams(torch.arange(6), 7)
    whole = jitter(images, draws), random_grayscale(images, draws, 0.5)
    for first in range(0, 6, 2):
        part, own = images[first : first + 2], RandomStreams(torch.arange(first, first + 2), 7)
        assert torch.equal(jitter(part, own), whole[0][first : first + 2])
        assert torch.equal(random_grayscale(part, own, 0.5), whole[1][first : first + 2])
    assert not torch.equal(whole[0], images)
    assert not torch.equal(whole[1], images)
