"""Tiles, cut and merged pixel by pixel."""

import numpy as np
import pytest
import torch

from datasets_lib.batches.image_set import ImageSet
from datasets_lib.batches.tiles import Tiles

GRIDS = [
    Tiles(2, 3, 4, 16, 12),
    Tiles(1, 2, 0, 8, 8),
    Tiles(3, 1, 5, 10, 11),
    Tiles(2, 2, 8, 16, 16),
    Tiles(4, 3, 1, 5, 7),
]


def places(tiles):
    """Yield the number and the corner of each tile."""
    for number in range(tiles.rows * tiles.columns):
        row, column = divmod(number, tiles.columns)
        yield number, row * (tiles.height - tiles.overlap), column * (tiles.width - tiles.overlap)


@pytest.mark.parametrize("tiles", GRIDS)
def test_tiles_are_cut_where_they_lie_and_cover_the_frame(tiles):
    draw = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (2, 3, *tiles.frame), dtype=torch.uint8, generator=draw)
    masks = frames[:, 0] > 128
    cut, cut_masks = tiles.cut(frames), tiles.cut_masks(masks)
    seen = torch.zeros(tiles.frame, dtype=torch.bool)
    count = tiles.rows * tiles.columns
    assert cut.is_contiguous(memory_format=torch.channels_last)
    for number, top, left in places(tiles):
        bottom, right = top + tiles.height, left + tiles.width
        seen[top:bottom, left:right] = True
        for frame in range(2):
            place = frame * count + number
            assert torch.equal(cut[place], frames[frame, :, top:bottom, left:right])
            assert torch.equal(cut_masks[place], masks[frame, top:bottom, left:right])
    assert seen.all()


@pytest.mark.parametrize("tiles", GRIDS)
def test_maps_are_blended_pixel_by_pixel(tiles):
    count = tiles.rows * tiles.columns
    maps = torch.rand(
        2 * count, tiles.height, tiles.width, generator=torch.Generator().manual_seed(2)
    )
    merged = tiles.merge(maps)
    for frame, row, column in np.ndindex(2, *tiles.frame):
        total = weights = 0.0
        for number, top, left in places(tiles):
            y, x = row - top, column - left
            if not (0 <= y < tiles.height and 0 <= x < tiles.width):
                continue
            # The distance to the nearer edge in pixels, at most the overlap.
            weight = min(y + 1, tiles.height - y, tiles.overlap + 1) * min(
                x + 1, tiles.width - x, tiles.overlap + 1
            )
            weights += weight
            total += weight * maps[frame * count + number, y, x].item()
        assert merged[frame, row, column].item() == pytest.approx(total / weights, rel=1e-5)


@pytest.mark.parametrize("tiles", GRIDS)
def test_what_tiles_agree_on_is_kept(tiles):
    frames = torch.rand(3, *tiles.frame, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(tiles.merge(tiles.cut_masks(frames)), frames)


def test_a_seam_falls_linearly_from_one_tile_to_its_neighbor():
    tiles = Tiles(1, 2, 3, 2, 8)
    maps = torch.stack([torch.zeros(2, 8), torch.ones(2, 8)])
    expected = [0.0] * 5 + [0.25, 0.5, 0.75] + [1.0] * 5
    torch.testing.assert_close(tiles.merge(maps)[0], torch.tensor([expected] * 2))


def test_the_highest_tile_scores():
    tiles = Tiles(2, 2, 0, 4, 4)
    scores = torch.tensor([1.0, 5.0, 2.0, -3.0, -1.0, -7.0, -2.0, -9.0])
    assert tiles.merge_scores(scores).tolist() == [5.0, -1.0]


def labeled(masks):
    return ImageSet(
        images=torch.zeros(2, 3, 8, 12, dtype=torch.uint8),
        labels=torch.tensor([False, True]),
        masks=masks,
        names=("good/1", "bad/2"),
        defects=(None, "crack"),
    )


def test_tiles_are_defective_where_their_mask_is():
    masks = torch.zeros(2, 8, 12, dtype=torch.bool)
    masks[1, 5, 2] = True
    tiled = Tiles(2, 3, 0, 4, 4).image_set(labeled(masks))
    assert tiled.labels.tolist() == [number == 9 for number in range(12)]
    assert tiled.defects == (*[None] * 9, "crack", None, None)
    assert tiled.names == (*["good/1"] * 6, *["bad/2"] * 6)
    assert int(tiled.masks.sum()) == 1


def test_without_masks_tiles_are_what_their_frame_is():
    tiled = Tiles(2, 3, 0, 4, 4).image_set(labeled(None))
    assert tiled.labels.tolist() == [False] * 6 + [True] * 6
    assert tiled.defects == (*[None] * 6, *["crack"] * 6)
