"""Base class of frozen backbones of any architecture."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from models.catalog import WEIGHTS, WeightsEntry
from models.components.checkpoints import misfits
from models.components.loading import load_copies
from models.components.weights import IncompleteWeightsError


class FrozenBackbone(nn.Module):
    """Base of pretrained networks whose features are read and never altered.

    No gradient, evaluation mode, and float32 even under autocast, so that features are the same for
    every model that taps them.

    Attributes:
        layers: Tapped layers, ascending.
        channels: Number of channels of each tapped layer.

    Args:
        weights: Mean and standard deviation of the inputs.
        layers: Layers to tap; later ones are not computed.
    """

    def __init__(self, weights: WeightsEntry, layers: Sequence[int]) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.channels: list[int] = []
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(weights.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(weights.std).view(1, 3, 1, 1))

    @classmethod
    def of(
        cls, weights: str | None, state: Mapping[str, Tensor] | None, *args: Any, **options: Any
    ) -> Self:
        """Return the backbone for weights in the catalog, by their tag.

        Raises:
            ValueError: There are no weights of this tag, or the tensors are not theirs.
        """
        if weights not in WEIGHTS:
            raise ValueError(f"Unknown weights '{weights}': choose from {', '.join(WEIGHTS)}.")
        constructor: Callable[..., Self] = cls
        return constructor(WEIGHTS[weights or ""], state, *args, **options)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever the model around it does."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features of images.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1].

        Returns:
            ``(B, C, h, w)`` float32 for each tapped layer.
        """
        stages = self.stages(images)
        return [stages[layer] for layer in self.layers]

    def stages(
        self, images: Tensor, passed: Callable[[int], None] = lambda layer: None
    ) -> dict[int, Tensor]:
        """Return features by layer, of the tapped layers and possibly of others before them.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1].
            passed: Called after each layer, for callers that time them.
        """
        raise NotImplementedError

    def shapes(self, size: Sequence[int]) -> list[tuple[int, int, int]]:
        """Return the shape ``(C, h, w)`` of each tapped layer's features for an image size.

        Args:
            size: ``(H, W)`` in pixels.
        """
        raise NotImplementedError

    def digests(self) -> dict[int, str]:
        """Return the sha256 by layer of all tensors its features depend on; 0.1 s per 100 MB."""
        raise NotImplementedError

    def normalized(self, images: Tensor) -> Tensor:
        """Return images ``(B, 3, H, W)`` in [0, 1] as the network takes them."""
        return (images.float() - self.mean) / self.std


def add_tensor(sha: "hashlib._Hash", tensor: Tensor) -> None:
    """Add the bytes of a tensor to a digest."""
    sha.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def add_state(sha: "hashlib._Hash", prefix: str, state: Mapping[str, Tensor]) -> None:
    """Add names, shapes and bytes of tensors to a digest."""
    for key, tensor in state.items():
        sha.update(f"{prefix}{key} {tuple(tensor.shape)}".encode())
        add_tensor(sha, tensor)


def wrong_kind(weights: WeightsEntry, kind: str, examples: str) -> ValueError:
    """Return the error of weights whose architecture a backbone cannot tap."""
    return ValueError(
        f"The weights '{weights.tag}' do not fit this model: wanted those of {kind} ({examples}), "
        f"found the architecture {weights.architecture}. Choose other weights."
    )


def check_layers(weights: WeightsEntry, layers: Sequence[int], known: range) -> None:
    """Check that a network has the layers to be tapped.

    Raises:
        ValueError: It does not.
    """
    if not layers or not set(layers) <= set(known):
        raise ValueError(
            f"The weights '{weights.tag}' do not fit this model: wanted layers from {known[0]} to "
            f"{known[-1]}, which {weights.architecture} has, found {list(layers)}. Choose such "
            "layers, or weights of a deeper network."
        )


def load_fitting(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    weights: WeightsEntry,
    *,
    part: str,
    count: int,
) -> None:
    """Load tensors into a network on the meta device, if every one of its tensors is there.

    Args:
        network: The tapped part of a backbone.
        tensors: Tensors by the network's names, without those of its other parts.
        weights: Entry of the weights that the tensors should be.
        part: The tapped part in words, for errors.
        count: Number of tensors in the file, for errors.

    Raises:
        IncompleteWeightsError: Tensors are missing, and nothing else is wrong.
        ValueError: The tensors are another architecture's.
    """
    wanted = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    if complaints := misfits(wanted, tensors):
        missing = sum(name not in tensors for name in wanted)
        # The only fault of an incomplete file of the right network is missing tensors.
        incomplete = len(complaints) == 1 and 0 < missing <= len(wanted) // 2
        advice = (
            "The file is incomplete: later layers may be absent, these may not. "
            if incomplete
            else "They look like another architecture's. "
        )
        raise (IncompleteWeightsError if incomplete else ValueError)(
            f"These are not {weights.tag}'s weights: wanted the {len(wanted)} tensors of "
            f"{weights.architecture}'s {part}, found {count} tensors, some of which do not fit "
            f"(timm's names): {'; '.join(complaints)}. {advice}"
            f"Get the file again from {weights.url}."
        )
    load_copies(network, {name: tensors[name] for name in wanted}, strict=False)
