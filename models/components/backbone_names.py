"""Publishers' names of a backbone's tensors, as timm names them in a list of features."""

import re
from collections.abc import Mapping

from torch import Tensor

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


def timm_feature_state(state: Mapping[str, Tensor], architecture: str) -> dict[str, Tensor]:
    """A publisher's tensors under the names of timm's ``features_only`` network.

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
