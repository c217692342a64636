"""Images that do not fit on a GPU stay on the host, from where their batches are pinned."""

import pytest
import torch

from bench.run import device_data
from bench.run.device_data import SplitData, _to_device
from bench.run.training.precision import to_float
from datasets_lib.batches.image_set import ImageSet

CUDA = torch.device("cuda", 0)


def image_set(count):
    images = torch.randint(0, 256, (count, 4, 4, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    names = tuple(map(str, range(count)))
    return ImageSet(images, torch.zeros(count, dtype=torch.bool), None, names, (None,) * count)


@pytest.fixture
def pinned(monkeypatch):
    """Stand in for a GPU, and return the numbers of images that are pinned."""
    counts, move = [], torch.Tensor.to

    def pin(images):
        counts.append(len(images))
        return images

    def to(tensor, target, *more, **options):
        return tensor if target == CUDA else move(tensor, target, *more, **options)

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", to)
    return counts


def test_images_that_do_not_fit_are_not_pinned_as_a_whole(monkeypatch, pinned):
    monkeypatch.setattr(device_data, "free_bytes", lambda _: 1)
    data = SplitData(image_set(5), image_set(2), image_set(3), {})
    placed = _to_device(data, CUDA)
    assert [placed.fit, placed.calibration, placed.test] == [data.fit, data.calibration, data.test]
    assert not pinned


def test_a_batch_is_pinned_when_it_moves(pinned):
    images = image_set(5).images
    floats = to_float(images[:2], CUDA)
    assert pinned == [2]
    torch.testing.assert_close(floats, images[:2] / 255)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gets_the_pixels_of_images_that_stay_on_the_host(monkeypatch):
    monkeypatch.setattr(device_data, "free_bytes", lambda _: 1)
    data = SplitData(image_set(5), None, image_set(3), {})
    placed = _to_device(data, CUDA)
    for split, own in ((placed.fit, data.fit), (placed.test, data.test)):
        assert not split.images.is_cuda
        assert not split.images.is_pinned()
        torch.testing.assert_close(to_float(split.images[1:3], CUDA).cpu(), own.images[1:3] / 255)
