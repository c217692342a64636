"""DRAEM's synthetic defects: the blend's formula, its shares, and every change of a texture."""

import colorsys
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter, ImageOps

from datasets_lib.augment.random_streams import RandomStreams
from models.draem import texture_changes
from models.draem.defects import synthesize
from models.draem.texture_changes import OPERATIONS, change_textures


def images(count, side=32, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def draws(count, seed=0, first=0):
    return RandomStreams(torch.arange(first, first + count), seed)


def as_pillow(image):
    return Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy())


def of_pillow(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def test_defects_are_blended_inside_the_mask_alone(monkeypatch):
    monkeypatch.setattr("models.draem.defects.change_textures", lambda textures, _: textures)
    below, top = torch.full((200, 3, 32, 32), 0.2), torch.full((200, 3, 32, 32), 0.9)
    defective, masks = synthesize(below, top, draws(200))
    assert masks.dtype == torch.bool
    assert torch.equal(defective[~masks[:, None].expand_as(defective)].unique(), below[0, 0, 0, :1])
    drawn = masks.flatten(1).any(1)
    assert 60 < drawn.sum() < 110  # half of the images, less the empty masks
    betas = torch.tensor(
        [
            (0.9 - image[0][mask][0]) / 0.7
            for image, mask in zip(defective, masks, strict=True)
            if mask.any()
        ]
    )
    assert 0 <= betas.min() < 0.1
    assert 0.7 < betas.max() <= 0.8


def test_equal_seeds_draw_equal_defects():
    first, again, other = (
        synthesize(images(8), images(8, seed=1), draws(8, seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_defect_does_not_depend_on_its_batch():
    below, top = images(8), images(8, seed=1)
    defective, masks = synthesize(below, top, draws(8))
    part, part_masks = synthesize(below[3:6], top[3:6], draws(3, first=3))
    assert torch.equal(part_masks, masks[3:6])
    assert masks[3:6].any()
    torch.testing.assert_close(part, defective[3:6])


def test_each_texture_has_three_distinct_changes(monkeypatch):
    # Each operation adds a power of two: the sum tells which ones were applied.
    steps = [
        lambda textures, _, number=number: textures + 2.0**number / 4096 for number in range(10)
    ]
    monkeypatch.setattr(texture_changes, "OPERATIONS", tuple(steps))
    changed = change_textures(torch.zeros(500, 3, 1, 1), draws(500))[:, 0, 0, 0] * 4096
    applied = [[bool(int(value) >> number & 1) for number in range(10)] for value in changed]
    assert {sum(each) for each in applied} == {3}
    assert np.array(applied).sum(0).min() > 100  # of 150 expected


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_changes_keep_shape_and_depend_on_the_image_alone(operation):
    numbers = torch.rand(4, 3, 1, 1, generator=torch.Generator().manual_seed(3))
    textures = images(4)
    changed = operation(textures, numbers)
    assert changed.shape == textures.shape
    assert changed.isfinite().all()
    alone = operation(textures[2:3], numbers[2:3])
    torch.testing.assert_close(changed[2:3], alone)


@pytest.mark.parametrize(
    ("name", "pillow", "share"),
    [
        ("invert", ImageOps.invert, 0.0),
        ("autocontrast", ImageOps.autocontrast, 0.0),
        ("autocontrast", partial(ImageOps.autocontrast, cutoff=10), 10.5 / 21),
        ("autocontrast", partial(ImageOps.autocontrast, cutoff=20), 1 - 2**-24),
        ("equalize", ImageOps.equalize, 0.0),
        ("posterize", lambda image: ImageOps.posterize(image, 3), 5.5 / 8),
    ],
)
def test_changes_match_pillow(name, pillow, share):
    for image in (0.2 + 0.5 * images(1), 0.1 + 0.8 * images(1, seed=1) ** 4):
        image = (image * 255).round() / 255
        changed = getattr(texture_changes, name)(image, torch.full((1, 3, 1, 1), share))
        wanted = of_pillow(pillow(as_pillow(image[0])))
        assert (changed[0].clamp(0, 1) - wanted).abs().max() < 1.5 / 255


@pytest.mark.parametrize("change", [texture_changes.autocontrast, texture_changes.equalize])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_constant_channels_are_kept(change, share):
    image = 0.5 * images(1)
    image[:, 1] = 100 / 255
    changed = change(image, torch.full((1, 3, 1, 1), share))
    assert torch.equal(changed[:, 1], image[:, 1])
    assert not torch.equal(changed[:, 0], image[:, 0])


def test_sharpness_0_matches_pillows_smoothing():
    image = (images(1) * 255).round() / 255
    changed = texture_changes.sharpness(image, torch.zeros(1, 3, 1, 1))
    wanted = of_pillow(as_pillow(image[0]).filter(ImageFilter.SMOOTH))
    inside = slice(1, -1)
    assert (changed[0] - wanted)[:, inside, inside].abs().max() < 1.5 / 255


def test_solarize_inverts_above_the_threshold():
    image = torch.tensor([0.1, 0.3, 0.9]).view(1, 3, 1, 1)
    numbers = torch.tensor([0.5, 0.0, 0.0]).view(1, 3, 1, 1)  # threshold 80, applied
    assert torch.allclose(
        texture_changes.solarize(image, numbers).flatten(), torch.tensor([0.1, 0.3, 0.1])
    )


def test_equalized_levels_are_uniform():
    image = images(1, side=64) ** 3
    levels = texture_changes.equalize(image, torch.zeros(1, 3, 1, 1)).flatten(2)
    for share in (0.2, 0.5, 0.8):
        assert ((levels < share).float().mean(2) - share).abs().max() < 0.1


@pytest.mark.parametrize("hue", [-70, 0, 35])
@pytest.mark.parametrize("saturation", [-50, 0, 50])
def test_hue_and_saturation_are_shifted_in_hsv(hue, saturation):
    image = images(1, side=8)
    image[..., 0], image[..., 0, 0] = image[:, :1, :, 0], 0  # a column of grays, one of them black
    numbers = torch.tensor([hue / 140 + 0.5, saturation / 100 + 0.5, 0.0]).view(1, 3, 1, 1)
    changed = texture_changes.hue_and_saturation(image, numbers)
    wanted = torch.empty_like(image)
    for row, column in np.ndindex(8, 8):
        h, s, v = colorsys.rgb_to_hsv(*image[0, :, row, column].tolist())
        s = min(max(s + saturation / 255, 0), 1)
        shifted = colorsys.hsv_to_rgb((h + hue / 360) % 1, s, v)
        wanted[0, :, row, column] = torch.tensor(shifted)
    torch.testing.assert_close(changed, wanted, atol=1e-5, rtol=0)
