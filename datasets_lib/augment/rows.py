"""Select, mask, flip and crop images by whole rows of memory instead of pixel by pixel.

On a CPU, torch walks channels_last tensors in runs of 3 bytes whenever one operand lacks the
channels or the images are indexed. Viewed as rows, the same work runs over long stretches of
memory.
"""

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import memory_format


def select(images: Tensor, index: Tensor) -> Tensor:
    """Return ``images[index]``.

    256 images of 32 px take 0.03 ms on one core, against 0.5 ms by indexing.

    Args:
        images: (N, C, H, W).
        index: int64 (B,), on the same device.

    Returns:
        (B, C, H, W), in the images' memory format.
    """
    count, channels, height, width = images.shape
    if memory_format(images) != torch.channels_last:
        return images.index_select(0, index)
    rows = images.permute(0, 2, 3, 1).view(count, height * width * channels)
    chosen = rows.index_select(0, index)
    return chosen.view(len(index), height, width, channels).permute(0, 3, 1, 2)


def where_masked(mask: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """Return ``torch.where`` with one mask for all channels, in the memory format of ``outside``.

    Args:
        mask: Bool (B or 1, H, W).
        inside: (B, C, H, W).
        outside: (B, C, H, W), of the same dtype.
    """
    if memory_format(outside) != torch.channels_last:
        return torch.where(mask[:, None], inside, outside).contiguous()
    batch, channels, height, width = outside.shape

    def rows(images: Tensor) -> Tensor:
        return images.permute(0, 2, 3, 1).reshape(batch, height, width * channels)

    result = torch.where(mask.repeat_interleave(channels, 2), rows(inside), rows(outside))
    return result.view(batch, height, width, channels).permute(0, 3, 1, 2)


def cut_windows(
    images: Tensor,
    mirrored: Tensor,
    upside_down: Tensor | None = None,
    top: Tensor | None = None,
    left: Tensor | None = None,
    pad: int = 0,
) -> Tensor:
    """Cut windows of the images' own size out of the mirrored and padded images.

    The padded images and their mirror images are in one buffer. A strided view has a row of the
    window's length at every address of the buffer, and one index_select copies the rows wanted:
    256 images of 32 px in 0.06 ms on one core, against 2.5 ms by indexing pixels.

    Args:
        images: (B, C, H, W) or (B, H, W), any dtype.
        mirrored: Bool (B,), images to flip left to right before the cut.
        upside_down: Bool (B,), windows to flip top to bottom.
        top: int64 (B,) in [0, 2 pad], first row in the padded image.
        left: int64 (B,) in [0, 2 pad], first column.
        pad: Number of zeros on every side.

    Returns:
        Tensor of the shape, dtype and memory format of the images.
    """
    if images.dim() == 3:
        return cut_windows(images[:, None], mirrored, upside_down, top, left, pad)[:, 0]
    batch, _, height, width = images.shape
    if batch == 0:
        return images
    channels_last = memory_format(images) == torch.channels_last
    buffer = _with_mirror_images(images, pad, channels_last)
    _, _, planes, padded_height, padded_width, interleaved = buffer.shape
    row, device = padded_width * interleaved, images.device
    y = torch.arange(height, device=device).expand(batch, height)
    if upside_down is not None:
        y = torch.where(upside_down[:, None], height - 1 - y, y)
    if top is not None:
        y = y + top[:, None]
    # The buffer holds the B images first, then their B mirror images.
    plane = (torch.arange(batch, device=device) + batch * mirrored)[:, None] * planes
    plane = plane + torch.arange(planes, device=device)  # (B, planes)
    starts = (plane[:, :, None] * padded_height + y[:, None, :]) * row
    if left is not None:
        starts = starts + left[:, None, None] * interleaved
    length = width * interleaved
    # Overlapping rows: row i of the view starts at element i of the buffer.
    row_at_any_address = buffer.as_strided((buffer.numel() - length + 1, length), (1, 1))
    cut = row_at_any_address.index_select(0, starts.flatten())
    if channels_last:
        return cut.view(batch, height, width, interleaved).permute(0, 3, 1, 2)
    return cut.view(images.shape)


def _with_mirror_images(images: Tensor, pad: int, channels_last: bool) -> Tensor:
    """Return (2, B, planes, H + 2 pad, W + 2 pad, interleaved channels), as they lie in memory."""

    def as_in_memory(images: Tensor) -> Tensor:
        if channels_last:
            return images.permute(0, 2, 3, 1)[:, None]
        return images[..., None]

    batch, planes, height, width, interleaved = as_in_memory(images).shape
    shape = (2, batch, planes, height + 2 * pad, width + 2 * pad, interleaved)
    make = torch.zeros if pad else torch.empty
    buffer = make(shape, dtype=images.dtype, device=images.device)
    inner = buffer[..., pad : pad + height, pad : pad + width, :]
    inner[0] = as_in_memory(images)
    inner[1] = as_in_memory(images.flip(3))
    return buffer
