"""Time the input path against torch's DataLoader.

Run ``python -m bench.perf.input_path``. Both sides produce augmented, normalized float32 batches
on the device in alternating rounds, after a warm-up (the loader's workers stay alive):

* anomaly: 64 PNGs of 900×900 resized to 256 px, flipped along both axes. The loader decodes and
  resizes with Pillow in 2 workers; ours reads the decode cache, from memory and streamed;
* classification: 50,000 noise images of 32×32 (neither speed depends on the content), flipped,
  padded by 4 and cropped. The loader uses torchvision's transforms in 2 workers.

A plain copy of the same number of float32 bytes, batch by batch, is the upper bound for both sides.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from bench.perf.decode_cache import draw_samples, time_in_turns
from datasets_lib.augment.augmentation import Augmentation
from datasets_lib.augment.flips import FlipCrop, Flips
from datasets_lib.augment.normalize import Normalize
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.batches.streaming import Batches, ResidentBatches, StreamedBatches, choose
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.images.decode import UInt8

SIZE, WORKERS = 256, 2
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)


@dataclass(frozen=True)
class Items(Dataset[Tensor]):
    """Dataset for the loader, with images from files or from an array."""

    sources: list[Path] | UInt8
    transform: Callable[[Image.Image], Tensor]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> Tensor:
        source = self.sources[index]
        if isinstance(source, Path):
            with Image.open(source) as image:
                return self.transform(image.convert("RGB"))
        return self.transform(Image.fromarray(source))


def ours(
    batches: Batches, count: int, batch: int, augment: Augmentation, normalize: Normalize
) -> Iterator[Tensor]:
    """Yield our batches for one epoch."""
    order = torch.randperm(count)
    for step, (images, index) in enumerate(batches(order, batch)):
        augmented, _ = augment(images, None, RandomStreams(index, seed=0, epoch=0, step=step))
        yield normalize(augmented)


def copies(like: Tensor, count: int) -> Iterator[Tensor]:
    """Yield copies of the same number of float32 batches."""
    source, target = torch.rand_like(like), torch.empty_like(like)
    for _ in range(-(-count // len(like))):
        yield target.copy_(source)


def use(epoch: Iterator[Tensor], device: torch.device) -> None:
    """Move every batch to the device and wait until all are there."""
    for images in epoch:
        images.to(device, non_blocking=True)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def compare(
    title: str, count: int, steps: dict[str, Callable[[], None]], rounds: int, image_bytes: int
) -> None:
    """Print medians of alternating rounds; the first step is the loader, the last one the copy."""
    time_in_turns(steps, 1)  # warm-up
    times = time_in_turns(steps, rounds)
    median = {label: statistics.median(values) for label, values in times.items()}
    loader, copy = next(iter(median.values())), list(median.values())[-1]
    print(f"\n{title}, {count} images, {rounds} rounds")
    print(f"{'':26}{'median ms':>10}{'min ms':>10}{'images/s':>11}{'GB/s':>7}{'× loader':>10}")
    for label, value in median.items():
        print(
            f"{label:26}{value * 1e3:10.1f}{min(times[label]) * 1e3:10.1f}{count / value:11.0f}"
            f"{count * image_bytes / value / 1e9:7.2f}{loader / value:10.1f}"
            + ("" if label in list(steps)[:1] else f"   {copy / value:.0%} of a copy's speed")
        )


def anomaly(device: torch.device, rounds: int) -> None:
    """Compare on 900×900 PNGs: flipped, normalized batches of 32 at 256 px."""
    transform = transforms.Compose(
        [
            transforms.Resize((SIZE, SIZE)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomVerticalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(*IMAGENET),
        ]
    )
    with tempfile.TemporaryDirectory() as name:
        samples = draw_samples(Path(name))
        cached = DecodeCache(Path(name) / "cache").get(samples, SIZE).images
        assert isinstance(cached, np.memmap)
        assert cached.filename is not None
        shape = len(samples), SIZE, SIZE, 3
        streamed = StreamedBatches(Path(cached.filename), shape, device)
        resident = choose(cached, device)
        items = Items([sample.image for sample in samples], transform)
        loader = DataLoader(
            items, batch_size=32, shuffle=True, num_workers=WORKERS, persistent_workers=True
        )
        normalize, count = Normalize(*IMAGENET), len(samples)
        like = torch.empty(32, 3, SIZE, SIZE, device=device)
        steps = {
            f"DataLoader, {WORKERS} workers": lambda: use(iter(loader), device),
            "ours, in memory": lambda: use(ours(resident, count, 32, Flips(), normalize), device),
            "ours, streamed": lambda: use(ours(streamed, count, 32, Flips(), normalize), device),
            "memory copy": lambda: use(copies(like, count), device),
        }
        compare(f"Anomaly, 900×900 PNG to {SIZE} px", count, steps, rounds, 12 * SIZE**2)


def classification(device: torch.device, rounds: int, count: int) -> None:
    """Compare on 32×32 arrays: flipped, cropped, normalized batches of 256."""
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(*CIFAR),
        ]
    )
    loader = DataLoader(
        Items(images, transform),
        batch_size=256,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
    )
    resident = ResidentBatches(torch.from_numpy(images).permute(0, 3, 1, 2).to(device))
    normalize = Normalize(*CIFAR)
    like = torch.empty(256, 3, 32, 32, device=device)
    steps = {
        f"DataLoader, {WORKERS} workers": lambda: use(iter(loader), device),
        "ours, in memory": lambda: use(ours(resident, count, 256, FlipCrop(), normalize), device),
        "memory copy": lambda: use(copies(like, count), device),
    }
    compare("Classification, 32×32", count, steps, rounds, 12 * 32**2)


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=50_000, help="number of 32×32 images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    options = parser.parse_args()
    print(
        f"torch {torch.__version__} on {options.device}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads here"
    )
    anomaly(options.device, options.rounds)
    classification(options.device, options.rounds, options.images)


if __name__ == "__main__":
    main()
