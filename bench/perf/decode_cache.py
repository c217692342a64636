"""Time reading images from the decode cache against decoding them.

Run ``python -m bench.perf.decode_cache``. It generates 64 PNGs of 900×900 pixels that compress like
photographs, then times in alternating rounds

* decoding and resizing them to 256 px on all cores,
* reading them through the warm cache (file stats, memoized hashes, the entry) as a uint8 tensor,
* the same, converted to float32 in [0, 1] in batches of 32, as a training loop does,
* the same, converted to one float32 tensor, where most time goes into zeroing new pages,
* a plain memory copy of the same uint8 bytes, the upper bound for any read.

Then it times the parts of decoding a file on one core, and torchvision's decoder beside Pillow's.
"""

import hashlib
import io
import os
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_png

from bench.perf.timing import seconds_in_turns
from datasets_lib.batches.image_set import load
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.images.decode import UInt8, decoded_files, read_file, resize_image, to_rgb
from datasets_lib.layouts.category import Sample

COUNT, NATIVE, SIZE, BATCH, ROUNDS = 64, 900, 256, 32, 7


def draw_photograph(generator: np.random.Generator) -> Image.Image:
    """Draw a smooth texture at several scales with sensor noise: about 13 bits per pixel as PNG."""
    pixels = np.full((NATIVE, NATIVE, 3), 128.0)
    for cells, strength in ((4, 40), (16, 25), (64, 15), (256, 8)):
        coarse = generator.normal(0, strength, (cells, cells, 3))
        for channel in range(3):
            layer = Image.fromarray(coarse[:, :, channel].astype(np.float32))
            pixels[:, :, channel] += layer.resize((NATIVE, NATIVE), Image.Resampling.BICUBIC)
    pixels += generator.normal(0, 2.5, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def draw_samples(folder: Path) -> list[Sample]:
    """Write the images to a folder."""
    generator = np.random.default_rng(0)
    samples = []
    for index in range(COUNT):
        file = folder / f"{index:03}.png"
        draw_photograph(generator).save(file)
        samples.append(Sample(file.name, file))
    # Hashes of files modified less than two seconds ago are not memoized.
    time.sleep(2.1)
    return samples


def parts_of_decoding(files: Sequence[Path]) -> dict[str, float]:
    """Return the median seconds of each part of decoding a file, on this thread alone."""
    contents = [file.read_bytes() for file in files]
    taken: dict[str, list[float]] = {}
    for data in contents:
        whole = Image.open(io.BytesIO(data)).convert("RGB")
        stream = _compressed(data)
        tensor = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        steps: dict[str, Callable[[], object]] = {
            "sha256 of the file": partial(hashlib.sha256, data),
            "checksums of the PNG": Image.open(io.BytesIO(data)).verify,
            "zlib": partial(zlib.decompress, stream),
            "Pillow, zlib included": Image.open(io.BytesIO(data)).load,
            "torchvision, zlib included": partial(decode_png, tensor, ImageReadMode.RGB),
            f"resizing to {SIZE} px": partial(
                whole.resize, (SIZE, SIZE), Image.Resampling.BILINEAR
            ),
        }
        for name, seconds in seconds_in_turns(steps, 1).items():
            taken.setdefault(name, []).extend(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _compressed(data: bytes) -> bytes:
    """Return the compressed pixels of a PNG."""
    place, found = 8, []
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] == b"IDAT":
            found.append(data[place + 8 : place + 8 + length])
        place += 12 + length
    return b"".join(found)


def main() -> None:
    """Print medians, and minima in case the machine has other load."""
    # Decoding uses every core. Reading uses one: OpenMP's barriers would wait for busy cores.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(name)
        samples = draw_samples(folder)
        cache = DecodeCache(folder / "cache")
        fast = load(samples, SIZE, cache, has_masks=False)
        source = fast.images.permute(0, 2, 3, 1).numpy().copy()

        def decode_one(sample: Sample) -> UInt8:
            return resize_image(to_rgb(read_file(sample.image), sample.image), SIZE)

        def decode() -> None:
            list(pool.map(decode_one, samples))

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
        times = seconds_in_turns(steps, ROUNDS)
        assert decoded_files() - before == ROUNDS * COUNT, "the cached reads decoded something"
        parts = parts_of_decoding([sample.image for sample in samples])
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
    print(f"\nThe cached uint8 read runs at {share:.0%} of the speed of a memory copy.\n")
    print("\n".join(f"{name:28}{1e3 * seconds:8.2f} ms" for name, seconds in parts.items()))


if __name__ == "__main__":
    main()
