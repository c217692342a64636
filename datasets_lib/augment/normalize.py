"""Normalization of pixels, (x − mean) / std, in two passes over memory."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import memory_format


@dataclass(frozen=True)
class Normalize:
    """Normalization of images channel by channel.

    The factor and the offset are kept on the device, repeated to the length of a row. A row of a
    channels_last image is then one vector; broadcasting over 3 channels takes 7 times as long on a
    CPU.

    Attributes:
        mean: Mean of each channel, for pixels in [0, 1].
        std: Standard deviation of each channel, for pixels in [0, 1].
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    _rows: dict[tuple[torch.device, int, bool], tuple[Tensor, Tensor]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 images in the same memory format.

        Args:
            images: (B, C, H, W), uint8, or floating point in [0, 1].

        Raises:
            ValueError: The numbers of channels of the images and of the mean differ.
        """
        batch, channels, height, width = images.shape
        if channels != len(self.mean):
            raise ValueError(
                f"Normalize needs images of {len(self.mean)} channels, one for each mean, found "
                f"{channels} (shape {tuple(images.shape)}). Give as many means as channels."
            )
        form = memory_format(images)
        if form == torch.channels_last:
            # A row of channels-last pixels is contiguous: factors repeat once per pixel of the row.
            flat = images.permute(0, 2, 3, 1).reshape(batch * height, width * channels)
            repeat = width
        else:
            flat, repeat = images.reshape(batch, channels, height * width), 0
        factor, summand = self._row(images.device, repeat, images.dtype == torch.uint8)
        result = flat.to(torch.float32, copy=True)
        torch.addcmul(summand, result, factor, out=result)
        if form == torch.channels_last:
            return result.view(batch, height, width, channels).permute(0, 3, 1, 2)
        return result.view(images.shape)

    def _row(self, device: torch.device, repeat: int, is_uint8: bool) -> tuple[Tensor, Tensor]:
        """Return factor and offset for a row of ``repeat`` pixels, or (C, 1) for planes."""
        key = device, repeat, is_uint8
        if key not in self._rows:
            mean = torch.tensor(self.mean, dtype=torch.float64)
            std = torch.tensor(self.std, dtype=torch.float64)
            factor = 1 / (std * 255) if is_uint8 else 1 / std
            # (x − mean) / std as one multiply-add; float64 until the final rounding.
            pair = (
                value.repeat(repeat) if repeat else value[:, None]
                for value in (factor, -mean / std)
            )
            factor, summand = (value.to(torch.float32).to(device) for value in pair)
            self._rows[key] = factor, summand
        return self._rows[key]
