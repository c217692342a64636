"""Loss and image score of models that segment synthetic defects, such as DRAEM and DSR."""

from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from models.components.base import Prediction

_GAMMA = 2.0
_WINDOW = 21
"""Side in pixels of the window that a map is averaged over before its maximum (DRAEM, 3.3)."""


def focal_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean focal loss, −(1 − p)² log p, of the probability p of each pixel's class.

    Lin et al., Focal loss for dense object detection, ICCV 2017, without weights of the classes.
    The official codes of DRAEM and DSR smooth labels and probabilities by 1e-5; this one does not.

    Args:
        logits: ``(B, 2, H, W)`` raw logits of normal and defective; never probabilities.
        masks: Bool ``(B, H, W)``.
    """
    # A softmax over two classes is a sigmoid of the difference of their logits.
    loss: Tensor = sigmoid_focal_loss(
        _margin(logits), masks.float(), alpha=-1, gamma=_GAMMA, reduction="mean"
    )
    return loss


def defect_probability(logits: Tensor) -> Tensor:
    """Return the softmax probability ``(B, H, W)`` of the second of two classes, float32."""
    return _margin(logits).sigmoid()


def score_by_mean_of_window(maps: Tensor) -> Prediction:
    """Return maps ``(B, H, W)``, scored by the largest mean over 21 × 21 pixels.

    Beyond the border, pixels count as 0.
    """
    pooled = F.avg_pool2d(maps[:, None], _WINDOW, stride=1, padding=_WINDOW // 2)
    return Prediction(scores=pooled.amax(dim=(1, 2, 3)), maps=maps)


def _margin(logits: Tensor) -> Tensor:
    normal, defective = logits.float().unbind(dim=1)
    return defective - normal
