"""Time classifier training end to end: the harness's loop against a plain one.

Run ``python -m bench.perf.training_loop --model resnet50 --data-dir DIR``. It alternates between
several ways to train a network on the same images (CIFAR-100 below DIR, otherwise random pixels),
flipped and cropped:

* ours: uint8 images resident on the device, augmented there in batches, channels_last, the
  machine's default precision or that of ``--precision``, fused optimizer,
* ours in float32, to separate the loop's gain from the precision's; on CUDA also without graphs
  and, with ``--compiled``, compiled,
* plain: a DataLoader with workers over PIL-transformed items, contiguous float32, timm's model,
  Adam, cross-entropy,
* the bare step on one batch resident on the device, computed like ours: the upper bound.

Each value is the median over rounds of ``--steps`` steps, loading included, after as many warm-up
steps (ours) or three (the others). The plain loop's workers start before timing begins and prefetch
a few batches, so choose enough steps.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from bench.environment import default_precision
from bench.perf.timing import alternate
from bench.protocol import PROFILES, Protocol, resolve
from bench.run.device import use_device
from bench.run.labeled_split import LabeledSplit
from bench.run.training.classifier_objective import ClassifierObjective
from bench.run.training.compilation import Choice, LossGradient
from bench.run.training.loop import fit
from bench.run.training.precision import autocast
from datasets_lib.batches.streaming import choose
from datasets_lib.discover import find_datasets
from datasets_lib.layouts.classification import PixelSplit
from datasets_lib.sets.cifar import CIFAR100_LAYOUT
from models.catalog import MODELS
from models.timm_classifier import ImageClassifier, build

CLASSES, SIZE = 100, 32
PLAIN = "plain loop, float32"
WARM_UP = 3

Timing = tuple[float, float]
"""Seconds of all steps after warm-up, and extra seconds at the start, to record and compile."""


class PilImages(Dataset[tuple[torch.Tensor, int]]):
    """The same images as PIL images, transformed one by one."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._images, self._labels = images, labels
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(SIZE, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), int(self._labels[index])


def arrays(folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images ``(N, 32, 32, 3)`` and int64 labels ``(N,)``."""
    if folder is not None:
        found = find_datasets([folder])
        if "cifar100" not in found:
            names = ", ".join(found) or "no dataset"
            raise SystemExit(f"--data-dir {folder}: wanted cifar100 there, found {names}")
        train = CIFAR100_LAYOUT.read(found["cifar100"].root).train
        assert isinstance(train, PixelSplit)
        return train.images, train.labels
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (50_000, SIZE, SIZE, 3), np.uint8)
    return images, generator.integers(0, CLASSES, 50_000)


def ours(
    model: str, train: LabeledSplit, protocol: Protocol, device: torch.device, choice: Choice
) -> Timing:
    """Return the seconds of the loop's second pass, and how much longer the first one took."""
    network = build_network(model, device)
    objective = ClassifierObjective(
        network, train, protocol, seed=0, device=device, compiling=choice
    )
    passed = [time.perf_counter()]
    steps = len(train) // protocol.recipe.batch_size

    def report(_phase: str, info: dict[str, Any]) -> None:
        if info["step"] % steps == 0:
            passed.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        fit(
            network,
            objective,
            protocol,
            seed=0,
            device=device,
            report=report,
            checkpoint=Path(folder) / "training.pth",
        )
    begin, first, second = passed
    return second - first, first - begin - (second - first)


def plain(
    model: str, loader: DataLoader[tuple[torch.Tensor, int]], steps: int, device: torch.device
) -> Timing:
    """Return the seconds of the plain loop; its workers start before timing begins."""
    sized: dict[str, Any] = {"img_size": SIZE} if MODELS[model].options["sized"] else {}
    network: nn.Module = timm.create_model(model, num_classes=CLASSES, **sized).to(device)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    criterion = nn.CrossEntropyLoss()
    batches = iter(loader)

    def run(count: int) -> None:
        for images, labels in islice(batches, count):
            loss = criterion(network(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

    begin = time.perf_counter()
    run(WARM_UP)
    start = time.perf_counter()
    run(steps - WARM_UP)
    whole = (time.perf_counter() - start) * steps / (steps - WARM_UP)
    return whole, start - begin


def synthetic(
    model: str, protocol: Protocol, steps: int, device: torch.device, choice: Choice
) -> Timing:
    """Return the seconds of bare steps on one batch resident on the device: the lower bound."""
    network = build_network(model, device)
    images = torch.rand(protocol.recipe.batch_size, 3, SIZE, SIZE, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (len(images),), device=device)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)
    gradient = LossGradient(network, device, choice, lambda: autocast(device, protocol))

    def run(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            loss = gradient(images, labels)
            optimizer.step()
        loss.item()

    begin = time.perf_counter()
    run(WARM_UP)
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start, start - begin


def build_network(model: str, device: torch.device) -> ImageClassifier:
    """Return a network of the catalog with random weights."""
    entry = MODELS[model]
    return build(
        weights=entry.weights or "", state=None, classes=CLASSES, image_size=SIZE, **entry.options
    ).to(device)


def main() -> None:
    """Print medians and ratios."""
    options = _options()
    device = use_device(options.device)
    pixels, labels = arrays(options.data_dir)
    part = np.random.default_rng(0).permutation(len(pixels))[: options.steps * options.batch]
    pixels, labels = pixels[part], labels[part]
    train = _training_split(pixels, labels, device)
    loader = DataLoader(
        PilImages(pixels, labels), options.batch, shuffle=True, num_workers=options.workers
    )
    contestants = _contestants(options, train, loader, device)
    _report(options, alternate(contestants, options.rounds))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", default="resnet50", choices=["resnet50", "vit_small_patch16_224"]
    )
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument(
        "--workers", type=int, default=2, help="DataLoader workers of the plain loop"
    )
    parser.add_argument("--compiled", action="store_true", help="also time ours compiled")
    parser.add_argument(
        "--precision", choices=["float32", "bf16"], help="of ours (default: the machine's)"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def _training_split(pixels: np.ndarray, labels: np.ndarray, device: torch.device) -> LabeledSplit:
    return LabeledSplit(
        choose(pixels, device),
        torch.from_numpy(np.array(labels, np.int64)).to(device),
        tuple(map(str, range(CLASSES))),
        tuple(map(str, range(len(pixels)))),
    )


def _contestants(
    options: argparse.Namespace,
    train: LabeledSplit,
    loader: DataLoader[tuple[torch.Tensor, int]],
    device: torch.device,
) -> dict[str, Callable[[], Timing]]:
    """Return what is timed, by name."""
    model, steps = options.model, options.steps
    base = resolve(MODELS[model], "flip_crop", PROFILES["standard"], native_size=SIZE)
    recipe = replace(base.recipe, batch_size=options.batch)
    single = replace(base, recipe=recipe, images_seen=2 * steps * options.batch)
    default = replace(single, precision=options.precision or default_precision(options.device))
    contestants: dict[str, Callable[[], Timing]] = {
        f"ours, {default.precision}": lambda: ours(model, train, default, device, "auto"),
        "bare step, synthetic": lambda: synthetic(model, default, steps, device, "auto"),
        "ours, float32": lambda: ours(model, train, single, device, "auto"),
        PLAIN: lambda: plain(model, loader, steps, device),
    }
    if device.type == "cuda":
        contestants["ours, no graphs"] = lambda: ours(model, train, default, device, "no")
    if options.compiled:
        contestants["ours, compiled"] = lambda: ours(model, train, default, device, "yes")
        contestants["bare step, compiled"] = lambda: synthetic(model, default, steps, device, "yes")
    return contestants


def _report(options: argparse.Namespace, timings: Mapping[str, Sequence[Timing]]) -> None:
    """Print medians over rounds, and ratios to the plain loop's."""
    slowest = statistics.median(warm for warm, _ in timings[PLAIN])
    print(
        f"{options.model}, {SIZE} px, batch {options.batch}, {options.steps} steps, "
        f"{options.rounds} rounds, {options.device}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )
    for name, values in timings.items():
        median = statistics.median(warm for warm, _ in values)
        rate = options.steps * options.batch / median
        print(
            f"{name:22} {rate:9.0f} images/s  {slowest / median:6.2f}× the plain loop  "
            f"starts in {max(start for _, start in values):.1f} s"
        )


if __name__ == "__main__":
    main()
