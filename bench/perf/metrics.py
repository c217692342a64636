"""Time pixel metrics: ours, scikit-learn's AUROC and, with ``--peer-python``, anomalib's.

Run ``python -m bench.perf.metrics --size 900 --peer-python PYTHON``. It prints medians of
alternating rounds, ratios and peak memory. The peer (anomalib) runs its CPU path in PYTHON; its
import is not timed. ``--growth`` times ours from 1 to 64 million pixels instead.
"""

import argparse
import contextlib
import math
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from bench.metrics.evaluation import compute_metrics
from bench.metrics.overlap import aupro
from bench.metrics.pixels import Method, PixelInputs
from bench.metrics.ranking import auroc_of, f1_max, rank_regions
from bench.metrics.regions import Regions, label_regions
from bench.perf.metrics_peer import Peer
from bench.perf.timing import alternate

NORMAL_MAPS = 20
Metrics = dict[str, Any]


def synthetic_maps(images: int, size: int) -> tuple[Tensor, Tensor]:
    """Return smooth maps in [0, 1] and masks; 83 images have the proportions of MVTec AD's bottle.

    A quarter of the images are normal (20 of 83); the others have two discs each, which together
    cover 5 % of all pixels.

    Returns:
        ``(N, S, S)`` float32 and ``(N, S, S)`` booleans.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(images, 1, size // 4, size // 4, generator=generator)
    maps = torch.nn.functional.interpolate(noise, size=size, mode="bilinear")[:, 0]
    masks = torch.zeros(images, size, size, dtype=torch.bool)
    axis = torch.arange(size)
    for index in range(images // 4, images):
        for _ in range(2):
            row, column = (torch.rand(2, generator=generator) * 0.8 + 0.1) * size
            distance = (axis[:, None] - row).square() + (axis - column).square()
            masks[index] |= distance < (0.105 * size) ** 2
    return torch.sigmoid_(maps.add_(masks, alpha=2)), masks


def three(maps: Tensor, regions: Regions) -> Metrics:
    """Return AUROC, AUPRO and F1-max."""
    ranks = rank_regions(maps, regions)
    return {
        "pixel_auroc": auroc_of(ranks),
        "aupro_30": aupro(ranks, regions)[0],
        "f1": f1_max(ranks)[0],
    }


def every(maps: Tensor, regions: Regions, calibration: Tensor, method: Method = "exact") -> Metrics:
    """Return every registered pixel metric."""
    return compute_metrics(PixelInputs(maps, regions, calibration, method)).metrics


def interleaved(
    contestants: dict[str, Callable[[], Metrics]], rounds: int
) -> dict[str, tuple[float, Metrics]]:
    """Return each one's median seconds, measured in alternating rounds, and its metrics."""
    metrics = {name: run() for name, run in contestants.items()}  # also the warm-up
    timed = {name: partial(_seconds, run) for name, run in contestants.items()}
    seconds = alternate(timed, rounds)
    return {name: (statistics.median(seconds[name]), metrics[name]) for name in contestants}


def _seconds(run: Callable[[], Metrics]) -> float:
    """Return the seconds of a run, the peer's by its own clock."""
    start = time.perf_counter()
    own: float | None = run().get("seconds")
    return own or time.perf_counter() - start


def synchronized(run: Callable[[], Metrics], maps: Tensor) -> Callable[[], Metrics]:
    """Return a callable that also waits for the device."""

    def whole() -> Metrics:
        metrics = run()
        if maps.is_cuda:
            torch.cuda.synchronize(maps.device)
        return metrics

    return whole


def compare(options: argparse.Namespace) -> None:
    """Time all contestants on the same maps and print a table."""
    maps, masks = synthetic_maps(options.images, options.size)
    flat, truth = maps.flatten().numpy(), masks.flatten().numpy()
    ours = maps.to(options.device)
    regions = label_regions(masks).to(ours.device)
    calibration = ours[:NORMAL_MAPS]
    contestants: dict[str, Callable[[], Metrics]] = {
        "ours: 3": lambda: three(ours, regions),
        "ours: 3 + labeling": lambda: three(ours, label_regions(masks)),
        "ours: all 8": lambda: every(ours, regions, calibration),
        "histogram: all 8": lambda: every(ours, regions, calibration, "histogram"),
        "labeling alone": lambda: {"regions": label_regions(masks).count},
    }
    contestants = {name: synchronized(run, ours) for name, run in contestants.items()}
    contestants["scikit-learn: AUROC"] = lambda: {"pixel_auroc": roc_auc_score(truth, flat)}
    print(
        f"{options.images} × {options.size}², {masks.float().mean():.1%} defective, "
        f"{options.device}, {torch.get_num_threads()} threads, medians of {options.rounds}"
    )
    with peer_of(options, maps, masks) as peer:
        if peer is not None:
            contestants["anomalib: 3"] = peer.round
        timed = interleaved(contestants, options.rounds)
        if peer is not None and options.aupimo:
            timed["anomalib: AUPIMO"] = (math.nan, peer.round("aupimo"))
    table(timed)


@contextlib.contextmanager
def peer_of(options: argparse.Namespace, maps: Tensor, masks: Tensor) -> Iterator[Peer | None]:
    """Yield the peer's process, or None without an interpreter."""
    if options.peer_python is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        threads = torch.get_num_threads()
        with Peer(options.peer_python, maps, masks, Path(folder), threads) as peer:
            yield peer


def table(timed: dict[str, tuple[float, Metrics]]) -> None:
    """Print seconds, the ratio to the first row's, and the metrics."""
    first = next(iter(timed.values()))[0]
    for name, (seconds, metrics) in timed.items():
        values = "  ".join(
            f"{key} {value:.6f}" for key, value in metrics.items() if key != "seconds"
        )
        print(f"{name:20} {seconds * 1e3:10.1f} ms {seconds / first:7.1f}×  {values}")


def growth(device: str) -> None:
    """Time ours from 1 to 64 million pixels; the last column is constant if time is n log n."""
    for images in (16, 64, 256, 1024):
        maps, masks = synthetic_maps(images, 256)
        maps, regions = maps.to(device), label_regions(masks)
        run = synchronized(lambda maps=maps, regions=regions: three(maps, regions), maps)  # type: ignore[misc]
        seconds = interleaved({"ours": run}, 3)["ours"][0]
        pixels = maps.numel()
        per_unit = seconds / (pixels * math.log2(pixels)) * 1e9
        print(
            f"{pixels / 1e6:6.1f} M pixels {seconds * 1e3:8.1f} ms {per_unit:7.3f} ns / (n log2 n)"
        )


def peak_memory(images: int, size: int, device: str) -> None:
    """Print the peak memory of labeling and all metrics on top of the maps, relative to them."""
    maps, masks = synthetic_maps(images, size)
    small, small_masks = synthetic_maps(4, 32)
    maps = maps.to(device)
    every(small.to(device), label_regions(small_masks), maps[:1])  # lazy imports
    methods: tuple[Method, ...] = ("histogram", "exact")
    for method in methods:  # smaller first: a heap does not shrink
        before = reset_peak(maps)
        every(maps, label_regions(masks), maps[:NORMAL_MAPS], method)
        extra = (peak(maps) - before) / maps.nbytes
        print(f"{method}: {extra:.2f} × the maps' {maps.nbytes / 1e6:.0f} MB on top of them")


def reset_peak(maps: Tensor) -> int:
    """Reset the peak and return the bytes in use."""
    if maps.is_cuda:
        torch.cuda.reset_peak_memory_stats(maps.device)
        return torch.cuda.memory_allocated(maps.device)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def peak(maps: Tensor) -> int:
    """Return the peak number of bytes in use since the reset."""
    return torch.cuda.max_memory_allocated(maps.device) if maps.is_cuda else _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def main() -> None:
    """Run the comparison that the options select."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=83)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="number of threads (default: torch's)")
    parser.add_argument("--device", default="cpu", help="device of ours")
    parser.add_argument("--peer-python", help="interpreter of an environment with the peer")
    parser.add_argument(
        "--aupimo", action="store_true", help="also compute the peer's AUPIMO, untimed"
    )
    parser.add_argument("--growth", action="store_true", help="time ours on 1 to 64 M pixels")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.growth:
        growth(options.device)
        return
    compare(options)
    # A fresh process, because a heap that has already grown would hide the peak.
    child = multiprocessing.get_context("spawn").Process(
        target=peak_memory, args=(options.images, options.size, options.device)
    )
    child.start()
    child.join()


if __name__ == "__main__":
    main()
