"""Synthetic defects, textures and labels of training batches."""

import pytest
import torch

from bench.run.training.extras import Extras
from datasets_lib.batches.image_set import ImageSet
from datasets_lib.batches.textures import TextureSource
from models.catalog.entry import SyntheticDefects

SIDE = 32
INDEX = torch.arange(6)


def images():
    return torch.rand(6, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def textures():
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (4, 3, SIDE, SIDE), dtype=torch.uint8, generator=random)
    return TextureSource("procedural", pixels)


def labeled():
    masks = torch.zeros(6, SIDE, SIDE, dtype=torch.bool)
    masks[1, 2:5, 3:9] = True
    return ImageSet(
        images=torch.zeros(6, 3, SIDE, SIDE, dtype=torch.uint8),
        labels=masks.any(2).any(1),
        masks=masks,
        names=tuple("abcdef"),
        defects=(None, "crack", *[None] * 4),
    )


def test_synthetic_defects_change_the_images_under_their_masks_alone():
    extras = Extras(3, textures(), SyntheticDefects(textures=True, probability=1.0))
    normal = images()
    fields = extras.fields(normal, INDEX, 0)
    assert fields.keys() == {"synthetic", "synthetic_masks"}
    outside = ~fields["synthetic_masks"][:, None].expand_as(normal)
    assert torch.equal(fields["synthetic"][outside], normal[outside])
    assert not torch.equal(fields["synthetic"], normal)


def test_masks_alone_are_drawn_without_textures():
    fields = Extras(3, synthetic=SyntheticDefects(textures=False, threshold=0.2)).fields(
        images(), INDEX, 0
    )
    assert fields.keys() == {"synthetic_masks"}
    assert fields["synthetic_masks"].dtype == torch.bool
    assert fields["synthetic_masks"].shape == (6, SIDE, SIDE)


@pytest.mark.parametrize("textured", [True, False])
def test_defects_repeat_for_a_seed_and_a_step_and_for_no_other(textured):
    def draw(seed, step):
        spec = SyntheticDefects(textures=textured, probability=1.0)
        return Extras(seed, textures(), spec).fields(images(), INDEX, step)["synthetic_masks"]

    assert torch.equal(draw(3, 7), draw(3, 7))
    assert not torch.equal(draw(3, 7), draw(3, 8))
    assert not torch.equal(draw(3, 7), draw(4, 7))


def test_half_of_the_images_stay_normal_by_default():
    spec = SyntheticDefects(textures=False, threshold=-1.0)
    many = torch.zeros(400, 3, 8, 8)
    masks = Extras(3, synthetic=spec).fields(many, torch.arange(400), 0)["synthetic_masks"]
    share = masks.any(2).any(1).float().mean().item()
    assert share == pytest.approx(0.5, abs=0.1)  # four standard deviations


def test_labels_and_masks_follow_the_rows():
    extras = Extras(3, labeled=labeled())
    index = torch.tensor([1, 0, 1])
    assert extras.fields(images()[:3], index, 0)["targets"].tolist() == [True, False, True]
    assert extras.masks(index).sum((1, 2)).tolist() == [18, 0, 18]
