"""Shared parts of `bench.perf.parity`: what a model hands over, random weights, and names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from models.catalog import WEIGHTS
from models.components.base import AnomalyModel, Batch

# Imported by name: mypy follows imports, and only the models' contract is typed strictly.
_backbone: Any = import_module("models.components.backbone")

BLUR_RADIUS = 16
"""Width in pixels of the border that a blur with a standard deviation of 4 reads beyond the map."""


@dataclass(frozen=True)
class Compared:
    """A quantity that both sides compute.

    Attributes:
        what: Its name.
        ours: Our values.
        theirs: The peer's name for its values; None for the same name.
        reason: Why the values differ by design; empty if they should be equal.
        margin: Number of pixels to leave out along the border of maps, on both sides.
    """

    what: str
    ours: Tensor
    theirs: str | None = None
    reason: str = ""
    margin: int = 0


@dataclass(frozen=True)
class Side:
    """What our side of a model hands over.

    Attributes:
        weights: Tensors by the peer's names.
        inputs: Other tensors that the peer reads; ``images`` are normalized where its model expects
            that.
        compared: Our results.
    """

    weights: Mapping[str, Tensor]
    inputs: Mapping[str, Tensor]
    compared: list[Compared] = field(default_factory=list)


def renamed(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return tensors under the peer's names.

    Args:
        state: Tensors by our names.
        names: The peer's prefix by our prefix; the longest that fits counts.

    Raises:
        ValueError: No prefix fits, or two tensors get the same name.

    >>> list(renamed({"student.conv1.weight": torch.zeros(1)}, {"student.": "student_model."}))
    ['student_model.conv1.weight']
    """
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        prefixes = [prefix for prefix in names if name.startswith(prefix)]
        if not prefixes:
            raise ValueError(f"No prefix of the mapping fits our tensor '{name}': add one.")
        prefix = max(prefixes, key=len)
        theirs = names[prefix] + name.removeprefix(prefix)
        if theirs in found:
            raise ValueError(f"Two of our tensors are named '{theirs}': correct the mapping.")
        found[theirs] = tensor.detach().clone().contiguous()
    return found


def trained_state(model: AnomalyModel) -> dict[str, Tensor]:
    """Return a model's tensors without its backbone's."""
    state = model.state_dict()
    return {name: each for name, each in state.items() if not name.startswith("backbone.")}


def backbone_state(tag: str, layers: Iterable[int]) -> dict[str, Tensor]:
    """Return random tensors of a backbone, down to the last tapped layer, by torchvision's names.

    Args:
        tag: Tag of weights in the catalog.
        layers: Tapped layers.
    """
    network = randomize(_backbone.trainable_network(WEIGHTS[tag], None, tuple(layers)))
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}


@torch.no_grad()
def randomize(module: nn.Module) -> nn.Module:
    """Draw the normalization layers of a module, which start as identities otherwise."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
        if isinstance(layer, nn.BatchNorm2d | nn.LayerNorm):
            layer.weight.uniform_(0.5, 1.5)
            layer.bias.normal_(0, 0.1)
    return module


def batch_of(model: AnomalyModel, images: Tensor) -> Batch:
    """Return a batch of images with the features of the model's backbone."""
    assert model.backbone is not None
    return Batch(images, model.backbone(images))


def normalized(model: AnomalyModel, images: Tensor) -> Tensor:
    """Return images as the model's backbone, and the peer's model, takes them."""
    assert model.backbone is not None
    return model.backbone.normalized(images)


def joined(tensors: Iterable[Tensor]) -> Tensor:
    """Return all values of several tensors in one row."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])
