"""Flips, crops and quarter turns move pixels exactly, evenly, and the masks with them."""

import pytest
import torch
from scipy import stats

from datasets_lib.augment.flips import FlipCrop, Flips
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.rows import cut_windows, select, where_masked
from datasets_lib.augment.warp import QuarterTurns, quarter_turns

FORMATS = [torch.channels_last, torch.contiguous_format]


def distinct(count, size, form=torch.channels_last, channels=3):
    """Images whose pixels are all different and nonzero."""
    pixels = torch.arange(1, count * channels * size**2 + 1, dtype=torch.int32)
    return pixels.view(count, channels, size, size).contiguous(memory_format=form)


def streams(count, **fields):
    return RandomStreams(torch.arange(count), **{"seed": 0, **fields})


def every_window(image, pad):
    """(mirrored, top, left) and the window, for all of them."""
    for mirrored in (False, True):
        turned = image.flip(-1) if mirrored else image
        padded = torch.nn.functional.pad(turned, (pad,) * 4)
        for top in range(2 * pad + 1):
            for left in range(2 * pad + 1):
                size = image.shape[-1]
                window = padded[..., top : top + size, left : left + size]
                yield (mirrored, top, left), window


@pytest.mark.parametrize("form", FORMATS)
def test_each_crop_is_exactly_one_of_the_possible_windows_with_its_mask(form):
    images, pad = distinct(12, 7, form), 2
    masks = images[:, 0] % 3 == 0
    cropped, cut = FlipCrop(pad)(images, masks, streams(12))
    assert cropped.is_contiguous(memory_format=form)
    seen = set()
    for image, mask, result, result_mask in zip(images, masks, cropped, cut, strict=True):
        found = [key for key, window in every_window(image, pad) if torch.equal(window, result)]
        assert len(found) == 1
        windows_of_mask = dict(every_window(mask[None], pad))
        assert torch.equal(windows_of_mask[found[0]][0], result_mask)
        seen.add(found[0])
    assert len(seen) > 6


@pytest.mark.parametrize("form", FORMATS)
def test_windows_are_cut_where_they_are_asked_for(form):
    image = distinct(1, 5, form)
    for (mirrored, top, left), window in every_window(image, 1):
        for upside_down in (False, True):
            found = cut_windows(
                image,
                torch.tensor([mirrored]),
                torch.tensor([upside_down]),
                torch.tensor([top]),
                torch.tensor([left]),
                pad=1,
            )
            assert torch.equal(found, window.flip(2) if upside_down else window)


def test_offsets_and_flips_are_uniform():
    image = distinct(1, 5, channels=1)
    count = 4000
    cropped, _ = FlipCrop(1)(image.expand(count, -1, -1, -1), None, streams(count))
    keys = {window.flatten().numpy().tobytes(): key for key, window in every_window(image[0], 1)}
    found = [keys[result.flatten().numpy().tobytes()] for result in cropped]
    counts = [found.count(key) for key in keys.values()]
    assert len(counts) == 18
    assert stats.chisquare(counts).pvalue > 1e-3


def test_flips_have_their_probabilities_and_move_masks():
    count = 4000
    images = distinct(1, 3).expand(count, -1, -1, -1)
    masks = images[:, 0] % 2 == 0
    flipped, along = Flips(horizontal=0.25, vertical=0.5)(images, masks, streams(count))
    results = {
        (across, down): images[0].flip([d for d, on in ((2, across), (1, down)) if on])
        for across in (False, True)
        for down in (False, True)
    }
    counts = []
    for (across, down), wanted in results.items():
        same = (flipped == wanted).flatten(1).all(1)
        wanted_mask = masks[0].flip([d for d, on in ((1, across), (0, down)) if on])
        assert (along[same] == wanted_mask).all()
        counts.append(int(same.sum()))
    assert sum(counts) == count
    shares = [0.75 * 0.5, 0.75 * 0.5, 0.25 * 0.5, 0.25 * 0.5]
    assert stats.chisquare(counts, [count * share for share in shares]).pvalue > 1e-3


@pytest.mark.parametrize("form", FORMATS)
def test_quarter_turns_are_rot90(form):
    images = distinct(4, 6, form)
    turned = quarter_turns(images, torch.arange(4))
    assert turned.is_contiguous(memory_format=form)
    for turns in range(4):
        assert torch.equal(turned[turns], torch.rot90(images[turns], turns, (1, 2)))


def test_quarter_turns_are_uniform_and_move_masks():
    images = distinct(1, 4).expand(2000, -1, -1, -1)
    masks = images[:, 0] > 9
    turned, along = QuarterTurns()(images, masks, streams(2000))
    assert torch.equal(turned[:, 0] > 9, along)
    counts = [
        int((turned == torch.rot90(images[0], k, (1, 2))).flatten(1).all(1).sum()) for k in range(4)
    ]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_quarter_turns_of_oblong_images_are_refused():
    with pytest.raises(ValueError, match="found 4×6"):
        QuarterTurns()(torch.zeros(1, 3, 4, 6), None, streams(1))


@pytest.mark.parametrize("form", FORMATS)
def test_rows_select_and_mix_as_plain_indexing_does(form):
    images, others = distinct(6, 5, form), -distinct(6, 5)
    index = torch.tensor([5, 0, 0, 3])
    assert torch.equal(select(images, index), images[index])
    assert select(images, index).is_contiguous(memory_format=form)
    masks = images[:, 0] % 4 == 1
    for mask in (masks, masks[:1]):
        found = where_masked(mask, others, images)
        assert torch.equal(found, torch.where(mask[:, None], others, images))
        assert found.is_contiguous(memory_format=form)
