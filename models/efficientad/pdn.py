"""Patch description networks of EfficientAD (Batzner, Heckler and König, WACV 2024, appendix).

Four or six convolutions and two poolings with a receptive field of 33 × 33 pixels: each output
vector describes one patch and depends on nothing else in the image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from models.catalog import WeightsEntry
from models.components.checkpoints import misfits
from models.components.loading import load_copies, undrawn
from models.components.weights_file import without_prefix

FEATURES = 384
"""Number of channels of a teacher."""

PATCH = 33
"""Side of the receptive field in pixels: smaller images give no output."""


@dataclass(frozen=True)
class _Layer:
    """A convolution of stride 1.

    Attributes:
        kernel: Side of the kernel.
        padding: Width of the zero border if the network pads.
        channels: Number of output channels; None for the network's own number.
        pooled: Whether 2 × 2 average pooling follows ReLU.
    """

    kernel: int
    padding: int
    channels: int | None
    pooled: bool = False


LAYERS: Mapping[str, tuple[_Layer, ...]] = {
    "small": (
        _Layer(4, 3, 128, pooled=True),
        _Layer(4, 3, 256, pooled=True),
        _Layer(3, 1, 256),
        _Layer(4, 0, None),
    ),
    "medium": (
        _Layer(4, 3, 256, pooled=True),
        _Layer(4, 3, 512, pooled=True),
        _Layer(1, 0, 512),
        _Layer(3, 1, 512),
        _Layer(4, 0, None),
        _Layer(1, 0, None),
    ),
}
"""Layers by size of the network; ReLU follows every convolution except the last."""

_SEQUENTIAL = {"small": (0, 3, 6, 8), "medium": (0, 3, 6, 8, 10, 12)}
"""Indices of the convolutions in the ``Sequential`` of github.com/nelson1425/EfficientAD."""


class PatchDescriptionNetwork(nn.Module):
    """Features of patches, at a quarter of the image's resolution.

    Args:
        size: ``small`` or ``medium``.
        channels: Number of output channels.
        padding: Pad with zeros, as in distillation: 256 pixels give 64 positions. Without padding,
            as in anomaly detection, they give 56.
    """

    def __init__(self, size: str, channels: int = FEATURES, *, padding: bool = False) -> None:
        super().__init__()
        self._pooled = [layer.pooled for layer in LAYERS[size]]
        self._pool_padding = int(padding)
        before = 3
        for number, layer in enumerate(LAYERS[size], 1):
            after = layer.channels or channels
            border = layer.padding if padding else 0
            self.add_module(f"conv{number}", nn.Conv2d(before, after, layer.kernel, padding=border))
            before = after

    def trunk(self, images: Tensor) -> Tensor:
        """Return the input of the last convolution for normalized images ``(B, 3, H, W)``."""
        x = images
        for convolution, pooled in zip(list(self.children())[:-1], self._pooled, strict=False):
            x = F.relu(convolution(x), inplace=True)
            if pooled:
                x = F.avg_pool2d(x, 2, padding=self._pool_padding)
        return x

    def head(self, hidden: Tensor, channels: slice = slice(None)) -> Tensor:
        """Return only some channels of the output, computed from the output of `trunk`."""
        last = list(self.children())[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        features: Tensor = last._conv_forward(hidden, last.weight[channels], last.bias[channels])
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Return features ``(B, C, h, w)`` of normalized images ``(B, 3, H, W)``."""
        return self.head(self.trunk(images))


def teacher(
    size: str, weights: WeightsEntry, state: Mapping[str, Tensor] | None
) -> PatchDescriptionNetwork:
    """Build a frozen teacher without padding.

    Args:
        size: ``small`` or ``medium``.
        weights: Entry of the tensors, named in error messages.
        state: Tensors of a teacher's file, named ``conv1.weight`` as by anomalib and ``bench
            distill``, or ``0.weight`` as by nelson1425/EfficientAD; None leaves it random.

    Raises:
        ValueError: The tensors are not those of such a network.
    """
    with undrawn(state):
        network = PatchDescriptionNetwork(size)
    if state is not None:
        _load(network, size, weights, state)
    return network.requires_grad_(False).eval()


def _load(
    network: PatchDescriptionNetwork,
    size: str,
    weights: WeightsEntry,
    state: Mapping[str, Tensor],
) -> None:
    ours = {
        f"{place}.{part}": f"conv{number}.{part}"
        for number, place in enumerate(_SEQUENTIAL[size], 1)
        for part in ("weight", "bias")
    }
    wanted = network.state_dict()
    names = ours.keys() | wanted.keys()
    state = without_prefix(state, lambda tensors: len(names & tensors.keys()))
    found = {ours.get(name, name): tensor for name, tensor in state.items()}
    if complaints := misfits(wanted, found):
        places = ", ".join(map(str, _SEQUENTIAL[size]))
        raise ValueError(
            f"These are not {weights.tag}'s weights: wanted the {len(wanted)} tensors of a {size} "
            f"patch description network (weight and bias of conv1 to conv{len(LAYERS[size])}, or "
            f"of {places} where they are numbered), found {len(state)} tensors: "
            f"{'; '.join(complaints)}. Get the file again from {weights.url}, or make one: "
            f"{weights.made_by}."
        )
    load_copies(network, found)
