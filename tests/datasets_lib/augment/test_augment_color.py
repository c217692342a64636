"""Colors, tables, warps and filters against torchvision and Pillow."""

import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as vision

from datasets_lib.augment import color_jitter as jitter
from datasets_lib.augment import rand_augment as tables
from datasets_lib.augment.rand_augment import Operation, RandAugment
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.warp import Rotation, rotation_matrix, warp

FORMATS = [torch.channels_last, torch.contiguous_format]
BILINEAR = InterpolationMode.BILINEAR


def streams(count):
    return RandomStreams(torch.arange(count), seed=1)


def photographs(count=6, size=24):
    """uint8 images of smooth colors and noise; the fifth is flat, the sixth black."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 0.7 + 0.1
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bilinear")
    noisy = smooth + 0.1 * torch.rand(count, 3, size, size, generator=generator)
    images = (noisy * 255).to(torch.uint8)
    images[4:5], images[5:6] = 77, 0
    return images


def to_pillow(image):
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def from_pillow(image):
    return (
        torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        .view(image.height, image.width, 3)
        .permute(2, 0, 1)
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "factors"),
    [
        (jitter.adjust_brightness, vision.adjust_brightness, (0.0, 0.7, 1.0, 1.8)),
        (jitter.adjust_contrast, vision.adjust_contrast, (0.0, 0.7, 1.0, 1.8)),
        (jitter.adjust_saturation, vision.adjust_saturation, (0.0, 0.7, 1.0, 1.8)),
    ],
)
def test_color_changes_match_torchvision(ours, theirs, factors):
    images = photographs().float() / 255
    of_each = torch.tensor((*factors, factors[1], factors[2]))
    found = ours(images, of_each)
    for image, result, factor in zip(images, found, of_each.tolist(), strict=True):
        assert torch.allclose(result, theirs(image, factor), atol=3e-6)


def test_jitter_uses_the_stated_order_and_ranges():
    images = photographs()
    changed, masks = jitter.ColorJitter(0.2, 0.3, 0.4)(images, None, streams(6))
    assert masks is None
    assert changed.dtype == torch.uint8
    wanted = images.float() / 255
    for name, width, step in (
        ("brightness", 0.2, vision.adjust_brightness),
        ("contrast", 0.3, vision.adjust_contrast),
        ("saturation", 0.4, vision.adjust_saturation),
    ):
        factors = streams(6).fold_in(name).uniform(low=1 - width, high=1 + width)
        wanted = torch.stack(
            [step(image, float(f)) for image, f in zip(wanted, factors, strict=True)]
        )
    difference = (changed.int() - (wanted * 255).round().int()).abs()
    assert difference.max() <= 1  # rounding on the edge between two levels
    assert (difference > 0).float().mean() < 0.001


TABLES = {
    Operation.BRIGHTNESS: lambda image: vision.adjust_brightness(image, 1.27),
    Operation.SATURATION: lambda image: vision.adjust_saturation(image, 1.27),
    Operation.CONTRAST: lambda image: vision.adjust_contrast(image, 1.27),
    Operation.SHARPNESS: lambda image: vision.adjust_sharpness(image, 1.27),
    Operation.POSTERIZE: lambda image: vision.posterize(image, 7),
    Operation.SOLARIZE: lambda image: vision.solarize(image, 178.5),
    Operation.AUTOCONTRAST: vision.autocontrast,
    Operation.EQUALIZE: vision.equalize,
}
WARPS = {
    Operation.SHEAR_X: {"angle": 0.0, "translate": [0, 0], "shear": [5.142765, 0.0]},  # atan 0.09
    Operation.SHEAR_Y: {"angle": 0.0, "translate": [0, 0], "shear": [0.0, 5.142765]},
    Operation.ROTATE: {"angle": -9.0, "translate": [0, 0], "shear": [0.0, 0.0]},
}


@pytest.mark.parametrize("operation", TABLES, ids=lambda operation: operation.name)
def test_color_operations_match_torchvision(operation):
    images = photographs()
    found = RandAugment(magnitude=9).apply(images, torch.full((6,), operation), torch.ones(6))
    wanted = torch.stack([TABLES[operation](image) for image in images])
    difference = (found.int() - wanted.int()).abs()
    # Blends truncate: float32 may put the same sum on either side of a whole number.
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.02


@pytest.mark.parametrize("operation", WARPS, ids=lambda operation: operation.name)
def test_geometric_operations_match_torchvision(operation):
    images = photographs()
    found = RandAugment(magnitude=9).apply(images, torch.full((6,), operation), torch.ones(6))
    wanted = vision.affine(images, scale=1.0, interpolation=BILINEAR, **WARPS[operation])
    assert (found.int() - wanted.int()).abs().max() <= 1
    assert not torch.equal(found, images)


@pytest.mark.parametrize("axis", [2, 3])
def test_translations_move_whole_pixels_exactly(axis):
    images = photographs(size=331)[:2]
    operation = Operation.TRANSLATE_X if axis == 3 else Operation.TRANSLATE_Y
    found = RandAugment(magnitude=9).apply(images, torch.full((2,), operation), torch.ones(2))
    wanted = images.roll(45, axis)  # 150 · 9 / 30
    wanted.narrow(axis, 0, 45).zero_()
    assert torch.equal(found, wanted)


def test_pillow_agrees_on_the_tables():
    images = photographs()
    values, histogram = tables.levels(images), tables.histograms(images)
    equalized = tables.apply_tables(images, tables.equalized(values, histogram))
    stretched = tables.apply_tables(images, tables.autocontrasted(values, histogram))
    for number, image in enumerate(images):
        pillow = to_pillow(image)
        assert torch.equal(equalized[number], from_pillow(ImageOps.equalize(pillow)))
        difference = stretched[number].int() - from_pillow(ImageOps.autocontrast(pillow)).int()
        assert difference.abs().max() <= 1
        brighter = tables.blended(values, 0.0, torch.full((1, 1, 1), 1.3))[0, 0]
        wanted = from_pillow(ImageEnhance.Brightness(pillow).enhance(1.3))
        assert (brighter[image.long()].int() - wanted.int()).abs().max() <= 1


def test_each_image_has_its_own_operation():
    images = photographs(14)
    together = RandAugment().apply(images, torch.arange(14), torch.ones(14))
    for number in range(14):
        alone = RandAugment().apply(
            images[number : number + 1], torch.tensor([number]), torch.ones(1)
        )
        assert torch.equal(together[number], alone[0])
    assert torch.equal(together[0], images[0])


def test_rand_augment_draws_operations_evenly():
    images = photographs(1).expand(1400, -1, -1, -1)[:, :, :8, :8]
    chosen = streams(1400).fold_in("round 0").fold_in("operation").integers(14)
    assert torch.bincount(chosen, minlength=14).min() > 60
    once, _ = RandAugment(operations=1)(images, None, streams(1400))
    identity = (once == images).flatten(1).all(1)
    assert identity[chosen == Operation.IDENTITY].all()


def test_rand_augment_refuses_masks():
    with pytest.raises(ValueError, match="masks of shape"):
        RandAugment()(photographs(), torch.zeros(6, 24, 24, dtype=torch.bool), streams(6))


@pytest.mark.parametrize("form", FORMATS)
def test_warp_rotation_matches_torchvision(form):
    images = (photographs().float() / 255).contiguous(memory_format=form)
    angles = torch.tensor([0.0, 30.0, -75.0, 90.0, 12.5, 180.0])
    found = warp(images, rotation_matrix(angles))
    assert found.is_contiguous(memory_format=form)
    for image, result, angle in zip(images, found, angles.tolist(), strict=True):
        wanted = vision.rotate(image, angle, interpolation=BILINEAR)
        assert torch.allclose(result, wanted, atol=2e-5)


def test_masks_rotate_with_their_images():
    images = torch.zeros(40, 3, 33, 33)
    images[:, :, 6:15, 10:28] = 1
    masks = images[:, 0] > 0.5
    turned, along = Rotation(probability=0.5)(images, masks, streams(40))
    assert along.dtype == torch.bool
    agree = ((turned[:, 0] > 0.5) == along).float().mean()
    assert agree > 0.99  # nearest and bilinear differ only at the edge
    still = (along == masks).flatten(1).all(1)
    assert 8 < still.sum() < 32
