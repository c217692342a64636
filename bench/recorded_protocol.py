"""A protocol's plain values, as a record holds them: their hash, budget and shape of images."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING
from dataclasses import fields as dataclass_fields
from functools import cache
from typing import Any

from datasets_lib.images.geometry import Fit
from models.catalog import Recipe
from models.components.image_size import ImageSize, height_width, image_size, size_text

ADDED_FIELDS: Mapping[str, Any] = {
    "fit": "squash",
    "tiles": None,
    "overlap": 0,
    "changed": {},
    "normalize": True,
    "seed_base": None,
    "resumed_from": "",
}
"""Fields of `Protocol` that were added later, with values that mean the earlier behavior."""


def protocol_hash(fields: Mapping[str, Any], recipe_class: type[Recipe]) -> str:
    """Return the hash of a protocol's plain values, as a record holds them."""
    counted = {
        name: value
        for name, value in fields.items()
        if name not in ADDED_FIELDS or value != ADDED_FIELDS[name]
    }
    counted["recipe"] = recipe_constants(fields["recipe"], recipe_class)
    text = json.dumps(counted, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recipe_constants(recipe: Mapping[str, Any], recipe_class: type[Recipe]) -> dict[str, Any]:
    """Return the plain values of a recipe that differ from their defaults, without its source.

    A field that was added after a record was written has its default there.
    """
    defaults = {field.name: field.default for field in dataclass_fields(recipe_class)}
    return {
        name: value
        for name, value in json.loads(json.dumps(recipe)).items()
        if name != "source" and (name not in defaults or value != _plain(defaults[name]))
    }


def budget_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's protocol without what the cases of a comparison may differ in.

    That is recipe, options and augmentation. Fields that were added after the record was written
    have the values that mean the earlier behavior.
    """
    own = {"recipe", "recipe_name", "options", "augmentation"}
    return {name: value for name, value in {**ADDED_FIELDS, **fields}.items() if name not in own}


def _plain(value: Any) -> Any:
    """Return a default as JSON holds it: tuples are lists, and an empty dict is its factory's."""
    return {} if value is MISSING else list(value) if isinstance(value, tuple) else value


@cache
def describe_shape(
    size: ImageSize | None, fit: Fit, tiles: tuple[int, int] | None, overlap: int
) -> str:
    """Describe what the options say about the shape of images; empty where they say nothing.

    >>> describe_shape((256, 640), "pad", None, 0), describe_shape(None, "squash", (2, 3), 32)
    ('256x640 px, pad', '2x3 tiles overlapping by 32 px')
    """
    parts = [f"{size_text(size)} px"] if size else []
    parts += [fit] if fit != "squash" else []
    parts += [f"{tiles[0]}x{tiles[1]} tiles overlapping by {overlap} px"] if tiles else []
    return ", ".join(parts)


def recorded_shape(fields: Mapping[str, Any]) -> tuple[int, str]:
    """Return the pixels of a record's images and their shape in words.

    Args:
        fields: Plain values of the record's protocol.

    >>> recorded_shape({"image_size": [256, 640], "fit": "pad"})
    (163840, '256x640 px, pad')
    """
    size, tiles = fields.get("image_size", 0), fields.get("tiles")
    height, width = height_width(size)
    about = describe_shape(
        image_size(height, width),
        fields.get("fit", "squash"),
        tuple(tiles) if tiles else None,
        fields.get("overlap", 0),
    )
    return height * width, about or "size unrecorded"
