"""Loading a module's tensors from a section of a checkpoint, wholly or not at all."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

_SHOWN = 3


def load_tensors(module: nn.Module, checkpoint: Mapping[str, Any], section: str) -> None:
    """Load what a checkpoint holds under a name.

    Args:
        module: Takes the tensors; untouched where they do not fit.
        checkpoint: As the model's ``checkpoint()`` gave it.
        section: Key under which it holds the module's ``state_dict()``.

    Raises:
        ValueError: There is no such section, or it is another model's.
    """
    found = checkpoint.get(section)
    if not isinstance(found, Mapping):
        raise ValueError(
            f"This is a checkpoint of another model: wanted tensors by name under '{section}', "
            f"found the keys {_listed(checkpoint)}. Give the one that was saved from this "
            "configuration."
        )
    complaints = list(_misfits(module, found))
    if complaints:
        raise ValueError(
            f"This is a checkpoint of another model: its '{section}' {'; '.join(complaints)}. "
            "Give the one that was saved from this configuration."
        )
    module.load_state_dict(found)


def _misfits(module: nn.Module, found: Mapping[str, Any]) -> Iterable[str]:
    wanted = module.state_dict()
    missing = [key for key in wanted if key not in found]
    unknown = [key for key in found if key not in wanted]
    if missing or unknown:
        yield f"lacks {_listed(missing)} and holds {_listed(unknown)} beyond what is wanted"
    for key, tensor in wanted.items():
        shape = getattr(found.get(key, tensor), "shape", ())
        if shape != tensor.shape:
            yield f"holds {key} of shape {tuple(shape)} where {tuple(tensor.shape)} is wanted"
            return


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return (", ".join(f"'{name}'" for name in every[:_SHOWN]) or "nothing") + more
