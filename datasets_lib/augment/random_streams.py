"""Random numbers that are a hash of what they are for: no state, no order, no device.

Every number comes of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
generators, OOPSLA 2014), evaluated at (seed, epoch, stream, sample index, place in the stream). How
images are cut into batches, which worker takes them and on which device cannot change a bit of it;
floats derived through logarithms or sines may differ by a rounding between devices. Nothing is
copied between host and device and nothing waits for the device.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15
"""SplitMix64's increment: 2⁶⁴ over the golden ratio, odd."""

_MULTIPLIERS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = (1 << 64) - 1


@dataclass(frozen=True, eq=False)
class RandomStreams:
    """The random numbers of a batch of samples.

    Attributes:
        index: int64 (B,), which samples these are in their data set, on the images' device.
        seed: Of the run.
        epoch: Pass over the data; another epoch has other numbers.
        step: Which batch of the epoch this is, or a scalar of it. Only `batch` depends on it.
        key: Hash of the names of the streams above this one.
    """

    index: Tensor
    seed: int
    epoch: int = 0
    step: int | Tensor = 0
    key: int = 0

    def __len__(self) -> int:
        return len(self.index)

    def fold_in(self, name: str) -> "RandomStreams":
        """An independent stream for one purpose, so that no two purposes share a number."""
        return replace(self, key=_host_mix(self.key ^ _hash(name)))

    @property
    def batch(self) -> "RandomStreams":
        """Draws for the batch as a whole, one row: they alone depend on how batches are cut."""
        one = self.index.new_zeros(1) + self.step
        return replace(self.fold_in("batch"), index=one)

    def bits(self, *shape: int) -> Tensor:
        """int64 (B, *shape), all 64 bits uniform."""
        count = math.prod(shape)
        key = _host_mix(_host_mix(_host_mix(self.seed + GOLDEN) ^ self.epoch) ^ self.key)
        state = splitmix64(self.index * _signed(GOLDEN) + _signed(key))
        place = torch.arange(count, device=self.index.device) * _signed(GOLDEN)
        return splitmix64(state[:, None] + place).view(-1, *shape)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """float32 (B, *shape) in [low, high): multiples of 2⁻²⁴ of the width."""
        unit = (self.bits(*shape) >> 40).bitwise_and_((1 << 24) - 1).to(torch.float32)
        return unit.mul_((high - low) / (1 << 24)).add_(low)

    def normal(self, *shape: int) -> Tensor:
        """float32 (B, *shape), standard normal by Box and Muller's method."""
        radius = self.fold_in("radius").uniform(*shape).neg_().add_(1.0)  # in (0, 1]
        angle = self.fold_in("angle").uniform(*shape, high=2 * math.pi)
        return radius.log_().mul_(-2.0).sqrt_().mul_(angle.cos_())

    def integers(self, high: int, *shape: int) -> Tensor:
        """int64 (B, *shape) in [0, high); uneven by less than high / 2³² of each share."""
        upper = (self.bits(*shape) >> 32).bitwise_and_((1 << 32) - 1)
        return upper.mul_(high) >> 32

    def bernoulli(self, probability: float, *shape: int) -> Tensor:
        """Bool (B, *shape), True with this probability."""
        return self.uniform(*shape) < probability

    def permutation(self, count: int) -> Tensor:
        """int64 (count,), a permutation drawn by the first sample; ask it of `batch`."""
        return self.bits(count)[0].argsort(stable=True)


def splitmix64(state: Tensor) -> Tensor:
    """SplitMix64's output for each int64 state: the state steps once and is mixed."""
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
    """The int64 with the same 64 bits."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


@lru_cache(maxsize=1024)
def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
