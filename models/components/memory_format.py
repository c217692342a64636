"""The memory format in which training convolutions is fastest."""

from functools import cache

import torch


@cache
def convolution_format() -> torch.memory_format:
    """Return channels last, or on a CPU without AVX-512 the contiguous format.

    Gradients of wide convolutions take longer in channels last there. Layers of few channels are
    faster in channels last everywhere, so it is not for networks that begin with a ResNet.
    """
    wide = "AVX512" in torch.backends.cpu.get_cpu_capability()
    fast = wide or torch.cuda.is_available()
    return torch.channels_last if fast else torch.contiguous_format
