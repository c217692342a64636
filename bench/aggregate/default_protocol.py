"""What a case's protocol is without options, as the catalog has it now."""

from collections.abc import Mapping
from typing import Any

from bench.case import ALL
from bench.changes import checked_changes
from bench.protocol import PROFILES, Protocol, resolve
from bench.record import Record
from datasets_lib.catalog import DATASETS
from models.catalog import MODELS
from models.components.image_size import height_width


def default_protocol(record: Record, changes: Mapping[str, Any]) -> Protocol | None:
    """Return the protocol of a record's case without options of budget and size.

    Args:
        record: The record.
        changes: The changed fields of its recipe.

    Returns:
        None if the profile, the model, its recipe or a changed field is unknown now.
    """
    case, protocol = record.case, record.protocol
    entry, dataset = MODELS.get(case.model), DATASETS.get(case.dataset)
    profile = PROFILES.get(record.key.profile)
    if entry is None or profile is None or case.recipe not in entry.recipes:
        return None
    try:
        return resolve(
            entry,
            case.recipe,
            profile,
            pretrained=case.pretrained,
            native_size=dataset.image_size if dataset else None,
            shots=case.shots,
            multi_class=is_multi_class(record),
            fit=protocol.get("fit", "squash"),
            tiles=protocol.get("tiles"),
            changes=checked_changes(changes),
        )
    except ValueError:
        return None


def is_multi_class(record: Record) -> bool:
    """Return whether a run is one model for all categories, not of a category of that name.

    A run that did not finish has no metrics of categories: it counts as one.
    """
    return record.case.category == ALL and bool(record.categories or record.status != "ok")


def has_own_size(protocol: Mapping[str, Any], default: Protocol | None) -> bool:
    """Return whether images had another size, or another crop of it, than without options."""
    if not protocol.get("image_size"):
        return False
    if default is None:
        return True
    own = protocol["image_size"], protocol.get("crop")
    return any(
        (size and height_width(size)) != (expected and height_width(expected))
        for size, expected in zip(own, (default.image_size, default.crop), strict=True)
    )


def has_default_shape(record: Record) -> bool:
    """Return whether a run's images were neither resized, fitted nor tiled by an option."""
    protocol = record.protocol
    if protocol.get("fit", "squash") != "squash" or protocol.get("tiles"):
        return False
    return not has_own_size(protocol, default_protocol(record, {}))
