"""A frozen pretrained backbone, tapped after some of its four stages."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

import timm
import torch
from timm.models import FeatureListNet
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.catalog import WEIGHTS, WeightsEntry
from models.components.checkpoints import misfits
from models.components.weights import IncompleteWeightsError
from models.components.weights_file import without_prefix

STRIDES = {1: 4, 2: 8, 3: 16, 4: 32}
"""Strides of the features by stage, which ResNets call layer."""

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


class Backbone(nn.Module):
    """Features of a backbone that is never altered: no gradient, evaluation mode, float32.

    Float32 whatever autocast says, so that features are the same for every model that taps them.

    BatchNorm and layer scale are folded into the layers before them: the same features to rounding,
    1.4 to 1.6 times as fast for a ResNet on a CPU together with channels-last memory.

    Attributes:
        layers: Tapped stages, 1 to 4, ascending.
        channels: Number of channels of each tapped stage.

    Args:
        weights: Architecture, mean and standard deviation.
        state: The backbone's tensors under their publisher's names; None leaves it random.
        layers: Stages to tap; later ones are not computed.

    Raises:
        IncompleteWeightsError: Tensors of the tapped layers are missing.
        ValueError: The tensors are another architecture's.
    """

    def __init__(
        self,
        weights: WeightsEntry,
        state: Mapping[str, Tensor] | None,
        layers: Sequence[int] = (1, 2, 3),
    ) -> None:
        super().__init__()
        self.layers = tuple(layers)
        # Tensors about to be loaded need not be drawn first: that alone takes seconds.
        with torch.device("meta") if state is not None else nullcontext():
            self.backbone = _tapped_backbone(weights.architecture, self.layers)
        self.channels: list[int] = self.backbone.feature_info.channels()
        if state is not None:
            _load(self.backbone, state, weights)
        self.backbone.requires_grad_(False).eval()
        fold_batch_norm(self.backbone)
        fold_layer_scale(self.backbone)
        self.backbone.to(memory_format=torch.channels_last)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(weights.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(weights.std).view(1, 3, 1, 1))

    @staticmethod
    def of(
        weights: str | None, state: Mapping[str, Tensor] | None, layers: Sequence[int] = (1, 2, 3)
    ) -> "Backbone":
        """Return the backbone for weights in the catalog, by their tag.

        Raises:
            ValueError: There are none of this tag, or the tensors are not theirs.
        """
        if weights not in WEIGHTS:
            raise ValueError(f"Unknown weights '{weights}': there are {', '.join(WEIGHTS)}.")
        return Backbone(WEIGHTS[weights or ""], state, layers)

    def train(self, mode: bool = True) -> "Backbone":
        """Stay in evaluation mode, whatever the model around it does."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features of images.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1].

        Returns:
            ``(B, C, H / s, W / s)`` float32 for each tapped layer, s = 4, 8, 16 or 32.
        """
        stages = self.stages(images)
        return [stages[layer] for layer in self.layers]

    @torch.no_grad()
    def stages(
        self, images: Tensor, passed: Callable[[int], None] = lambda layer: None
    ) -> dict[int, Tensor]:
        """Return the features of every layer down to the last tapped one, by layer.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1].
            passed: Called after each layer, for those who time them.
        """
        found: dict[int, Tensor] = {}
        with torch.autocast(images.device.type, enabled=False):
            value = (images.float() - self.mean) / self.std
            value = value.contiguous(memory_format=torch.channels_last)
            for name, child in self.backbone.named_children():
                value = child(value)
                if layer := _layer(name):
                    found[layer] = value
                    passed(layer)
        return found

    def digests(self) -> dict[int, str]:
        """Return the sha256 by layer of all tensors its features depend on; 0.1 s per 100 MB."""
        sha = hashlib.sha256()
        for buffer in (self.mean, self.std):
            _add(sha, buffer)
        digests: dict[int, str] = {}
        for name, child in self.backbone.named_children():
            for key, tensor in child.state_dict().items():
                sha.update(f"{name}.{key} {tuple(tensor.shape)}".encode())
                _add(sha, tensor)
            if layer := _layer(name):
                digests[layer] = sha.hexdigest()
        return digests


def _layer(name: str) -> int | None:
    """Which layer ends with a child of this name: ``layer2`` and ``stages_1`` are the second."""
    if name.startswith("layer"):
        return int(name[-1])
    return int(name[-1]) + 1 if name.startswith("stages_") else None


def _add(sha: "hashlib._Hash", tensor: Tensor) -> None:
    sha.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def _tapped_backbone(architecture: str, layers: Sequence[int]) -> FeatureListNet:
    if architecture.startswith("convnext"):
        stages = tuple(layer - 1 for layer in layers)
        backbone = timm.create_model(architecture, features_only=True, out_indices=stages)
    else:
        # timm starts the last BatchNorm of each residual branch at zero, which would make a random
        # teacher's blocks identities; torchvision, whose network this is, does not.
        backbone = timm.create_model(
            architecture, features_only=True, out_indices=tuple(layers), zero_init_last=False
        )
    assert isinstance(backbone, FeatureListNet)
    assert backbone.feature_info.reduction() == [STRIDES[n] for n in layers], architecture
    return backbone


def _load(backbone: FeatureListNet, state: Mapping[str, Tensor], weights: WeightsEntry) -> None:
    wanted = {
        name: tensor
        for name, tensor in backbone.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }

    def renamed_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return timm_feature_state(state, weights.architecture)

    state = without_prefix(state, lambda found: len(wanted.keys() & renamed_state(found).keys()))
    renamed = renamed_state(state)
    tapped = {name.partition(".")[0] for name in wanted}
    # Stages after the last tapped one are ignored. Unknown tensors of a tapped stage are not: a
    # deeper network of the family has every tensor of the shallower one.
    relevant = {
        name: tensor
        for name, tensor in renamed.items()
        if name.partition(".")[0] in tapped and not name.endswith("num_batches_tracked")
    }
    if complaints := misfits(wanted, relevant):
        stride = backbone.feature_info.reduction()[-1]
        missing = sum(name not in relevant for name in wanted)
        # An incomplete file of the right network has missing tensors as its only fault.
        incomplete = len(complaints) == 1 and 0 < missing <= len(wanted) // 2
        advice = (
            "The file is incomplete: later layers may be absent, these may not. "
            if incomplete
            else "They look like another architecture's. "
        )
        raise (IncompleteWeightsError if incomplete else ValueError)(
            f"These are not {weights.tag}'s weights: wanted the {len(wanted)} tensors of "
            f"{weights.architecture}'s tapped layers (down to stride {stride}), found {len(state)} "
            f"tensors, some of which do not fit (timm's names): {'; '.join(complaints)}. {advice}"
            f"Get the file again from {weights.url}."
        )
    own = {name: relevant[name].to(torch.float32, copy=True) for name in wanted}
    backbone.load_state_dict(own, strict=False, assign=True)


def fold_batch_norm(module: nn.Module) -> None:
    """Fold each BatchNorm into the convolution before it, in place, in evaluation mode.

    Children are taken to run in the order of their definition, as they do in timm's ResNets.
    """
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before and isinstance(before[1], nn.Conv2d):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            setattr(module, name, nn.Identity())
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
    authors' (whose layer scale is ``(C,)``, torchvision's ``(C, 1, 1)``). Names of neither kind,
    such as a classifier's, stay as they are.

    Args:
        state: Tensors by the publisher's name.
        architecture: timm's name.
    """
    if not architecture.startswith("convnext"):
        return dict(state)
    torchvision = any(name.startswith("features.") for name in state)
    rules = _TORCHVISION_CONVNEXT if torchvision else _FACEBOOK_CONVNEXT
    renamed = {_rename(name, rules): tensor for name, tensor in state.items()}
    return {
        name: tensor.flatten() if name.endswith(".gamma") else tensor
        for name, tensor in renamed.items()
    }


def _rename(name: str, rules: _Rules) -> str:
    for theirs, ours in rules:
        if match := re.fullmatch(theirs, name):
            return match.expand(ours)
    return name
