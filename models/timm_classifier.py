"""A timm image classifier with a new head, from pretrained weights or from scratch."""

from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor
from torch.nn import functional

from models.catalog import WEIGHTS, WeightsEntry
from models.components.base import Classifier
from models.components.checkpoints import misfits
from models.components.weights_file import without_prefix


class ImageClassifier(Classifier):
    """Classifier of images in [0, 1], which it normalizes as its weights require.

    Args:
        weights: Entry with architecture, mean and standard deviation.
        state: Published tensors, whose head is ignored; None leaves the network random.
        classes: Number of classes.
        image_size: Side of the images, for architectures whose position embeddings depend on it.
        sized: Whether the architecture takes ``image_size``.
        label_smoothing: Label smoothing of the training loss.

    Raises:
        ValueError: The tensors are not this architecture's.
    """

    def __init__(
        self,
        weights: WeightsEntry,
        state: Mapping[str, Tensor] | None,
        *,
        classes: int,
        image_size: int,
        sized: bool,
        label_smoothing: float,
    ) -> None:
        super().__init__()
        size: dict[str, Any] = {"img_size": image_size} if sized else {}
        self.network: Any = timm.create_model(
            weights.architecture, pretrained=False, num_classes=classes, **size
        )
        if state is not None:
            _load(self.network, state, weights)
        self.network.to(memory_format=torch.channels_last)
        self.label_smoothing = label_smoothing
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(weights.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(weights.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(B, classes)`` of images ``(B, 3, H, W)`` in [0, 1]."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits

    def predict(self, images: Tensor) -> Tensor:
        """Return the logits in evaluation mode."""
        if self.training:
            self.eval()
        logits: Tensor = self(images)
        return logits

    def loss(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy for labels ``(B,)`` or mixtures ``(B, classes)``."""
        if not self.training:
            self.train()
        return functional.cross_entropy(self(images), targets, label_smoothing=self.label_smoothing)

    def features(self, images: Tensor) -> Tensor:
        """Return the input ``(B, D)`` of the last layer."""
        maps = self.network.forward_features((images - self.mean) / self.std)
        penultimate: Tensor = self.network.forward_head(maps, pre_logits=True)
        return penultimate


def build(
    *,
    weights: str,
    state: Mapping[str, Tensor] | None,
    classes: int,
    image_size: int,
    sized: bool = False,
    label_smoothing: float = 0.0,
) -> ImageClassifier:
    """Build a catalog entry's classifier; see `ImageClassifier`."""
    return ImageClassifier(
        WEIGHTS[weights],
        state,
        classes=classes,
        image_size=image_size,
        sized=sized,
        label_smoothing=label_smoothing,
    )


def _load(network: Any, state: Mapping[str, Tensor], weights: WeightsEntry) -> None:
    """Load all tensors except the head, with position embeddings resampled to the grid.

    Raises:
        ValueError: A tensor is missing, unknown or has another shape.
    """
    head = network.default_cfg["classifier"]
    own = network.state_dict()
    state = without_prefix(state, lambda found: len(own.keys() & found.keys()))
    body = {name: tensor.float() for name, tensor in state.items() if not _is_part_of(name, head)}
    if "pos_embed" in own and "pos_embed" in body:
        body["pos_embed"] = resample_abs_pos_embed(
            body["pos_embed"],
            new_size=list(network.patch_embed.grid_size),
            num_prefix_tokens=network.num_prefix_tokens,
        )
    wanted = [name for name in own if not _is_part_of(name, head)]
    # Some files lack BatchNorm's counters, on which no result depends.
    complaints = misfits(
        {n: own[n] for n in wanted if n in body or "num_batches_tracked" not in n}, body
    )
    if complaints:
        raise ValueError(
            f"The weights do not fit {weights.tag}: wanted {len(wanted)} tensors without the head, "
            f"found {len(body)}: {'; '.join(complaints)}. Name a folder with the file of this "
            "architecture."
        )
    network.load_state_dict(body, strict=False)


def _is_part_of(name: str, head: str | tuple[str, ...]) -> bool:
    heads = (head,) if isinstance(head, str) else head
    return name.startswith(tuple(f"{layer}." for layer in heads))
