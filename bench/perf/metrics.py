"""Pixel AUROC side by side: ours, scikit-learn's and torchmetrics' exact one, on the same maps.

``python -m bench.perf.metrics`` prints medians of interleaved rounds, the ratios, and how far ours
is from reading its input once at the memory's copying speed.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from bench.metrics.ranking import auroc


def synthetic_maps(images: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Smooth maps in [0, 1] and masks ``(N, S, S)``; three in four images have a 6 % defect."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(images, 1, size // 4, size // 4, generator=generator)
    maps = torch.nn.functional.interpolate(noise, size=size, mode="bilinear")[:, 0]
    masks = torch.zeros(images, size, size, dtype=torch.bool)
    side = size // 4
    for index in range(images // 4, images):
        top, left = torch.randint(0, size - side, (2,), generator=generator).tolist()
        masks[index, top : top + side, left : left + side] = True
    # torchmetrics would squash scores outside [0, 1] by a sigmoid and tie them.
    return torch.sigmoid(maps + 2 * masks), masks


def interleaved(contestants: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Median seconds of each, taking turns so that a noisy neighbour hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    """Time, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=83)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="where ours and torchmetrics' run")
    options = parser.parse_args()

    maps, masks = synthetic_maps(options.images, options.size)
    flat, truth = maps.flatten().numpy(), masks.flatten().numpy()
    maps, masks = maps.to(options.device), masks.to(options.device)
    labels = masks.long()
    contestants: dict[str, Callable[[], float]] = {
        "ours": lambda: auroc(maps, masks),
        "scikit-learn": lambda: float(roc_auc_score(truth, flat)),
        "torchmetrics": lambda: float(binary_auroc(maps, labels)),
        "copy": lambda: float(maps.clone().flatten()[-1]),
    }
    values = {name: run() for name, run in contestants.items()}  # warms up as well
    seconds = interleaved(contestants, options.rounds)

    read = maps.nbytes + masks.nbytes
    copying = 2 * maps.nbytes / seconds["copy"]
    print(
        f"{options.images} × {options.size}², {options.device}, {torch.get_num_threads()} threads"
    )
    for name in ("ours", "scikit-learn", "torchmetrics"):
        ratio = seconds[name] / seconds["ours"]
        print(f"{name:13} {seconds[name] * 1e3:9.1f} ms  {ratio:6.1f}×  AUROC {values[name]:.12f}")
    print(
        f"ours reads {read / 1e6:.0f} MB at {read / seconds['ours'] / 1e9:.2f} GB/s; "
        f"copying runs at {copying / 1e9:.1f} GB/s"
    )


if __name__ == "__main__":
    main()
