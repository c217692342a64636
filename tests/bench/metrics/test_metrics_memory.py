"""The memory predicted for the exact pixel metrics is close to what a process uses."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from bench.metrics import pixels
from bench.metrics.evaluation import compute_metrics
from bench.metrics.pixels import PixelInputs
from bench.metrics.regions import label_regions

_CHILD = """
import sys
import torch
from pathlib import Path
from bench.metrics.evaluation import compute_metrics
from bench.metrics.pixels import PixelInputs, peak_bytes
from bench.metrics.regions import label_regions

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

torch.set_num_threads(1)
share, dtype, levels = float(sys.argv[1]), getattr(torch, sys.argv[2]), sys.argv[3]
defective = int(sys.argv[4])
small = torch.eye(8).bool().repeat(2, 1, 1)
compute_metrics(PixelInputs(torch.rand(2, 8, 8), label_regions(small)))  # imports what is needed
maps = torch.rand(20, 400, 400)
maps = (maps * 50).round().to(dtype) if levels == "ties" else maps.to(dtype)
masks = torch.zeros(maps.shape, dtype=torch.bool)
masks[-defective:, : round(400 * share * 20 / defective)] = True
regions = label_regions(masks)
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before = status("VmRSS")
values = compute_metrics(PixelInputs(maps, regions))
assert not values.notes, "the histogram was used"
print(status("VmHWM") - before, peak_bytes(maps, regions))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("share", "dtype", "levels", "defective"),
    [
        (0.05, "float32", "apart", 19),
        (0.025, "float32", "apart", 1),
        pytest.param(0.5, "float32", "ties", 19, marks=pytest.mark.slow),
        (0.95, "float32", "ties", 19),
        (0.5, "float16", "ties", 19),
        (0.95, "float64", "apart", 19),
    ],
)
def test_the_expected_peak_is_at_least_and_near_the_measured_one(share, dtype, levels, defective):
    # Large arrays are returned to the system at once, so that only live ones count.
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(share), dtype, levels, str(defective)],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured, expected = map(int, done.stdout.split())
    assert 0.95 * measured <= expected <= 1.6 * measured


@pytest.mark.parametrize(("free", "exact"), [(5 * 10**4, False), (10**7, True), (0, True)])
def test_the_histogram_is_used_where_the_peak_does_not_fit(monkeypatch, free, exact):
    monkeypatch.setattr(pixels, "free_bytes", lambda device: free)
    masks = torch.zeros(4, 50, 50, dtype=torch.bool)
    masks[1, :25] = True
    inputs = PixelInputs(torch.rand(4, 50, 50), label_regions(masks))
    assert (not compute_metrics(inputs).notes) == inputs.exact == exact


def test_dense_masks_and_half_precision_take_more():
    maps = torch.rand(2, 100, 100)
    sparse, dense = (SimpleNamespace(positions=range(count)) for count in (1_000, 19_000))
    needed = pixels.peak_bytes
    assert needed(maps, dense) > 6 * needed(maps, sparse)
    assert needed(maps.half(), sparse) == needed(maps, sparse) + 4 * maps.numel()
    assert needed(maps.double(), sparse) > needed(maps, sparse)
