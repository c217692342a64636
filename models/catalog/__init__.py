"""Every named model configuration, as data; imports neither torch nor timm.

A model entry names the function that builds it, the pretrained weights it taps, and its recipes.
The function is loaded only when a case runs, so collecting thousands of cases costs nothing.
"""

from collections.abc import Mapping
from types import MappingProxyType

from models.catalog.adaptation import ADAPTATION_MODELS
from models.catalog.classifiers import CLASSIFIERS
from models.catalog.entry import ClassifierRecipe, ModelEntry, Recipe, WeightsEntry
from models.catalog.images import IMAGE_MODELS
from models.catalog.memory import MEMORY_MODELS
from models.catalog.reverse_distillation import RD_MODELS
from models.catalog.weights import WEIGHTS

__all__ = ["MODELS", "WEIGHTS", "ClassifierRecipe", "ModelEntry", "Recipe", "WeightsEntry"]

MODELS: Mapping[str, ModelEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            *MEMORY_MODELS,
            *ADAPTATION_MODELS,
            *RD_MODELS,
            *IMAGE_MODELS,
            *CLASSIFIERS,
        )
    }
)
