"""A frozen pretrained convolutional network, tapped after some of its four stages."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import timm
import torch
from timm.layers.norm_act import BatchNormAct2d
from timm.models import FeatureInfo
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.catalog import WeightsEntry
from models.components.frozen_backbone import (
    FrozenBackbone,
    add_state,
    add_tensor,
    check_layers,
    load_fitting,
    wrong_kind,
)
from models.components.loading import undrawn
from models.components.weights_file import without_prefix

STRIDES = {1: 4, 2: 8, 3: 16, 4: 32}
"""Strides of the features by stage, which ResNets call layer."""

_EFFICIENTNET_STRIDES = (2, 4, 8, 16, 16, 32, 32)

_MODULES = ("resnet", "convnext")  # of timm.models

_Rules = tuple[tuple[str, str], ...]

# torchvision alternates stages (odd places) and downsampling (even places) in one sequence.
_TORCHVISION_CONVNEXT: _Rules = (
    (r"features\.0\.(\d)\.(.*)", r"stem_\1.\2"),
    *(
        (rf"features\.{2 * stage + 1}\.(\d+)\.{theirs}", rf"stages_{stage}.blocks.\1.{ours}")
        for stage in range(4)
        for theirs, ours in (
            (r"block\.0\.(.*)", r"conv_dw.\2"),
            (r"block\.2\.(.*)", r"norm.\2"),
            (r"block\.3\.(.*)", r"mlp.fc1.\2"),
            (r"block\.5\.(.*)", r"mlp.fc2.\2"),
            (r"layer_scale", r"gamma"),
        )
    ),
    *(
        (rf"features\.{2 * stage}\.(\d)\.(.*)", rf"stages_{stage}.downsample.\1.\2")
        for stage in range(1, 4)
    ),
)
_FACEBOOK_CONVNEXT: _Rules = (
    (r"downsample_layers\.0\.(\d)\.(.*)", r"stem_\1.\2"),
    (r"downsample_layers\.(\d)\.(\d)\.(.*)", r"stages_\1.downsample.\2.\3"),
    (r"stages\.(\d)\.(\d+)\.dwconv\.(.*)", r"stages_\1.blocks.\2.conv_dw.\3"),
    (r"stages\.(\d)\.(\d+)\.pwconv(\d)\.(.*)", r"stages_\1.blocks.\2.mlp.fc\3.\4"),
    (r"stages\.(\d)\.(\d+)\.(norm\..*|gamma)", r"stages_\1.blocks.\2.\3"),
)
# torchvision's first stage has no expansion: its places 0, 1, 2 are the others' 1, 2, 3.
_TORCHVISION_EFFICIENTNET: _Rules = (
    (r"features\.0\.0\.(.*)", r"conv_stem.\1"),
    (r"features\.0\.1\.(.*)", r"bn1.\1"),
    *(
        (
            rf"features\.{stage + 1}\.(\d+)\.block\.{place - (stage == 0)}\.{theirs}\.(.*)",
            rf"blocks_{stage}.\1.{ours}.\2",
        )
        for stage in range(7)
        for place, theirs, ours in (
            *((0, "0", "conv_pw"), (0, "1", "bn1")),
            *((1, "0", "conv_dw"), (1, "1", "bn2" if stage else "bn1")),
            *((2, "fc1", "se.conv_reduce"), (2, "fc2", "se.conv_expand")),
            *((3, "0", "conv_pwl" if stage else "conv_pw"), (3, "1", "bn3" if stage else "bn2")),
        )
        if stage or place
    ),
)
_TIMM_EFFICIENTNET: _Rules = ((r"blocks\.(\d)\.(.*)", r"blocks_\1.\2"),)


class Backbone(FrozenBackbone):
    """Features of a convolutional network.

    BatchNorm and layer scale are folded into the layers before them: the same features up to
    rounding, 1.4 to 1.6 times as fast for a ResNet on a CPU together with channels-last memory.

    Attributes:
        layers: Tapped stages, ascending: 1 to 4, or 1 to 7 for an EfficientNet.
        channels: Number of channels of each tapped stage.

    Args:
        weights: Architecture, mean and standard deviation.
        state: The backbone's tensors under their publisher's names; None leaves it random.
        layers: Stages to tap; later ones are not computed.

    Raises:
        IncompleteWeightsError: Tensors of the tapped layers are missing.
        ValueError: The weights are no such network's, it has no such stages, or the tensors are
            another architecture's.
    """

    def __init__(
        self,
        weights: WeightsEntry,
        state: Mapping[str, Tensor] | None,
        layers: Sequence[int] = (1, 2, 3),
    ) -> None:
        super().__init__(weights, layers)
        self._rounds_down = weights.architecture.startswith("convnext")
        with undrawn(state):
            self.backbone = _tapped_backbone(weights, self.layers)
        self.channels = self.backbone.feature_info.channels()
        if state is not None:
            _load(self.backbone, state, weights)
        self.backbone.requires_grad_(False).eval()
        fold_batch_norm(self.backbone)
        fold_layer_scale(self.backbone)
        self.backbone.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def stages(
        self, images: Tensor, passed: Callable[[int], None] = lambda layer: None
    ) -> dict[int, Tensor]:
        """Return the features of every layer down to the last tapped one, by layer.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1].
            passed: Called after each layer, for callers that time them.
        """
        found: dict[int, Tensor] = {}
        with torch.autocast(images.device.type, enabled=False):
            value = self.normalized(images).contiguous(memory_format=torch.channels_last)
            for name, child in self.backbone.named_children():
                value = child(value)
                if layer := _layer(name):
                    found[layer] = value
                    passed(layer)
        return found

    def shapes(self, size: Sequence[int]) -> list[tuple[int, int, int]]:
        """Return the shape ``(C, h, w)`` of each tapped layer's features for an image size."""
        # Stages pad odd sides, which rounds up; ConvNeXt's leave out the last row and column.
        height, width = size
        strides = self.backbone.feature_info.reduction()
        padding = [0 if self._rounds_down else stride - 1 for stride in strides]
        return [
            (channels, (height + pad) // stride, (width + pad) // stride)
            for channels, stride, pad in zip(self.channels, strides, padding, strict=True)
        ]

    def digests(self) -> dict[int, str]:
        """Return the sha256 by layer of all tensors its features depend on; 0.1 s per 100 MB."""
        sha = hashlib.sha256()
        for buffer in (self.mean, self.std):
            add_tensor(sha, buffer)
        digests: dict[int, str] = {}
        for name, child in self.backbone.named_children():
            add_state(sha, f"{name}.", child.state_dict())
            if layer := _layer(name):
                digests[layer] = sha.hexdigest()
        return digests


def trainable_network(
    weights: WeightsEntry, state: Mapping[str, Tensor] | None, layers: Sequence[int] = (1, 2, 3)
) -> nn.Module:
    """Return the network that `Backbone` freezes, to be trained: nothing is folded or fixed.

    It takes normalized images.

    Args:
        weights: Architecture, and what its tensors are checked against.
        state: Tensors under their publisher's names; None leaves the network random.
        layers: Stages to tap; later ones are not built.

    Raises:
        IncompleteWeightsError: Tensors of the tapped layers are missing.
        ValueError: The weights are no such network's, it has no such stages, or the tensors are
            another architecture's.
    """
    network: nn.Module = _tapped_backbone(weights, layers)
    if state is not None:
        _load(network, state, weights)
    trained: nn.Module = network.to(memory_format=torch.channels_last)
    return trained


def _layer(name: str) -> int | None:
    """Return the layer that ends with a child: 2 for ``layer2``, ``stages_1`` and ``blocks_1``."""
    if name.startswith("layer"):
        return int(name[-1])
    return int(name[-1]) + 1 if name.startswith(("stages_", "blocks_")) else None


def _tapped_backbone(weights: WeightsEntry, layers: Sequence[int]) -> Any:
    """Return a network with timm's ``feature_info``, whose children run one after the other."""
    architecture = weights.architecture
    efficientnet = architecture.startswith("efficientnet")
    if not efficientnet and not timm.models.is_model_in_modules(architecture, _MODULES):
        raise wrong_kind(weights, "a convolutional network", "ResNet, ConvNeXt or EfficientNet")
    strides = _EFFICIENTNET_STRIDES if efficientnet else STRIDES
    check_layers(weights, layers, range(1, len(strides) + 1))
    if efficientnet:
        return _tapped_efficientnet(architecture, layers)
    backbone: Any
    if architecture.startswith("convnext"):
        stages = tuple(layer - 1 for layer in layers)
        backbone = timm.create_model(architecture, features_only=True, out_indices=stages)
    else:
        # timm starts the last BatchNorm of each residual branch at zero, which would make a random
        # teacher's blocks identities; torchvision, whose network this is, does not.
        backbone = timm.create_model(
            architecture, features_only=True, out_indices=tuple(layers), zero_init_last=False
        )
    assert backbone.feature_info.reduction() == [STRIDES[n] for n in layers], architecture
    return backbone


def _tapped_efficientnet(architecture: str, layers: Sequence[int]) -> Any:
    """Return an EfficientNet by stages, of which timm's ``features_only`` taps five of seven."""
    # torchvision's b5, converted from TensorFlow's, has this epsilon.
    model: Any = timm.create_model(architecture, num_classes=0, bn_eps=1e-3)
    stages = {f"blocks_{n}": stage for n, stage in enumerate(model.blocks[: layers[-1]])}
    backbone: Any = nn.Sequential(
        OrderedDict(conv_stem=model.conv_stem, bn1=model.bn1, **stages)  # bn1 has the activation
    )
    infos = []
    for number, (name, stage) in enumerate(stages.items()):
        norms = [module for module in stage.modules() if isinstance(module, BatchNormAct2d)]
        strides = _EFFICIENTNET_STRIDES[number]
        infos.append({"num_chs": norms[-1].num_features, "reduction": strides, "module": name})
    backbone.feature_info = FeatureInfo(infos, tuple(layer - 1 for layer in layers))
    return backbone


def _load(backbone: Any, state: Mapping[str, Tensor], weights: WeightsEntry) -> None:
    wanted = backbone.state_dict().keys()

    def renamed_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return timm_feature_state(state, weights.architecture)

    state = without_prefix(state, lambda found: len(wanted & renamed_state(found).keys()))
    renamed = renamed_state(state)
    tapped = {name.partition(".")[0] for name in wanted}
    # Stages after the last tapped one are ignored. Unknown tensors of a tapped stage are not: a
    # deeper network of the family has every tensor of the shallower one.
    relevant = {
        name: tensor
        for name, tensor in renamed.items()
        if name.partition(".")[0] in tapped and not name.endswith("num_batches_tracked")
    }
    part = f"tapped layers (down to stride {backbone.feature_info.reduction()[-1]})"
    load_fitting(backbone, relevant, weights, part=part, count=len(state))


def fold_batch_norm(module: nn.Module) -> None:
    """Fold each BatchNorm into the convolution before it, in place, in evaluation mode.

    Children are assumed to run in the order of their definition, as they do in timm's ResNets and
    EfficientNets.
    """
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before and isinstance(before[1], nn.Conv2d):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            # In EfficientNets the activation is a part of the BatchNorm.
            activation = child.act if isinstance(child, BatchNormAct2d) else nn.Identity()
            setattr(module, name, activation)
        else:
            fold_batch_norm(child)
        before = (name, child)


@torch.no_grad()
def fold_layer_scale(module: nn.Module) -> None:
    """Fold each ConvNeXt block's layer scale into the linear layer before it, in place."""
    for block in module.modules():
        if isinstance(block, ConvNeXtBlock) and block.gamma is not None:
            for parameter in block.mlp.fc2.parameters():  # (C, 4C) and (C,)
                parameter.mul_(block.gamma.view(-1, *(1,) * (parameter.ndim - 1)))
            block.gamma = None


def timm_feature_state(state: Mapping[str, Tensor], architecture: str) -> dict[str, Tensor]:
    """Return a publisher's tensors under the names of timm's ``features_only`` network.

    ResNets have one set of names everywhere. ConvNeXt comes under torchvision's or under its
    authors' (whose layer scale is ``(C,)``, torchvision's ``(C, 1, 1)``), EfficientNet under
    torchvision's or timm's. Other names, such as a classifier's, stay as they are.

    Args:
        state: Tensors by the publisher's name.
        architecture: timm's name.
    """
    rules = _naming_rules(state, architecture)
    renamed = {_rename(name, rules): tensor for name, tensor in state.items()}
    return {
        name: tensor.flatten() if name.endswith(".gamma") else tensor
        for name, tensor in renamed.items()
    }


def _naming_rules(state: Mapping[str, Tensor], architecture: str) -> _Rules:
    torchvision = any(name.startswith("features.") for name in state)
    if architecture.startswith("convnext"):
        return _TORCHVISION_CONVNEXT if torchvision else _FACEBOOK_CONVNEXT
    if architecture.startswith("efficientnet"):
        return _TORCHVISION_EFFICIENTNET if torchvision else _TIMM_EFFICIENTNET
    return ()


def _rename(name: str, rules: _Rules) -> str:
    for theirs, ours in rules:
        if match := re.fullmatch(theirs, name):
            return match.expand(ours)
    return name
