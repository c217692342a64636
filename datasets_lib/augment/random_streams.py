"""Counter-based random numbers: a hash of their purpose, without state, order or device.

Every number is SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
OOPSLA 2014) of (seed, epoch, stream, sample index, place in the stream). The numbers therefore do
not depend on how images are batched, on the worker or on the device; only floats derived through
logarithms or sines may differ by rounding between devices. Nothing is copied between host and
device, and nothing waits for the device.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15
"""SplitMix64's increment: 2⁶⁴ over the golden ratio, odd."""

_AT_ONCE, _AT_ONCE_ON_CUDA = 1 << 18, 1 << 24
"""Normal numbers drawn at once: their 64-bit states, ten times as large, fit in a CPU's cache, or
take well below a gigabyte of a GPU's memory."""

_MULTIPLIERS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = (1 << 64) - 1


@dataclass(frozen=True, eq=False)
class RandomStreams:
    """The random numbers of a batch of samples.

    Attributes:
        index: int64 (B,), indices of the samples in their dataset, on the images' device.
        seed: Seed of the run.
        epoch: Pass over the data; each epoch has its own numbers.
        step: Number of the batch in the epoch, as an integer or a scalar tensor. Only `batch`
            depends on it.
        key: Hash of the names folded in so far.
    """

    index: Tensor
    seed: int
    epoch: int = 0
    step: int | Tensor = 0
    key: int = 0

    def __len__(self) -> int:
        return len(self.index)

    def fold_in(self, name: str) -> "RandomStreams":
        """Return an independent stream for one purpose, so that no two purposes share a number.

        >>> streams = RandomStreams(torch.arange(3), seed=0)
        >>> streams.fold_in("angle").uniform().shape
        torch.Size([3])
        """
        return replace(self, key=_host_mix(self.key ^ _hash(name)))

    def of(self, rows: Tensor) -> "RandomStreams":
        """Return the streams of some samples, given by their int64 rows in the batch."""
        return replace(self, index=self.index[rows])

    @property
    def batch(self) -> "RandomStreams":
        """The stream of the batch as a whole, one row; it alone depends on the batching."""
        index = self.index.new_zeros(1) + self.step
        return replace(self.fold_in("batch"), index=index)

    def bits(self, *shape: int) -> Tensor:
        """Draw int64 (B, *shape), all 64 bits uniform."""
        return self._bits(0, math.prod(shape)).view(len(self), *shape)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw float32 (B, *shape), uniform in [low, high) on a grid of 2⁻²⁴ of the width."""
        return self._uniform(0, math.prod(shape), low, high).view(len(self), *shape)

    def normal(self, *shape: int) -> Tensor:
        """Draw float32 (B, *shape), standard normal, by the Box–Muller method."""
        count = math.prod(shape)
        at_once = _AT_ONCE if self.index.device.type == "cpu" else _AT_ONCE_ON_CUDA
        step = max(1, at_once // max(1, len(self)))
        radii, angles = self.fold_in("radius"), self.fold_in("angle")
        drawn = self.index.new_empty(len(self), count, dtype=torch.float32)
        for start in range(0, count, step):
            stop = min(start + step, count)
            radius = radii._uniform(start, stop, 0.0, 1.0).neg_().add_(1.0)  # in (0, 1]
            angle = angles._uniform(start, stop, 0.0, 2 * math.pi)
            drawn[:, start:stop] = radius.log_().mul_(-2.0).sqrt_().mul_(angle.cos_())
        return drawn.view(len(self), *shape)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Draw int64 (B, *shape), uniform in [0, high) up to a bias of high / 2³²."""
        # Multiply and shift: floor(high · u) for u in [0, 1) with 32 bits.
        upper = (self.bits(*shape) >> 32).bitwise_and_((1 << 32) - 1)
        return upper.mul_(high) >> 32

    def bernoulli(self, probability: float, *shape: int) -> Tensor:
        """Draw bool (B, *shape), True with this probability."""
        return self.uniform(*shape) < probability

    def permutation(self, count: int) -> Tensor:
        """Draw a permutation, int64 (count,), from the first sample; meant for `batch`."""
        return self.bits(count)[0].argsort(stable=True)

    def _bits(self, start: int, stop: int) -> Tensor:
        """Draw int64 (B, stop − start), the numbers at these places in the streams."""
        key = _host_mix(_host_mix(_host_mix(self.seed + GOLDEN) ^ self.epoch) ^ self.key)
        state = splitmix64(self.index * _signed(GOLDEN) + _signed(key))
        place = torch.arange(start, stop, device=self.index.device) * _signed(GOLDEN)
        return splitmix64(state[:, None] + place)

    def _uniform(self, start: int, stop: int, low: float, high: float) -> Tensor:
        # The top 24 of 64 bits, as many as a float32 mantissa holds.
        unit = (self._bits(start, stop) >> 40).bitwise_and_((1 << 24) - 1).to(torch.float32)
        return unit.mul_((high - low) / (1 << 24)).add_(low)


def splitmix64(state: Tensor) -> Tensor:
    """Return the SplitMix64 output for each int64 state: advance the state once, then mix it."""
    mixed = state + _signed(GOLDEN)
    for shift, multiplier in zip((30, 27), _MULTIPLIERS, strict=True):
        # int64 shifts right arithmetically: the mask clears the copies of the sign.
        mixed = (mixed ^ (mixed >> shift).bitwise_and_(_MASK >> shift)).mul_(_signed(multiplier))
    return mixed ^ (mixed >> 31).bitwise_and_(_MASK >> 31)


def _host_mix(state: int) -> int:
    mixed = (state + GOLDEN) & _MASK
    for shift, multiplier in zip((30, 27), _MULTIPLIERS, strict=True):
        mixed = ((mixed ^ (mixed >> shift)) * multiplier) & _MASK
    return mixed ^ (mixed >> 31)


def _signed(value: int) -> int:
    """Return the int64 with the same 64 bits."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


@lru_cache(maxsize=1024)
def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
