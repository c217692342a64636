"""A frozen pretrained vision transformer, tapped after some of its blocks."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import timm
import torch
from einops import rearrange
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from torch.nn import functional as F

from models.catalog import WeightsEntry
from models.components.frozen_backbone import (
    FrozenBackbone,
    add_state,
    add_tensor,
    check_layers,
    load_fitting,
    wrong_kind,
)
from models.components.image_size import ImageSize, height_width
from models.components.loading import undrawn
from models.components.weights_file import without_prefix

_CAIT_PATCH = 16
_MODULES = ("vision_transformer", "deit", "cait")  # of timm.models


class TransformerBackbone(FrozenBackbone):
    """Features of a plain vision transformer: ViT, DeiT, DINOv2 or CaiT.

    Features are the blocks' outputs, without the final LayerNorm unless asked for. Position
    embeddings are resampled to the images' grid of patches (bicubic, antialiased); CaiT's once, to
    the size given. Dinomaly's published code resamples DINOv2's without antialiasing, and as if the
    grid were a tenth of a patch larger: at sizes other than 518 pixels its features differ from
    ours; the difference was not measured, as it needs the weights. Images of a size that a network
    does not take, such as sides that are not multiples of the patch size, are resized to the
    nearest that it does (bilinear, antialiased).

    Attributes:
        layers: Tapped blocks, from 0, ascending.
        channels: Width of the network, for each tapped block.
        patch_size: Side of a patch in pixels.
        prefix_tokens: Number of tokens before the patches', 0 unless features have them.

    Args:
        weights: Architecture, mean and standard deviation.
        state: The network's tensors by timm's names or by DINOv2's; None leaves it random.
        layers: Blocks to tap; later ones are not computed.
        image_size: Size of the images in pixels, for a network of fixed size (CaiT); None means the
            size it was trained at. Each side is resized to the nearest multiple of a patch.
        norm: Apply the network's final LayerNorm to the outputs of every tapped block.
        with_prefix: Return the class and register tokens too, and all tokens in one column:
            ``(B, C, N, 1)``, these first and then the patches row by row.
        options: Arguments of `timm.create_model`, such as a smaller ``embed_dim`` for tests.

    Raises:
        IncompleteWeightsError: Tensors of the tapped blocks are missing.
        ValueError: The weights are no transformer's, it has no such blocks, or the tensors are
            another architecture's.
    """

    def __init__(
        self,
        weights: WeightsEntry,
        state: Mapping[str, Tensor] | None,
        layers: Sequence[int],
        *,
        image_size: ImageSize | None = None,
        norm: bool = False,
        with_prefix: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(weights, layers)
        with undrawn(state):
            self.backbone, unused = _tapped_network(weights, self.layers, image_size, norm, options)
        if state is not None:
            _load(self.backbone, unused, state, weights)
        self.backbone.requires_grad_(False).eval()
        self.channels = [self.backbone.num_features] * len(self.layers)
        self.patch_size: int = self.backbone.patch_embed.patch_size[0]
        self.prefix_tokens: int = self.backbone.num_prefix_tokens if with_prefix else 0
        self._norm = norm

    @torch.no_grad()
    def stages(
        self, images: Tensor, passed: Callable[[int], None] = lambda layer: None
    ) -> dict[int, Tensor]:
        """Return the features of the tapped blocks, by block.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1].
            passed: Called for each block once all are computed.

        Returns:
            ``(B, C, h, w)`` float32, h × w patches, or with prefix tokens ``(B, C, N, 1)``.
        """
        options: dict[str, Any] = {"return_prefix_tokens": True} if self.prefix_tokens else {}
        with torch.autocast(images.device.type, enabled=False):
            images = _resized(
                images.float(), [n * self.patch_size for n in self.grid(images.shape[-2:])]
            )
            features = self.backbone.forward_intermediates(
                self.normalized(images),
                indices=list(self.layers),
                norm=self._norm,
                output_fmt="NLC" if self.prefix_tokens else "NCHW",
                intermediates_only=True,
                **options,
            )
        if self.prefix_tokens:
            tokens = [torch.cat([prefix, patches], dim=1) for patches, prefix in features]
            features = [rearrange(each, "b n c -> b c n 1") for each in tokens]
        for layer in self.layers:
            passed(layer)
        return dict(zip(self.layers, features, strict=True))

    def shapes(self, size: Sequence[int]) -> list[tuple[int, int, int]]:
        """Return the shape ``(C, h, w)`` of each tapped block's patches for an image size."""
        return [(channels, *self.grid(size)) for channels in self.channels]

    def digests(self) -> dict[int, str]:
        """Return the sha256 by tapped block of all tensors its features depend on."""
        sha = hashlib.sha256(f"{self.prefix_tokens} prefix tokens".encode())
        for buffer in (self.mean, self.std):
            add_tensor(sha, buffer)
        state = self.backbone.state_dict()
        before = {name: each for name, each in state.items() if not name.startswith("blocks.")}
        add_state(sha, "", before)
        digests: dict[int, str] = {}
        for number, block in enumerate(self.backbone.blocks):
            add_state(sha, f"blocks.{number}.", block.state_dict())
            if number in self.layers:
                digests[number] = sha.hexdigest()
        return digests

    def grid(self, size: Sequence[int]) -> tuple[int, int]:
        """Return the rows and columns of patches of images of height and width in pixels."""
        embedding = self.backbone.patch_embed
        if embedding.strict_img_size:
            return embedding.grid_size
        rows, columns = (max(1, round(side / self.patch_size)) for side in size)
        return rows, columns


def timm_transformer_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a publisher's tensors under timm's names.

    DINOv2's own files, recognized by their ``mask_token``, differ from timm's only with registers:
    in the registers' name, and in a position embedding of the class token, which timm adds to it.

    Args:
        state: Tensors by the publisher's name; a leading ``module.`` is dropped.
    """
    renamed = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if "mask_token" not in renamed:
        return renamed
    del renamed["mask_token"]
    if {"register_tokens", "cls_token", "pos_embed"} <= renamed.keys():
        positions = renamed["pos_embed"]
        renamed["reg_token"] = renamed.pop("register_tokens")
        renamed["cls_token"] = renamed["cls_token"] + positions[:, 0]
        renamed["pos_embed"] = positions[:, 1:]
    return renamed


def _tapped_network(
    weights: WeightsEntry,
    layers: Sequence[int],
    image_size: ImageSize | None,
    norm: bool,
    options: Mapping[str, Any],
) -> tuple[nn.Module, set[str]]:
    """Return the network down to the last tapped block, and the names of the tensors it lacks."""
    architecture = weights.architecture
    if not timm.models.is_model_in_modules(architecture, _MODULES):
        raise wrong_kind(weights, "a vision transformer", "ViT, DeiT, DINOv2 or CaiT")
    size: dict[str, Any] = {"dynamic_img_size": True}
    if architecture.startswith("cait"):
        size = {}
        if image_size is not None:
            sides = (_CAIT_PATCH * max(1, round(n / _CAIT_PATCH)) for n in height_width(image_size))
            size = {"img_size": tuple(sides)}
    network = timm.create_model(architecture, **size, **options)
    check_layers(weights, layers, range(len(network.blocks)))
    names = set(network.state_dict())
    network.prune_intermediate_layers(list(layers), prune_norm=not norm, prune_head=True)
    return network, names - set(network.state_dict())


def _load(
    network: nn.Module, unused: set[str], state: Mapping[str, Tensor], weights: WeightsEntry
) -> None:
    names = unused | network.state_dict().keys()
    state = without_prefix(state, lambda s: len(names & timm_transformer_state(s).keys()))
    renamed = timm_transformer_state(state)
    tensors = {name: tensor for name, tensor in renamed.items() if name not in unused}
    if "pos_embed" in tensors:
        tensors["pos_embed"] = _resampled(tensors["pos_embed"], network, weights.architecture)
    part = f"first {len(network.blocks)} blocks"
    load_fitting(network, tensors, weights, part=part, count=len(state))


def _resized(images: Tensor, size: list[int]) -> Tensor:
    if list(images.shape[-2:]) == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def _resampled(positions: Tensor, network: nn.Module, architecture: str) -> Tensor:
    """Resample CaiT's position embeddings ``(1, N, C)`` to the network's own grid.

    Other networks resample theirs in each pass. Embeddings of another number of patches than the
    architecture's are another network's, and stay as they are, to be refused.
    """
    if not network.patch_embed.strict_img_size:
        return positions
    side = timm.get_pretrained_cfg(architecture).input_size[-1] // _CAIT_PATCH
    if positions.ndim != 3 or positions.shape[1] != side * side:
        return positions
    grid = list(network.patch_embed.grid_size)
    return resample_abs_pos_embed(positions.float(), grid, num_prefix_tokens=0)
