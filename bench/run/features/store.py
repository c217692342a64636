"""Features of a frozen backbone over a split, computed once for every model that taps them.

They stay in memory for the group of cases that share the data, and on disk for later sessions. A
model gets the same numbers as from images, up to rounding.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.provenance.fingerprint import fingerprint
from bench.run.features.disk import FeatureDisk
from bench.run.job import ProgressCallback
from bench.run.training.precision import to_float
from datasets_lib.free_memory import free_bytes
from models.components.frozen_backbone import FrozenBackbone
from models.components.winograd import use_winograd

_DISK_BYTES_PER_S = 3e9
"""Faster than most disks write."""

_SHARE_OF_FREE_MEMORY = 0.4
_BATCH = 32


@dataclass(frozen=True)
class Features:
    """Features of every image of a split.

    Attributes:
        parts: ``(N, h, w, C)`` float32 per layer, on the model's device if they fit.
        seconds: Duration of computing them, measured when they were computed.
        computed: Number of images passed through the backbone for them now; 0 if they were cached.
        device: Device of the model.
    """

    parts: list[Tensor]
    seconds: float
    computed: int
    device: torch.device

    def __len__(self) -> int:
        return len(self.parts[0])

    def first(self, count: int) -> "Features":
        """Return the features of the first images."""
        return replace(self, parts=[part[:count] for part in self.parts])

    def batch(self, index: Tensor | slice) -> list[Tensor]:
        """Return ``(B, C, h, w)`` features of some images on the device, channels last."""

        def rows(part: Tensor) -> Tensor:  # a layer may be on the host, to save memory
            own = index.to(part.device) if isinstance(index, Tensor) else index
            return part[own].to(self.device)

        return [rows(part).permute(0, 3, 1, 2) for part in self.parts]


@dataclass(frozen=True)
class _Entry:
    features: Tensor
    seconds: float


class FeatureStore:
    """Features in memory, by key; the least recently used are evicted when memory is short.

    They are written to disk in the background.

    Args:
        disk: Where features outlive the process; None keeps them in memory only.
    """

    def __init__(self, disk: FeatureDisk | None = None) -> None:
        self._disk = disk
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="features")
        self._written: list[Future[bool]] = []

    def clear(self) -> None:
        """Release everything in memory, once it is written."""
        self.flush()
        self._entries.clear()

    def flush(self) -> None:
        """Wait for the background writes."""
        for write in self._written:
            write.result()
        self._written.clear()

    def features(
        self,
        backbone: FrozenBackbone,
        also: Iterable[int],
        split: "Split",
        progress: ProgressCallback,
    ) -> Features | None:
        """Return features of a split; None where they do not fit in memory.

        Args:
            backbone: The backbone, on its device.
            also: Layers that other cases of the session tap; they are computed in the same pass
                unless they are deeper.
            split: The images.
            progress: Called after every batch.
        """
        # Layers of the backbone may have been given the second module's way to convolve.
        modules = [type(backbone).__module__, use_winograd.__module__]
        code = fingerprint(modules, without=["models.catalog"]).hash
        keys = {n: _key(f"{digest} {code}", split) for n, digest in backbone.digests().items()}
        entries = {layer: self._lookup(keys[layer], split.device) for layer in backbone.layers}
        computed = 0
        if None in entries.values():
            layers = sorted(set(backbone.layers) | (set(also) & keys.keys()))
            entries = {**self._compute(backbone, layers, keys, split, progress)}
            computed = len(split.images)
        tapped = [entry for layer in backbone.layers if (entry := entries.get(layer)) is not None]
        if not tapped:
            return None
        parts = [entry.features for entry in tapped]
        return Features(parts, tapped[-1].seconds, computed, split.device)

    def _lookup(self, key: str, device: torch.device) -> "_Entry | None":
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        entry = self._disk.find(key) if self._disk else None
        if entry is None:
            return None
        features = entry.mapped()
        if features is None:
            return None
        if device.type == "cuda" and self._evict_for(features.nbytes, device):
            features = features.to(device)
        return self._insert(key, features, entry.seconds)

    def _compute(
        self,
        backbone: FrozenBackbone,
        layers: Sequence[int],
        keys: dict[int, str],
        split: "Split",
        progress: ProgressCallback,
    ) -> "dict[int, _Entry]":
        """Compute features in one pass over the images; nothing if they do not fit in memory."""
        count, clock = len(split.images), _LayerClock(split.device)
        wholes: dict[int, Tensor] = {}
        _warm_up(backbone, split)
        for begin in range(0, count, _BATCH):
            images = to_float(split.images[begin : begin + _BATCH], split.device)
            clock.start()
            stages = backbone.stages(images, clock.passed)
            if not wholes:
                each = sum(stages[layer].nbytes for layer in layers) // len(images)
                if not self._evict_for(each * count, split.device):
                    return {}
                wholes = {layer: _empty(stages[layer], count) for layer in layers}
            for layer, whole in wholes.items():
                whole[begin : begin + _BATCH] = stages[layer].permute(0, 2, 3, 1)
            progress("features", {"step": min(begin + _BATCH, count), "steps": count})
        for layer, whole in wholes.items():
            self._write(keys[layer], whole, clock.seconds[layer])
        return {
            layer: self._insert(keys[layer], whole, clock.seconds[layer])
            for layer, whole in wholes.items()
        }

    def _write(self, key: str, features: Tensor, seconds: float) -> None:
        """Write features to disk in the background, if they fit there and take longer to compute.

        Otherwise others would be evicted for an entry that is given up.
        """
        if self._disk is None or features.nbytes > seconds * _DISK_BYTES_PER_S:
            return
        if not self._disk.has_capacity(features.nbytes):
            return
        if features.is_cuda:
            self.flush()  # so that the host holds the copy of one layer at a time
        write = self._writer.submit(self._disk.write, key, features.cpu(), seconds)
        self._written.append(write)

    def _evict_for(self, size: int, device: torch.device) -> bool:
        """Evict the least recently used features until ``size`` bytes fit; return if they do."""
        while size > _SHARE_OF_FREE_MEMORY * free_bytes(device) and self._entries:
            self._entries.popitem(last=False)
        return size <= _SHARE_OF_FREE_MEMORY * free_bytes(device)

    def _insert(self, key: str, features: Tensor, seconds: float) -> "_Entry":
        self._entries[key] = entry = _Entry(features, seconds)
        self._entries.move_to_end(key)
        return entry


@dataclass(frozen=True)
class Split:
    """The images of a split.

    Attributes:
        images: ``(N, 3, S, S)`` uint8, on the device or on the host.
        pixels: Sha256 of the images.
        device: Device of the model.
    """

    images: Tensor
    pixels: str
    device: torch.device


class _LayerClock:
    """Measures the seconds from the image to each layer, summed over batches."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[int, float] = {}
        self._device, self._began = device, 0.0

    def start(self) -> None:
        self._began = self._now()

    def passed(self, layer: int) -> None:
        self.seconds[layer] = self.seconds.get(layer, 0.0) + self._now() - self._began

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def _warm_up(backbone: FrozenBackbone, split: Split) -> None:
    """Run an unmeasured batch, since the seconds are charged to every case that uses features.

    On CUDA, cuDNN tries its algorithms for each size: the last, smaller batch has one of its own.
    On a CPU, two images load all that is needed.
    """
    count, on_gpu = len(split.images), split.device.type == "cuda"
    for size in {min(_BATCH, count), count % _BATCH} - {0} if on_gpu else {min(2, count)}:
        backbone.stages(to_float(split.images[:size], split.device))


def pixel_digest(images: Tensor) -> str:
    """Return the sha256 of uint8 images; 1,000 images of 256 px take 0.1 s."""
    raw = images.cpu().permute(0, 2, 3, 1).contiguous().numpy()
    return hashlib.sha256(str(raw.shape).encode() + raw.tobytes()).hexdigest()


def _key(digest: str, split: Split) -> str:
    """Return a hash of what decides a layer's numbers and how long they take.

    Args:
        digest: Hashes of the backbone's tensors and of its code.
        split: The images.
    """
    if split.device.type == "cuda":
        name = f"{torch.cuda.get_device_name(split.device)}, each size warmed up"
    else:  # the seconds kept with the features hold for this number of threads
        name = f"cpu {torch.get_num_threads()} threads"
    path = f"{name} torch {torch.__version__} float32 channels_last folded"
    return hashlib.sha256(f"{digest} {split.pixels} {path}".encode()).hexdigest()[:32]


def _empty(part: Tensor, count: int) -> Tensor:
    shape = (count, *part.shape[2:], part.shape[1])
    return torch.empty(shape, dtype=part.dtype, device=part.device)
