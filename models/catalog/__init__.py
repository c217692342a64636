"""Every named model configuration, as data; imports neither torch nor timm.

A model entry names the function that builds it, the pretrained weights it taps, and its recipes.
The function is loaded only when a case runs, so collecting thousands of cases costs nothing.
"""

import re
import sys
from collections.abc import Mapping
from types import MappingProxyType

from models.catalog.adaptation import ADAPTATION_MODELS
from models.catalog.adapted_features import ADAPTED_FEATURE_MODELS
from models.catalog.classifiers import CLASSIFIERS
from models.catalog.distillation import DISTILLATION_MODELS
from models.catalog.entry import ClassifierRecipe, ModelEntry, Recipe, WeightsEntry
from models.catalog.flow import FLOW_MODELS
from models.catalog.foundation import FOUNDATION_MODELS
from models.catalog.memory import MEMORY_MODELS
from models.catalog.reconstruction import RECONSTRUCTION_MODELS
from models.catalog.weights import PUBLISHED_WEIGHTS

__all__ = [
    "MODELS",
    "WEIGHTS",
    "ClassifierRecipe",
    "ModelEntry",
    "Recipe",
    "WeightsEntry",
    "register_model",
    "register_weights",
]

_models: dict[str, ModelEntry] = {}
_weights: dict[str, WeightsEntry] = {}
_origins: dict[str, str] = {}

MODELS: Mapping[str, ModelEntry] = MappingProxyType(_models)
WEIGHTS: Mapping[str, WeightsEntry] = MappingProxyType(_weights)


def register_weights(entry: WeightsEntry) -> None:
    """Add pretrained weights to `WEIGHTS`.

    Raises:
        ValueError: Their tag is taken.
    """
    _claim("weights", entry.tag, entry.tag in _weights)
    _weights[entry.tag] = entry


def register_model(entry: ModelEntry) -> None:
    """Add a model to `MODELS`, which makes it a part of the benchmark.

    Raises:
        ValueError: The name is malformed or taken, the weights are unknown, there is no recipe
            ``baseline``, or the scoring heads are not a tuple of names.
    """
    if not re.fullmatch(r"[a-z0-9_.]+", entry.name):
        raise ValueError(
            f"A model's name is part of case ids: wanted lower-case letters, digits, '_' and '.', "
            f"found '{entry.name}'. Rename the entry."
        )
    if entry.weights is not None and entry.weights not in _weights:
        raise ValueError(
            f"The model '{entry.name}' names weights that nobody registered: wanted one of "
            f"{', '.join(_weights)}, found '{entry.weights}'. Call register_weights() first."
        )
    if "baseline" not in entry.recipes:
        raise ValueError(
            f"The model '{entry.name}' has no original recipe: wanted 'baseline' among its "
            f"recipes, found {', '.join(entry.recipes) or 'none'}. Add it."
        )
    if isinstance(entry.heads, str):
        raise ValueError(
            f"The model '{entry.name}' declares its scoring heads as a string: wanted a tuple of "
            f"names, found '{entry.heads}'. Write heads=('{entry.heads}',)."
        )
    if not entry.heads:
        raise ValueError(
            f"The model '{entry.name}' declares no scoring head: wanted the names that predict() "
            "returns, the one that ranks first, found none. Set `heads`."
        )
    _claim("model", entry.name, entry.name in _models)
    _models[entry.name] = entry


def _claim(kind: str, name: str, taken: bool) -> None:
    """Remember who registers a name, the caller's caller; raise if the name is taken."""
    caller = sys._getframe(2).f_globals
    origin = str(caller.get("__file__") or caller["__name__"])
    if taken:
        raise ValueError(
            f"Two {kind} entries are named '{name}': found one in {_origins[f'{kind} {name}']} and "
            f"another in {origin}. Rename one of them."
        )
    _origins[f"{kind} {name}"] = origin


for _entry in PUBLISHED_WEIGHTS:
    register_weights(_entry)
for _model in (
    *MEMORY_MODELS,
    *ADAPTATION_MODELS,
    *DISTILLATION_MODELS,
    *FLOW_MODELS,
    *RECONSTRUCTION_MODELS,
    *FOUNDATION_MODELS,
    *ADAPTED_FEATURE_MODELS,
    *CLASSIFIERS,
):
    register_model(_model)
