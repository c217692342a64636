"""The precision of training, and the conversion of stored pixels to model inputs."""

import torch
from torch import Tensor

from bench.protocol import Protocol


def autocast(device: torch.device, protocol: Protocol) -> torch.autocast:
    """Return the autocast context of the protocol's training precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=protocol.precision == "bf16")


def to_device(images: Tensor, device: torch.device) -> Tensor:
    """Move a batch to the device; to a GPU through pinned memory, for which the host never waits.

    Pinned memory comes from torch's cache, which reuses it once the copy is done.
    """
    if images.is_cpu and device.type == "cuda":
        images = images.pin_memory()
    return images.to(device, non_blocking=True)


def to_float(images: Tensor, device: torch.device) -> Tensor:
    """Convert uint8 ``(B, 3, S, S)`` to float32 in [0, 1], channels last, on the device."""
    moved = to_device(images, device)
    return moved.to(torch.float32, memory_format=torch.channels_last).div_(255.0)
