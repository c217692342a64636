"""Beta(α, α) on the device, exact for every α > 0."""

import math

import torch
from torch import Tensor

from datasets_lib.augment.random_streams import RandomStreams

_TRIES = 16
"""Each try is accepted with probability over 0.95, so that all fail once in 10²⁰ draws."""


def beta(streams: RandomStreams, alpha: float) -> Tensor:
    """float32 (B,), one Beta(α, α) for each sample: X / (X + Y) of two gammas.

    Raises:
        ValueError: ``alpha`` is not positive.
    """
    if not alpha > 0:
        raise ValueError(
            f"The Beta distribution of MixUp and CutMix wants alpha > 0, found {alpha}. "
            "Use 'none' for no mixing."
        )
    if alpha == 1:
        return streams.stream("uniform").uniform()
    first, second = (_log_gamma_variate(streams.stream(name), alpha) for name in ("x", "y"))
    return (first - second).sigmoid()


def _log_gamma_variate(streams: RandomStreams, alpha: float) -> Tensor:
    """(B,), the logarithm of a Gamma(α, 1) variate.

    Marsaglia and Tsang's rejection (A simple method for generating gamma variables, ACM TOMS 2000)
    for α + 1, times U^(1/α); the logarithm, because for small α the variate itself underflows.
    """
    d = alpha + 1 - 1 / 3
    c = 1 / math.sqrt(9 * d)
    x = streams.stream("normal").normal(_TRIES)
    v = (1 + c * x) ** 3
    log_v = v.clamp_min(1e-30).log()
    log_u = _log_uniform(streams.stream("accept"), _TRIES)
    accepted = (v > 0) & (log_u < 0.5 * x**2 + d - d * v + d * log_v)
    tries = torch.arange(_TRIES, device=x.device)
    first = torch.where(accepted, tries, _TRIES - 1).amin(dim=1, keepdim=True)
    log_of_larger = math.log(d) + log_v.gather(1, first)[:, 0]
    return log_of_larger + _log_uniform(streams.stream("power"), 1)[:, 0] / alpha


def _log_uniform(streams: RandomStreams, count: int) -> Tensor:
    """(B, count), log of uniforms in (0, 1]."""
    return (1 - streams.uniform(count)).log()
