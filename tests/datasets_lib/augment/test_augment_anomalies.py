"""Perlin masks and texture blending against brute force."""

import math

import numpy as np
import pytest
import torch

from datasets_lib.augment.blend import TextureBlend
from datasets_lib.augment.perlin import perlin_masks, perlin_noise
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.batches.textures import texture_source
from datasets_lib.cache.decode_cache import DecodeCache


def streams(count, seed=4):
    return RandomStreams(torch.arange(count), seed=seed)


def brute_force_perlin(angles, cells_y, cells_x, size):
    """The definition, pixel by pixel in float64: four corner ramps under the quintic fade."""

    def fade(t):
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    noise = np.empty((size, size))
    for row in range(size):
        for column in range(size):
            y, x = row * cells_y / size, column * cells_x / size
            total = 0.0
            for j in (int(y), int(y) + 1):
                for i in (int(x), int(x) + 1):
                    weight = fade(1 - abs(y - j)) * fade(1 - abs(x - i))
                    ramp = math.cos(angles[j, i]) * (x - i) + math.sin(angles[j, i]) * (y - j)
                    total += weight * ramp
            noise[row, column] = total * math.sqrt(2)
    return noise


def test_perlin_noise_matches_its_definition():
    size, cells = 24, (1, 2, 4, 8)
    found = perlin_noise(size, streams(5), cells)
    chosen = streams(5).fold_in("cells").integers(4, 2)
    angles = streams(5).fold_in("angle").uniform(9, 9, high=2 * math.pi).double().numpy()
    for number in range(5):
        y, x = (cells[int(choice)] for choice in chosen[number])
        wanted = brute_force_perlin(angles[number], y, x, size)
        assert np.abs(found[number].numpy() - wanted).max() < 1e-5


def test_noise_stays_in_its_range_and_is_symmetric():
    noise = perlin_noise(64, streams(200))
    assert noise.abs().max() <= 1
    assert noise.abs().max() > 0.8
    assert abs(float(noise.mean())) < 0.02


@pytest.mark.parametrize("size", [32, 56, 100])
def test_masks_cover_a_sane_share(size):
    masks = perlin_masks(300, size, streams(300))
    assert masks.dtype == torch.bool
    share = masks.float().mean((1, 2))
    assert 0.02 < share.mean() < 0.12  # of pixels where DRAEM's noise exceeds 0.5
    assert share.max() < 0.7
    assert (share > 0).float().mean() > 0.7
    wider = perlin_masks(300, size, streams(300), threshold=0.2)
    assert (wider | masks).equal(wider)
    assert wider.float().mean() > 2 * masks.float().mean()


def test_masks_belong_to_samples():
    with pytest.raises(ValueError, match="3 masks and 5 samples"):
        perlin_masks(3, 8, streams(5))


class Stripes:
    """Textures of one value each: 200 plus the sample's number."""

    def sample(self, streams):
        value = (200 + streams.index).to(torch.uint8)
        return value.view(-1, 1, 1, 1).expand(-1, 3, 32, 32)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_textures_are_blended_inside_the_mask(dtype):
    count, size = 24, 32
    images = torch.full((count, 3, size, size), 40, dtype=torch.uint8)
    if dtype == torch.float32:
        images = images / 255
    result, masks = TextureBlend(Stripes())(images, streams(count))
    assert result.dtype == dtype
    unit = 1 if dtype == torch.uint8 else 255
    beta = streams(count).fold_in("opacity").uniform(low=0.1, high=0.8).double()
    for number in range(count):
        blended = (1 - beta[number]) * (200 + number) + beta[number] * 40
        inside, outside = result[number, 0][masks[number]], result[number, 0][~masks[number]]
        assert torch.equal(outside, images[number, 0][~masks[number]])
        assert ((inside.double() * unit - blended).abs() < 0.51).all()
    drawn = masks.flatten(1).any(1).sum()
    assert 4 < drawn < 20  # half of the images, less the empty masks


def test_the_procedural_textures_serve(tmp_path):
    source = texture_source({}, 32, DecodeCache(tmp_path))
    images = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    result, masks = TextureBlend(source, threshold=0.3, probability=1.0)(images, streams(8))
    covered = masks[:, None].expand_as(result)
    assert (result[covered] > 0).float().mean() > 0.9
    assert (result[~covered] == 0).all()


def test_textures_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"found \(2, 3, 32, 32\)"):
        TextureBlend(Stripes())(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), streams(2))


@pytest.mark.gpu
def test_cuda_draws_the_same_anomalies_without_waiting_for_the_device(no_waiting):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    synthesize = TextureBlend(Stripes())
    images = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    images = images.contiguous(memory_format=torch.channels_last)
    wanted, masks = synthesize(images, streams(16))
    on_device, index = images.cuda(), torch.arange(16, device="cuda")
    with no_waiting():
        found, found_masks = synthesize(on_device, RandomStreams(index, seed=4))
    # Sines differ in their last bit: a pixel on the edge of a mask may fall on its other side.
    assert (found_masks.cpu() != masks).float().mean() < 0.002
    both = (found_masks.cpu() == masks)[:, None].expand_as(wanted)
    assert (found.cpu().int() - wanted.int()).abs()[both].float().mean() < 0.05
