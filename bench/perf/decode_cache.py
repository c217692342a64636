"""Cached reading against decoding: ``python bench/perf/decode_cache.py``.

Draws 64 PNGs of 900×900 that compress like photographs into a temporary folder, then times, side by
side and several times over,

* decoding and resizing them to 256 px, on all cores,
* reading them through the warm cache (stats, hashes from the memo, the entry) as a uint8 tensor,
* the same and on to float32 in [0, 1] in batches of 32, as a training loop takes them,
* the same and on to one float32 tensor, where the system's clearing of fresh pages takes longest,
* a plain memory copy of the same uint8 bytes, the bound of any reading.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from datasets_lib.batches.image_set import load
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.images.decode import decode_image, decoded_files
from datasets_lib.layouts.category import Sample

COUNT, NATIVE, SIZE, BATCH, ROUNDS = 64, 900, 256, 32, 7


def draw_photograph(generator: np.random.Generator) -> Image.Image:
    """Smooth texture at several scales and sensor noise: about 13 bits a pixel as PNG."""
    pixels = np.full((NATIVE, NATIVE, 3), 128.0)
    for cells, strength in ((4, 40), (16, 25), (64, 15), (256, 8)):
        coarse = generator.normal(0, strength, (cells, cells, 3))
        for channel in range(3):
            layer = Image.fromarray(coarse[:, :, channel].astype(np.float32))
            pixels[:, :, channel] += layer.resize((NATIVE, NATIVE), Image.Resampling.BICUBIC)
    pixels += generator.normal(0, 2.5, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def draw_samples(folder: Path) -> list[Sample]:
    """The images as files."""
    generator = np.random.default_rng(0)
    samples = []
    for index in range(COUNT):
        file = folder / f"{index:03}.png"
        draw_photograph(generator).save(file)
        samples.append(Sample(file.name, file))
    # Hashes of files younger than two seconds are not remembered.

    time.sleep(2.1)
    return samples


def seconds(step: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    """Prints medians, and minima for machines that others use too."""
    # Decoding uses every core; reading one, where OpenMP's barriers wait for no busy neighbor.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(name)
        samples = draw_samples(folder)
        cache = DecodeCache(folder / "cache")
        fast = load(samples, SIZE, cache, has_masks=False)
        source = fast.images.permute(0, 2, 3, 1).numpy().copy()

        def decode() -> None:
            list(pool.map(lambda sample: decode_image(sample.image, SIZE), samples))

        def read() -> torch.Tensor:
            return load(samples, SIZE, cache, has_masks=False).images

        def read_batches() -> None:
            for batch in torch.split(read(), BATCH):
                batch.to(torch.float32).mul_(1 / 255)

        def read_float() -> torch.Tensor:
            return read().to(torch.float32).mul_(1 / 255)

        steps: dict[str, Callable[[], object]] = {
            "decode + resize": decode,
            "cached, uint8": read,
            "cached, float32 batches": read_batches,
            "cached, float32 whole": read_float,
            "memory copy": source.copy,
        }
        before = decoded_files()
        times: dict[str, list[float]] = {label: [] for label in steps}
        for _ in range(ROUNDS):
            for label, step in steps.items():
                times[label].append(seconds(step))
        assert decoded_files() - before == ROUNDS * COUNT, "the cached reads decoded something"
        megabytes = sum(sample.image.stat().st_size for sample in samples) / 1e6 / COUNT

    median = {label: statistics.median(values) for label, values in times.items()}
    kind = f"PNGs of {NATIVE}×{NATIVE}, {megabytes:.2f} MB each"
    print(f"{COUNT} {kind}, to {SIZE} px, {ROUNDS} rounds on {os.cpu_count()} cores")
    print(f"torch {torch.__version__}, reading and copying on one thread\n")
    print(
        f"{'':24}{'median ms':>10}{'min ms':>10}{'images/s':>10}{'GB/s':>8}{'times decoding':>16}"
    )
    for label, value in median.items():
        speed = source.nbytes / value / 1e9
        ratio = median["decode + resize"] / value
        print(
            f"{label:24}{value * 1e3:10.2f}{min(times[label]) * 1e3:10.2f}"
            f"{COUNT / value:10.0f}{speed:8.2f}{ratio:16.1f}"
        )
    share = median["memory copy"] / median["cached, uint8"]
    print(f"\nThe cached uint8 read runs at {share:.0%} of the speed of a memory copy.")


if __name__ == "__main__":
    main()
