"""Checkpoints of Reverse Distillation in the layouts of the official and of the study's code.

The official code saves ``{'bn': …, 'decoder': …}``, the study's ConvNeXt code
``{'bn_layer': …, 'decoder': …}``, sometimes under ``model_state_dict``. Only the top-level keys
distinguish them: names in the official ``bn`` begin with ``bn_layer.`` as well.
"""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from models.components.checkpoints import load_tensors, misfits

Layout = Literal["bn", "bn_layer"]
"""Top-level key of the bottleneck, which identifies the layout."""


def load(
    checkpoint: Mapping[str, Any], layout: Layout, bottleneck: nn.Module, decoder: nn.Module
) -> None:
    """Load a checkpoint; on a mismatch, leave both modules unchanged.

    Args:
        checkpoint: Result of `torch.load`. Stray ``memory`` entries are ignored.
        layout: Layout of the model.
        bottleneck: Module for the tensors under the layout's key.
        decoder: Module for the tensors under ``decoder``.

    Raises:
        ValueError: The checkpoint has another layout or is another model's.
    """
    sections = _sections(checkpoint)
    if set(sections) != {layout, "decoder"}:
        keys = ", ".join(map(repr, sections)) or "nothing"
        raise ValueError(
            f"This checkpoint has another layout: wanted the top-level keys '{layout}' and "
            f"'decoder', optionally under 'model_state_dict', found {keys}. Give the "
            f"checkpoint of a model whose teacher is of this one's family."
        )
    parts = {layout: bottleneck, "decoder": decoder}
    states = {name: _without_memory(sections[name], name) for name in parts}
    complaints = [
        f"of '{name}' {clause}"
        for name, module in parts.items()
        for clause in misfits(module.state_dict(), states[name])
    ]
    if complaints:
        raise ValueError(
            f"This is a checkpoint of another model: {'; '.join(complaints)}. Give the one that "
            "was saved from this configuration."
        )
    for name, module in parts.items():
        load_tensors(module, states[name])


def _sections(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    inner = checkpoint.get("model_state_dict", checkpoint)
    if not isinstance(inner, Mapping):
        inner = checkpoint
    sections: dict[str, Any] = {}
    for name, value in inner.items():
        section, _, key = name.partition(".")
        if key:  # one flat state dict of both: bn_layer.process1.0.weight
            sections.setdefault(section, {})[key] = value
        elif "memory" not in name:
            sections[name] = value
    return sections


def _without_memory(section: Any, name: str) -> dict[str, Tensor]:
    if not isinstance(section, Mapping):
        raise ValueError(
            f"This checkpoint's '{name}' is a {type(section).__name__}: wanted a dictionary of "
            "tensors by name, as state_dict() gives it. Save the model again."
        )
    return {key: tensor for key, tensor in section.items() if "memory" not in key}
