"""A frozen backbone's features of a split, computed once for every model that taps them.

They are kept in memory for the group of cases that share the data, and on disk for later sessions.
A model gets the same numbers as from images, to rounding.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.run.features.disk import FeatureDisk
from bench.run.job import ProgressCallback
from bench.run.training.precision import to_float
from datasets_lib.free_memory import free_bytes
from models.components.backbone import Backbone

_SHARE_OF_FREE_MEMORY = 0.4
_BATCH = 32


@dataclass(frozen=True)
class Features:
    """Features of every image of a split.

    Attributes:
        parts: ``(N, h, w, C)`` float32, one a layer; on the model's device where they fit.
        seconds: What computing them takes, measured when they were computed.
        computed: Images that went through the backbone for them now; 0 where they were at hand.
        device: Of the model.
    """

    parts: list[Tensor]
    seconds: float
    computed: int
    device: torch.device

    def __len__(self) -> int:
        return len(self.parts[0])

    def batch(self, index: Tensor | slice) -> list[Tensor]:
        """``(B, C, h, w)`` features of some images on the device, channels last."""
        return [part[index].to(self.device).permute(0, 3, 1, 2) for part in self.parts]

    def batches(self, size: int) -> Iterable[list[Tensor]]:
        """All of them in order."""
        for begin in range(0, len(self), size):
            yield self.batch(slice(begin, begin + size))


@dataclass(frozen=True)
class _Held:
    features: Tensor
    seconds: float


class FeatureStore:
    """Features at hand, by what they are of; the least recently used go when memory is short.

    They are written while the case goes on: a disk is no reason to wait.

    Args:
        disk: Where they outlive the process; None keeps them in memory alone.
    """

    def __init__(self, disk: FeatureDisk | None = None) -> None:
        self._disk = disk
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="features")
        self._written: list[Future[bool]] = []

    def clear(self) -> None:
        """Let everything in memory go, once it is written."""
        self.flush()
        self._held.clear()

    def flush(self) -> None:
        """Wait until everything is written that will be."""
        for one in self._written:
            one.result()
        self._written.clear()

    def features(
        self, backbone: Backbone, also: Iterable[int], split: "Split", report: ProgressCallback
    ) -> Features | None:
        """Features of a split; None where neither memory nor disk holds them.

        Args:
            backbone: On its device.
            also: Layers that other cases of the session will ask for: computed with these if no
                deeper than them.
            split: The images.
            report: Called at every batch.
        """
        keys = {n: _key(digest, split) for n, digest in backbone.digests().items()}
        found = {layer: self._at_hand(keys[layer], split.device) for layer in backbone.layers}
        computed = 0
        if None in found.values():
            layers = sorted(set(backbone.layers) | (set(also) & keys.keys()))
            found = {**self._compute(backbone, layers, keys, split, report)}
            computed = len(split.images)
        held = [one for layer in backbone.layers if (one := found.get(layer)) is not None]
        if not held:
            return None
        return Features([one.features for one in held], held[-1].seconds, computed, split.device)

    def _at_hand(self, key: str, device: torch.device) -> "_Held | None":
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        entry = self._disk.find(key) if self._disk else None
        if entry is None:
            return None
        features = entry.mapped()
        if features is None:
            return None
        if device.type == "cuda" and self._make_room(features.nbytes, device):
            features = features.to(device)
        return self._hold(key, features, entry.seconds)

    def _compute(
        self,
        backbone: Backbone,
        layers: Sequence[int],
        keys: dict[int, str],
        split: "Split",
        report: ProgressCallback,
    ) -> "dict[int, _Held]":
        """One pass over the images; nothing where the features would not fit in memory."""
        count, clock = len(split.images), _LayerClock(split.device)
        wholes: dict[int, Tensor] = {}
        for begin in range(0, count, _BATCH):
            images = to_float(split.images[begin : begin + _BATCH], split.device)
            clock.start()
            stages = backbone.stages(images, clock.passed)
            if not wholes:
                each = sum(stages[layer].nbytes for layer in layers) // len(images)
                if not self._make_room(each * count, split.device):
                    return {}
                wholes = {layer: _empty(stages[layer], count) for layer in layers}
            for layer, whole in wholes.items():
                whole[begin : begin + _BATCH] = stages[layer].permute(0, 2, 3, 1)
            report("features", {"step": min(begin + _BATCH, count), "steps": count})
        for layer, whole in wholes.items():
            if self._disk is not None:
                host, seconds = whole.cpu(), clock.seconds[layer]
                self._written.append(
                    self._writer.submit(self._disk.keep, keys[layer], host, seconds)
                )
        return {
            layer: self._hold(keys[layer], whole, clock.seconds[layer])
            for layer, whole in wholes.items()
        }

    def _make_room(self, size: int, device: torch.device) -> bool:
        """Whether so many bytes fit in memory, after letting go what was not used for longest."""
        while size > _SHARE_OF_FREE_MEMORY * free_bytes(device) and self._held:
            self._held.popitem(last=False)
        return size <= _SHARE_OF_FREE_MEMORY * free_bytes(device)

    def _hold(self, key: str, features: Tensor, seconds: float) -> "_Held":
        self._held[key] = held = _Held(features, seconds)
        self._held.move_to_end(key)
        return held


@dataclass(frozen=True)
class Split:
    """Images that features are computed of.

    Attributes:
        images: ``(N, 3, S, S)`` uint8, on the device or on the host.
        pixels: Sha256 of them.
        device: Of the model.
    """

    images: Tensor
    pixels: str
    device: torch.device


class _LayerClock:
    """Seconds from the image to each layer, summed over batches."""

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


def pixel_digest(images: Tensor) -> str:
    """Sha256 of uint8 images: 0.1 s for 1,000 of them at 256 px."""
    raw = images.cpu().permute(0, 2, 3, 1).contiguous().numpy()
    return hashlib.sha256(str(raw.shape).encode() + raw.tobytes()).hexdigest()


def _key(digest: str, split: Split) -> str:
    """What decides a layer's numbers: tensors, pixels, and what computes them."""
    kind = split.device.type
    name = torch.cuda.get_device_name(split.device) if kind == "cuda" else kind
    path = f"{name} torch {torch.__version__} float32 channels_last folded"
    return hashlib.sha256(f"{digest} {split.pixels} {path}".encode()).hexdigest()[:32]


def _empty(part: Tensor, count: int) -> Tensor:
    shape = (count, *part.shape[2:], part.shape[1])
    return torch.empty(shape, dtype=part.dtype, device=part.device)
