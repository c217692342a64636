"""What a user changes in a recipe: its fields by name, checked before anything is trained."""

import ast
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from bench.near_names import did_you_mean
from models.catalog import ClassifierRecipe, Recipe

ALIASES = {"num_epochs": "epochs", "learning_rate": "lr"}
"""Other names of fields, as users of other frameworks know them."""

FIELDS = {field.name: field for field in fields(ClassifierRecipe) if field.name != "source"}
"""Fields that may be changed; some exist only in classifiers' recipes."""

_OF_ONE_PASS = {"options"}
"""Fields that a recipe without an optimizer reads; the others have no effect."""

_KINDS: tuple[tuple[set[str], type, str], ...] = (
    ({"optimizer", "schedule", "base_transform", "loss"}, str, "a word"),
    ({"amsgrad", "gradient_checkpointing"}, bool, "True or False"),
    ({"options"}, Mapping, "a dict of the model's options"),
)
_WHOLE = {"epochs", "batch_size", "images", "patience", "warmup_steps", "decay_steps"}
_FROM_ZERO = {"warmup_steps"}


def checked_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes by the names of the recipe's fields.

    >>> checked_changes({"num_epochs": 5, "lr": 0.01})
    {'epochs': 5, 'lr': 0.01}

    Raises:
        ValueError: A field is unknown or cannot have this value; the message says what is
            allowed.
    """
    checked: dict[str, Any] = {}
    for given, value in changes.items():
        name = ALIASES.get(given, given)
        if name not in FIELDS:
            meant = did_you_mean(name, [*FIELDS, *ALIASES], " did you mean")
            raise ValueError(
                f"'{given}' is not a field of a recipe:{meant} Choose from {', '.join(FIELDS)}."
            )
        checked[name] = _checked(given, name, value)
    return checked


def parse_change(text: str) -> tuple[str, Any]:
    """Parse ``FIELD=VALUE``, whose value is a Python literal or a word.

    >>> parse_change("epochs=5"), parse_change("schedule=cosine")
    (('epochs', 5), ('schedule', 'cosine'))

    Raises:
        ValueError: There is no ``=``.
    """
    name, equals, value = text.partition("=")
    if not equals or not value:
        raise ValueError(f"wanted FIELD=VALUE, such as epochs=5, found '{text}'")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def change_recipe(recipe: Recipe, changes: Mapping[str, Any]) -> tuple[Recipe, dict[str, Any]]:
    """Return a recipe with changed fields, and the original values of those that differ.

    A recipe without an optimizer has no epochs, batches or learning rate to change: only
    ``options`` apply to it. ``options`` are merged into the recipe's own. A number of epochs
    replaces a budget in images; with fewer than the recipe's own, its warm-up is at most a tenth of
    them unless it is changed, too.

    Args:
        recipe: The recipe.
        changes: What `checked_changes` returns.

    Raises:
        ValueError: The recipe has no such field, or the values conflict.
    """
    if recipe.optimizer == "none":
        changes = {name: value for name, value in changes.items() if name in _OF_ONE_PASS}
    if "options" in changes:
        changes = {**changes, "options": {**recipe.options, **changes["options"]}}
    if "epochs" in changes and "images" not in changes and recipe.images is not None:
        changes = {**changes, "images": None}
    if "epochs" in changes and "warmup_epochs" not in changes:
        warmup = _warmup(recipe.warmup_epochs, recipe.epochs, changes["epochs"])
        changes = {**changes, "warmup_epochs": warmup}
    own = {field.name for field in fields(recipe)}
    if unknown := sorted(changes.keys() - own):
        raise ValueError(
            f"{', '.join(unknown)}: only classifiers' recipes have these fields. Leave them out."
        )
    before = {name: getattr(recipe, name) for name in changes}
    differing = {name: value for name, value in before.items() if value != changes[name]}
    if not differing:
        return recipe, {}
    return replace(recipe, **changes), differing


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """Return a recipe with another number of epochs; of fewer, at most a tenth is warm-up.

    A training that is shorter than its recipe's would otherwise end during its warm-up.
    """
    warmup = _warmup(recipe.warmup_epochs, recipe.epochs, epochs)
    return replace(recipe, epochs=epochs, warmup_epochs=warmup)


def has_derived_warmup(recipe: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Return whether a recipe's warm-up is what its number of epochs makes of it.

    Args:
        recipe: The recipe's fields, as recorded.
        before: Its own values of the fields that the user changed.
    """
    own = {"warmup_epochs": 0.0, "epochs": 0, **recipe, **before}
    derived = _warmup(own["warmup_epochs"], own["epochs"], recipe.get("epochs", 0))
    return bool(recipe.get("warmup_epochs", 0.0) == derived)


def _warmup(own: float, own_epochs: int, epochs: int) -> float:
    """Return the warm-up of a number of epochs, of a recipe with its own of both."""
    return min(own, epochs / 10) if epochs < own_epochs else own


def _checked(given: str, name: str, value: Any) -> Any:
    """Return a value of the field's type."""
    if value is None and FIELDS[name].default is None:
        return None
    for names, kind, wanted in _KINDS:
        if name in names:
            if not isinstance(value, kind):
                raise ValueError(f"{given}: wanted {wanted}, found {value!r}.")
            return value
    if name in ("betas", "milestones"):
        return _numbers(given, name, value)
    if name in _WHOLE:
        low = 0 if name in _FROM_ZERO else 1
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise ValueError(f"{given}: wanted a whole number of at least {low}, found {value!r}.")
        return value
    return _number(given, value)


def _numbers(given: str, name: str, value: Any) -> tuple[float, ...]:
    wanted = 2 if name == "betas" else None
    if not isinstance(value, list | tuple) or wanted not in (None, len(value)):
        raise ValueError(f"{given}: wanted {wanted or 'some'} numbers, found {value!r}.")
    return tuple(_number(given, each) for each in value)


def _number(given: str, value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or value < 0:
        raise ValueError(f"{given}: wanted a number of at least 0, found {value!r}.")
    return float(value)
