"""The memory predicted for the exact pixel metrics is close to what a process uses."""

import os
import subprocess
import sys
import weakref
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.metrics import pixels
from bench.metrics.evaluation import compute_metrics
from bench.metrics.pixels import PixelInputs
from bench.metrics.ranking import _rank_on_device
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


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that exist at once, without buffers within operations."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = self._storages((args, kwargs))
        for key, storage in self._storages(result).items():
            if key not in given:  # neither a view nor changed in place
                self._count(storage.nbytes())
                weakref.finalize(storage, self._count, -storage.nbytes())
        return result

    def _storages(self, values):
        tensors = [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]
        return {storage._cdata: storage for storage in map(torch.Tensor.untyped_storage, tensors)}

    def _count(self, size):
        self.live += size
        self.peak = max(self.peak, self.live)


def defective(maps, share):
    """Regions of masks of which a share of each image is defective."""
    masks = torch.zeros(maps.shape, dtype=torch.bool)
    masks[:, : round(share * maps.shape[1])] = True
    return label_regions(masks)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_device_ranks_within_the_expected_peak(monkeypatch, dtype):
    monkeypatch.setattr(pixels, "_SORT_BUFFERS", 0)
    maps = torch.rand(2, 100, 100, dtype=dtype)
    regions = defective(maps, 0.95)
    on_device = SimpleNamespace(is_cuda=True, numel=maps.numel, element_size=maps.element_size)
    with LiveBytes() as bytes_of:
        outside = torch.ones(maps.numel(), dtype=torch.bool)
        outside.index_fill_(0, regions.positions, False)
        positions, ids = regions.positions.clone(), regions.ids.clone()  # copied to the device
        _rank_on_device(maps.flatten(), outside, positions, ids)
    assert bytes_of.peak <= pixels.peak_bytes(on_device, regions) <= 1.3 * bytes_of.peak


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_device_holds_no_more_than_the_expected_peak(monkeypatch, share):
    maps = torch.rand(20, 400, 400, device="cuda")
    small = maps[:, :20].contiguous()
    compute_metrics(PixelInputs(small, defective(small, share)))  # what libraries keep for good
    monkeypatch.setattr(pixels, "_SORT_BUFFERS", 32 * maps.numel() // 8)  # of these maps' pieces
    inputs = PixelInputs(maps, defective(maps, share))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    compute_metrics(inputs)
    assert torch.cuda.max_memory_allocated() - before <= pixels.peak_bytes(maps, inputs.regions)
