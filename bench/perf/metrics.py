"""Pixel metrics side by side: ours, scikit-learn's AUROC and, if installed apart, the peer's.

``python -m bench.perf.metrics --size 900 --peer-python PYTHON`` prints medians of rounds in which
all take turns, the ratios, and peak memory. The peer (anomalib) runs its CPU path in PYTHON; its
import is not counted. ``--growth`` times ours from 1 to 64 million pixels instead.
"""

import argparse
import contextlib
import math
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
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
from bench.perf.synthetic_maps import synthetic_maps

NORMAL_MAPS = 20
Figures = dict[str, Any]


def three(maps: Tensor, regions: Regions) -> Figures:
    """AUROC, AUPRO and F1-max."""
    ranks = rank_regions(maps, regions)
    return {
        "pixel_auroc": auroc_of(ranks),
        "aupro_30": aupro(ranks, regions)[0],
        "f1": f1_max(ranks)[0],
    }


def every(maps: Tensor, regions: Regions, calibration: Tensor, method: Method = "exact") -> Figures:
    """Every registered pixel metric."""
    return compute_metrics(PixelInputs(maps, regions, calibration, method)).metrics


def interleaved(
    contestants: dict[str, Callable[[], Figures]], rounds: int
) -> dict[str, tuple[float, Figures]]:
    """Median seconds and figures of each; taking turns, a noisy neighbor hits all alike."""
    found = {name: run() for name, run in contestants.items()}  # warms up as well
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            own = run().get("seconds")
            seconds[name].append(own or time.perf_counter() - start)
    return {name: (statistics.median(seconds[name]), found[name]) for name in contestants}


def synchronized(run: Callable[[], Figures], maps: Tensor) -> Callable[[], Figures]:
    """The same, done when it returns."""

    def whole() -> Figures:
        found = run()
        if maps.is_cuda:
            torch.cuda.synchronize(maps.device)
        return found

    return whole


def compare(options: argparse.Namespace) -> None:
    """Time all contestants on the same maps and print a table."""
    maps, masks = synthetic_maps(options.images, options.size)
    flat, truth = maps.flatten().numpy(), masks.flatten().numpy()
    ours = maps.to(options.device)
    regions = label_regions(masks).to(ours.device)
    calibration = ours[:NORMAL_MAPS]
    contestants: dict[str, Callable[[], Figures]] = {
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
    """The peer's process, or None where no interpreter is named."""
    if options.peer_python is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        threads = torch.get_num_threads()
        with Peer(options.peer_python, maps, masks, Path(folder), threads) as peer:
            yield peer


def table(timed: dict[str, tuple[float, Figures]]) -> None:
    """Print seconds, how many times ours, and the figures."""
    first = next(iter(timed.values()))[0]
    for name, (seconds, figures) in timed.items():
        shown = "  ".join(
            f"{key} {value:.6f}" for key, value in figures.items() if key != "seconds"
        )
        print(f"{name:20} {seconds * 1e3:10.1f} ms {seconds / first:7.1f}×  {shown}")


def growth(device: str) -> None:
    """Time all metrics from 1 to 64 million pixels: the last column is flat for n log n."""
    for images in (16, 64, 256, 1024):
        maps, masks = synthetic_maps(images, 256)
        maps, regions = maps.to(device), label_regions(masks)
        run = synchronized(lambda maps=maps, regions=regions: three(maps, regions), maps)  # type: ignore[misc]
        seconds = interleaved({"ours": run}, 3)["ours"][0]
        pixels = maps.numel()
        each = seconds / (pixels * math.log2(pixels)) * 1e9
        print(f"{pixels / 1e6:6.1f} M pixels {seconds * 1e3:8.1f} ms {each:7.3f} ns / (n log2 n)")


def peak_memory(images: int, size: int, device: str) -> None:
    """Print how far labeling and all metrics rise above their input, in units of the maps."""
    maps, masks = synthetic_maps(images, size)
    small, small_masks = synthetic_maps(4, 32)
    maps = maps.to(device)
    every(small.to(device), label_regions(small_masks), maps[:1])  # loads what it needs
    methods: tuple[Method, ...] = ("histogram", "exact")
    for method in methods:  # the smaller first: a heap does not shrink
        before = reset_peak(maps)
        every(maps, label_regions(masks), maps[:NORMAL_MAPS], method)
        extra = (peak(maps) - before) / maps.nbytes
        print(f"{method}: {extra:.2f} × the maps' {maps.nbytes / 1e6:.0f} MB on top of them")


def reset_peak(maps: Tensor) -> int:
    """Forget the peak; bytes in use now."""
    if maps.is_cuda:
        torch.cuda.reset_peak_memory_stats(maps.device)
        return torch.cuda.memory_allocated(maps.device)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def peak(maps: Tensor) -> int:
    """The most bytes in use since the reset."""
    return torch.cuda.max_memory_allocated(maps.device) if maps.is_cuda else _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def main() -> None:
    """Time, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=83)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: torch's")
    parser.add_argument("--device", default="cpu", help="where ours run")
    parser.add_argument("--peer-python", help="interpreter of an environment with the peer")
    parser.add_argument("--aupimo", action="store_true", help="the peer's AUPIMO once, not timed")
    parser.add_argument("--growth", action="store_true", help="time ours on 1 to 64 M pixels")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.growth:
        growth(options.device)
        return
    compare(options)
    # A process of its own has no heap left over from before that would hide a peak.
    child = multiprocessing.get_context("spawn").Process(
        target=peak_memory, args=(options.images, options.size, options.device)
    )
    child.start()
    child.join()


if __name__ == "__main__":
    main()
