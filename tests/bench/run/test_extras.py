"""Textures and labels of training batches."""

import torch

from bench.run.training.extras import Extras
from datasets_lib.batches.image_set import ImageSet
from datasets_lib.batches.textures import TextureSource

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


def test_textures_repeat_for_a_seed_and_a_step_and_for_no_other():
    def draw(seed, step):
        return Extras(seed, textures()).fields(images(), INDEX, step)["auxiliary"]

    assert draw(3, 7).shape == (6, 3, SIDE, SIDE)
    assert torch.equal(draw(3, 7), draw(3, 7))
    assert not torch.equal(draw(3, 7), draw(3, 8))
    assert not torch.equal(draw(3, 7), draw(4, 7))


def test_labels_and_masks_follow_the_rows():
    extras = Extras(3, labeled=labeled())
    index = torch.tensor([1, 0, 1])
    assert extras.fields(images()[:3], index, 0)["targets"].tolist() == [True, False, True]
    assert extras.masks(index).sum((1, 2)).tolist() == [18, 0, 18]
