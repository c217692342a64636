"""Batches from memory and from a file: the same, in bounded memory, with no thread left over."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from datasets_lib.batches import streaming
from datasets_lib.batches.streaming import ResidentBatches, StreamedBatches, choose
from datasets_lib.layouts.category import DatasetError

CPU = torch.device("cpu")
SHAPE = 50, 6, 5, 3


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.fixture
def file(tmp_path, pixels):
    path = tmp_path / "images.u8"
    path.write_bytes(b"seven.." + pixels.tobytes())
    return path


def streamed(file, **options):
    return StreamedBatches(file, SHAPE, CPU, offset=7, **options)


def shuffled(repeats=1):
    generator = torch.Generator().manual_seed(0)
    return torch.cat([torch.randperm(SHAPE[0], generator=generator) for _ in range(repeats)])


@pytest.fixture
def no_thread_stays():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("buffers", [2, 3, 5])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("batch", [1, 8, 50, 64])
@pytest.mark.usefixtures("no_thread_stays")
def test_both_sources_give_the_images_in_order(file, pixels, batch, workers, buffers):
    order = shuffled(2)
    resident = ResidentBatches(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    from_file = list(streamed(file, buffers=buffers, workers=workers)(order, batch))
    from_memory = list(resident(order, batch))
    assert len(from_file) == len(from_memory) == -(-100 // batch)
    for found in (from_file, from_memory):
        images = torch.cat([images for images, _ in found])
        assert torch.equal(torch.cat([index for _, index in found]), order)
        assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), pixels[order.numpy()])
        for batch_of_images, _ in found:
            assert batch_of_images.is_contiguous(memory_format=torch.channels_last)
            assert batch_of_images.dtype == torch.uint8


def test_an_empty_order_has_no_batch(file):
    assert list(streamed(file)(torch.empty(0, dtype=torch.long), 4)) == []


@pytest.mark.usefixtures("no_thread_stays")
def test_loop_that_stops_early_leaves_no_thread(file):
    for _ in streamed(file)(shuffled(), 4):
        break


@pytest.mark.usefixtures("no_thread_stays")
def test_loop_that_fails_leaves_no_thread(file):
    def loop():
        for number, _ in enumerate(streamed(file)(shuffled(), 4)):
            if number == 2:
                raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        loop()


@pytest.mark.usefixtures("no_thread_stays")
def test_truncated_cache_file_is_refused(file):
    file.write_bytes(file.read_bytes()[:-1])
    seen = []
    with pytest.raises(DatasetError, match="end before image 49"):
        seen.extend(index for _, index in streamed(file)(torch.arange(50), 10))
    assert torch.cat(seen).tolist() == list(range(40))


@pytest.mark.usefixtures("no_thread_stays")
def test_missing_cache_file_is_refused(file):
    file.unlink()
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        next(streamed(file)(torch.arange(50), 10))


@pytest.mark.parametrize("bad", [-1, 50])
def test_index_outside_the_set_is_refused(file, bad):
    with pytest.raises(IndexError, match=r"indices in \[0, 50\)"):
        next(streamed(file)(torch.tensor([3, bad]), 2))


@pytest.mark.parametrize("options", [{"buffers": 1}, {"workers": 0}])
def test_too_few_buffers_or_workers_are_refused(file, options):
    with pytest.raises(ValueError, match="at least 2 buffers"):
        streamed(file, **options)


CHILD = """
import re, sys
from pathlib import Path
import torch
from datasets_lib.batches.streaming import StreamedBatches

def status(name):
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(name + r":\\s+(\\d+)", text)[1])

side, batch = 512, 8
order = torch.randperm(int(sys.argv[2]))
for buffers in (2, 4):
    shape = len(order), side, side, 3
    source = StreamedBatches(Path(sys.argv[1]), shape, torch.device("cpu"), buffers=buffers)
    for images, _ in source(order[:8], 2):  # threads and libraries take their memory once
        images.sum()
    del images
    Path("/proc/self/clear_refs").write_text("5")
    before, seen = status("VmRSS"), 0
    for images, _ in source(order, batch):
        seen += len(images)
    assert seen == len(order)
    print(status("VmHWM") - before, source.host_bytes(batch))
    del images
"""


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="this system does not reset VmHWM"
)
@pytest.mark.slow
def test_memory_stays_within_the_stated_bound(tmp_path):
    count, row = 160, 512 * 512 * 3  # 126 MB in all, 6.3 MB per batch
    path = tmp_path / "images.u8"
    with path.open("wb") as stream:
        stream.truncate(count * row)
    command = [sys.executable, "-c", CHILD, str(path), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for buffers, line in zip((2, 4), done.stdout.splitlines(), strict=True):
        taken, stated = map(int, line.split())
        assert stated == buffers * 8 * row
        # The interpreter's own small objects come on top; the file is 5 or 10 times the bound.
        assert 8 * row < taken <= stated + (2 << 20)


@pytest.mark.parametrize(("free", "kind"), [(4500, ResidentBatches), (4499, StreamedBatches)])
def test_images_are_resident_if_they_fit_the_share(file, pixels, monkeypatch, free, kind):
    # The images have 4,500 bytes.
    monkeypatch.setattr(streaming, "free_bytes", lambda device: free)
    mapped = np.memmap(file, np.uint8, "r", offset=7, shape=SHAPE)
    batches = choose(mapped, CPU, share=1.0)
    assert isinstance(batches, kind)
    order = shuffled()
    images = torch.cat([images for images, _ in batches(order, 7)])
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), pixels[order.numpy()])
    assert isinstance(choose(mapped, CPU, share=0.1), StreamedBatches)


@pytest.mark.parametrize(("limit", "kind"), [(4500, ResidentBatches), (4499, StreamedBatches)])
def test_a_limit_streams_what_would_fit(file, limit, kind):
    mapped = np.memmap(file, np.uint8, "r", offset=7, shape=SHAPE)
    batches = choose(mapped, CPU, workers=3, limit_bytes=limit)
    assert isinstance(batches, kind)
    assert getattr(batches, "workers", 3) == 3


def test_images_in_memory_stay_there(pixels):
    assert isinstance(choose(pixels, CPU), ResidentBatches)
    assert isinstance(choose(pixels, CPU, limit_bytes=0), ResidentBatches)


@pytest.mark.gpu
@pytest.mark.parametrize("buffers", [2, 3])
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_cuda_gets_the_same_batches(file, pixels, buffers, name):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    source = StreamedBatches(file, SHAPE, torch.device(name), 7, buffers, workers=3)
    order = shuffled(20)
    for images, index in source(order, 4):
        # Work on the loop's stream reads what the copying stream brought.
        doubled = (images.int() * 2).permute(0, 2, 3, 1).cpu().numpy()
        assert np.array_equal(doubled, 2 * pixels[index.cpu().numpy()].astype(np.int32))
