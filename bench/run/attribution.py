"""Input-gradient attribution: how much a class's logit depends on every pixel (Simonyan 2014)."""

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from bench.run.training.precision import to_float
from models.components.base import Classifier

_SIGMA = 1.0
_WINDOW = 7


def attribution_maps(model: Classifier, images: Tensor, classes: Tensor) -> Tensor:
    """|∂ logit / ∂ pixel|, the largest of the colors, smoothed by a Gaussian of one pixel.

    Args:
        model: In evaluation mode, where images do not depend on each other.
        images: uint8 ``(B, 3, H, W)``, on the model's device.
        classes: ``(B,)`` the class whose logit is looked at, image by image.

    Returns:
        ``(B, H, W)`` float32, not negative. Parameters get no gradient.
    """
    inputs = to_float(images, images.device).requires_grad_()
    with torch.enable_grad():
        chosen = model.predict(inputs).gather(1, classes[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, inputs)
    largest = gradient.abs().amax(1, keepdim=True).float()
    smooth: Tensor = gaussian_blur(largest, [_WINDOW, _WINDOW], [_SIGMA, _SIGMA])
    return smooth[:, 0]
