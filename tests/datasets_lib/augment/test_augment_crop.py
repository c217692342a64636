"""Resized crops, read back from images whose pixels say where they are."""

import math

import numpy as np
import torch
from scipy import stats

from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.warp import ResizedCrop

COUNT, SIZE = 3000, 16


def boxes(crop):
    """(left, top, width, height) of each box as shares of the image, and which are mirrored.

    On a ramp, linear interpolation gives the position itself: two middle pixels give the mapping.
    """
    place = (torch.arange(SIZE) + 0.5) / SIZE
    ramps = torch.stack(
        (place.expand(SIZE, SIZE), place[:, None].expand(SIZE, SIZE), place.expand(SIZE, SIZE))
    )
    result, _ = crop(
        ramps.expand(COUNT, -1, -1, -1), None, RandomStreams(torch.arange(COUNT), seed=2)
    )
    x, y = result[:, 0, SIZE // 2].double(), result[:, 1, :, SIZE // 2].double()
    sides, centers = [], []
    for line in (x, y):
        before, after = line[:, SIZE // 2 - 1], line[:, SIZE // 2]
        sides.append((after - before) * SIZE)
        centers.append((before + after) / 2)
    width, height = (side.abs().numpy() for side in sides)
    left, top = centers[0].numpy() - width / 2, centers[1].numpy() - height / 2
    return left, top, width, height, (sides[0] < 0).numpy()


def test_boxes_have_the_requested_areas_and_aspect_ratios_and_lie_inside():
    left, top, width, height, mirrored = boxes(ResizedCrop((0.2, 0.6), (3 / 4, 4 / 3), flip=0.25))
    # Sides stay below 0.9, so that none is cut: area and aspect ratio are as drawn.
    assert max(width.max(), height.max()) < 0.91
    assert stats.kstest(width * height, stats.uniform(0.2, 0.4).cdf).pvalue > 1e-3
    span = math.log(16 / 9)
    aspects = np.log(width / height)
    assert stats.kstest(aspects, stats.uniform(-span / 2, span).cdf).pvalue > 1e-3
    for start, side in ((left, width), (top, height)):
        assert start.min() > -1e-5
        assert (start + side).max() < 1 + 1e-5
        assert stats.kstest(start / (1 - side), stats.uniform.cdf).pvalue > 1e-3
    assert stats.binomtest(int(mirrored.sum()), COUNT, 0.25).pvalue > 1e-3


def test_boxes_too_long_are_cut_to_the_image():
    left, top, width, height, _ = boxes(ResizedCrop((0.9, 1.0), (1 / 2, 2)))
    assert max(width.max(), height.max()) < 1 + 1e-5
    assert (np.maximum(width, height) > 1 - 1e-5).mean() > 0.5
    assert min(left.min(), top.min()) > -1e-5


def test_masks_follow_their_images():
    squares = torch.zeros(40, 3, 32, 32)
    squares[:, :, 8:24, 4:20] = 1
    masks = squares[:, 0] > 0.5
    cropped, along = ResizedCrop()(squares, masks, RandomStreams(torch.arange(40), seed=1))
    assert ((cropped[:, 0] > 0.5) == along).float().mean() > 0.99
    assert not torch.equal(along, masks)
