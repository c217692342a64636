"""Perlin noise and masks against their definition, pixel by pixel in float64."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from datasets_lib.augment.random_streams import RandomStreams
from models.components.draws import GlobalDraws
from models.components.perlin import lattice_noise, perlin_masks, perlin_noise, rotate, turn_some


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def draws(count, seed, first=0):
    return RandomStreams(torch.arange(first, first + count), seed)


def brute_force_perlin(angles, cells_y, cells_x, size):
    """Four corner ramps under the quintic fade."""

    def fade(t):
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    noise = np.empty(size)
    for row, column in np.ndindex(*size):
        y, x = row * cells_y / size[0], column * cells_x / size[1]
        total = 0.0
        for j in (int(y), int(y) + 1):
            for i in (int(x), int(x) + 1):
                weight = fade(1 - abs(y - j)) * fade(1 - abs(x - i))
                ramp = math.cos(angles[j, i]) * (x - i) + math.sin(angles[j, i]) * (y - j)
                total += weight * ramp
        noise[row, column] = total * math.sqrt(2)
    return noise


@pytest.mark.parametrize("size", [(24, 24), (20, 33)])
def test_lattice_noise_matches_its_definition(size):
    cells = torch.tensor([[1, 1], [1, 8], [4, 2], [8, 8]])
    angles = 2 * math.pi * torch.rand(4, 9, 9, generator=seeded(0))
    found = lattice_noise(angles, cells, size)
    for number, (y, x) in enumerate(cells.tolist()):
        wanted = brute_force_perlin(angles[number].double().numpy(), y, x, size)
        assert np.abs(found[number].numpy() - wanted).max() < 1e-5


def test_lattice_noise_ignores_autocast():
    angles = 2 * math.pi * torch.rand(2, 9, 9, generator=seeded(0))
    cells = torch.tensor([[2, 8], [8, 1]])
    wanted = lattice_noise(angles, cells, (16, 16))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(lattice_noise(angles, cells, (16, 16)), wanted)


def test_noise_stays_in_its_range_and_is_symmetric():
    noise = perlin_noise(draws(200, 1), (64, 64))
    assert noise.abs().max() <= 1
    assert noise.abs().max() > 0.8
    assert abs(float(noise.mean())) < 0.02


def test_cells_are_drawn_from_all_powers_of_two_per_sample_and_side():
    # The noise is 0 only on the crossings of the lattice: counting zeros along the first column
    # and the first row finds the numbers of cells.
    noise = perlin_noise(draws(600, 2), (64, 64))
    for profile in (noise[:, :, 0], noise[:, 0]):
        cells = (profile.abs() < 1e-6).sum(1)
        counts = [(cells == 2**exponent).sum().item() for exponent in range(6)]
        assert sum(counts) > 590
        assert min(counts) > 60  # of 100 expected


@pytest.mark.parametrize("size", [(32, 32), (56, 80)])
def test_masks_cover_a_sane_share(size):
    masks = perlin_masks(draws(300, 3), size)
    assert masks.shape == (300, *size)
    assert masks.dtype == torch.bool
    share = masks.float().mean((1, 2))
    assert 0.02 < share.mean() < 0.12  # of pixels where DRAEM's noise exceeds 0.5
    assert share.max() < 0.7
    assert (share > 0).float().mean() > 0.7


def test_equal_seeds_draw_equal_masks_and_others_differ():
    first, again, other = (perlin_masks(draws(8, s), (32, 32)) for s in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    drawn = [mask.numpy().tobytes() for mask in perlin_masks(draws(8, 7), (32, 32)) if mask.any()]
    assert len(set(drawn)) == len(drawn) > 4


def test_a_mask_does_not_depend_on_its_batch():
    whole = perlin_masks(draws(8, 5), (32, 32))
    assert whole[4:7].any()
    assert torch.equal(perlin_masks(draws(3, 5, first=4), (32, 32)), whole[4:7])


def test_without_the_harness_masks_come_from_the_global_generator():
    torch.manual_seed(7)
    source = GlobalDraws(8, torch.device("cpu"))
    drawn = perlin_masks(source, (32, 32))
    assert not torch.equal(perlin_masks(source, (32, 32)), drawn)
    torch.manual_seed(7)
    assert torch.equal(perlin_masks(source, (32, 32)), drawn)


def test_rotation_matches_scipys():
    images = torch.rand(3, 2, 21, 21, generator=seeded(8))
    degrees = torch.tensor([0.0, 30.0, -90.0])
    found = rotate(images, degrees)
    assert torch.allclose(found[0], images[0], atol=1e-5)
    assert torch.allclose(found[2], images[2].rot90(-1, (1, 2)), atol=1e-4)
    wanted = ndimage.rotate(images[1].numpy(), 30, axes=(2, 1), reshape=False, order=1)
    inside = slice(6, 15)
    difference = found[1].numpy() - wanted
    assert np.abs(difference[:, inside, inside]).max() < 1e-4


def test_oblong_images_rotate_rigidly():
    images = torch.zeros(1, 1, 20, 60)
    images[0, 0, 10, 26:35] = 1  # a horizontal stroke
    turned = rotate(images, torch.tensor([90.0]))[0, 0]
    rows, columns = torch.nonzero(turned > 0.5, as_tuple=True)
    assert rows.max() - rows.min() == 8
    assert len(columns.unique()) == 1


def test_the_wanted_share_of_images_is_rotated():
    turned = turn_some(torch.ones(1000, 3, 16, 16), draws(1000, 0), 0.3)
    assert 220 < (turned.amin((1, 2, 3)) < 0.5).sum() < 330  # less those of small angles


def test_rotation_ignores_autocast():
    images = torch.rand(2, 3, 48, 32, generator=seeded(1))
    degrees = torch.tensor([37.0, -80.0])
    with torch.autocast("cpu", torch.bfloat16):
        found = rotate(images, degrees)
    assert torch.equal(found, rotate(images, degrees))
