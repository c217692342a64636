"""The command that runs a case again as it was recorded."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from bench.case import ALL
from bench.changes import checked_changes, has_derived_warmup
from bench.protocol import PROFILES, Protocol, resolve
from bench.record import Record
from datasets_lib.catalog import DATASETS
from models.catalog import MODELS, WEIGHTS
from models.components.image_size import height_width, image_size, same_size, size_text


def repeat_command(record: Record, *more: str) -> str:
    """Return a command for a POSIX shell, with ``DATA`` and ``WEIGHTS`` for folders that it needs.

    Records do not name folders of a machine.

    Args:
        record: What happened when the case ran.
        more: Further options.

    >>> from bench.case import Case
    >>> from bench.record import Key
    >>> case = Case("padim_resnet18", "baseline", "surface", "woven", "default", True, 1, shots=4)
    >>> record = Record(Key(case.id, "smoke", "", "", ""), case, "ok", "ok")
    >>> print(repeat_command(record))  # doctest: +NORMALIZE_WHITESPACE
    pytest bench -k padim_resnet18-surface.woven-default-pretrained-4shot-s1 --profile smoke
    --seeds 2 --shots 4 --rerun
    """
    words = ["pytest", "bench", "-k", record.key.id, "--profile", record.key.profile]
    return shlex.join([*words, *_of_folders(record), *_options(record), "--rerun", *more])


def _of_folders(record: Record) -> Iterator[str]:
    """Yield the options for folders of data and weights, unless a session finds them by itself."""
    dataset = DATASETS.get(record.case.dataset)
    if dataset is None or not (dataset.embedded or dataset.package):
        yield from ("--data-dir", "DATA")
    entry = MODELS.get(record.case.model)
    tag = entry.weights if entry and record.case.pretrained else None
    if tag is None:
        return
    first = WEIGHTS[(*WEIGHTS[tag].parts, tag)[0]]
    # A download has its publisher's name; under another one, the file lay in a folder of the user.
    if record.fingerprints.get("weights_file", first.file_name) != first.file_name:
        yield from ("--weights-dir", "WEIGHTS")


def _options(record: Record) -> Iterator[str]:
    """Yield the options without which a session would omit the case or run a different one."""
    yield from _of_grid(record)
    yield from _of_images(record)
    if record.protocol and record.key.profile in PROFILES:
        yield from _of_protocol(record)
    if record.asked.get("pictures") is False:
        yield "--no-pictures"
    if record.asked.get("measurements") is False:
        yield "--no-measurements"
    if record.asked.get("exact") is False:
        yield from ("--pixel-metrics", "histogram")


def _of_grid(record: Record) -> Iterator[str]:
    """Yield the options without which a session has no such case."""
    case = record.case
    if case.replicate:
        yield from ("--seeds", str(case.replicate + 1))
    if case.recipe != "baseline":
        yield from ("--recipes", case.recipe)
    if case.augmentation != "default":
        yield from ("--augmentations", case.augmentation)
    if case.shots:
        yield from ("--shots", str(case.shots))
    if _is_multi_class(record):
        yield "--multi-class"


def _is_multi_class(record: Record) -> bool:
    """Return whether a run is one model for all categories, not of a category of that name.

    A run that did not finish has no metrics of categories: it counts as one.
    """
    return record.case.category == ALL and bool(record.categories or record.status != "ok")


def _of_images(record: Record) -> Iterator[str]:
    """Yield the options for how images are read, split and cut."""
    protocol, fingerprints = record.protocol, record.fingerprints
    if protocol.get("fit", "squash") != "squash":
        yield from ("--fit", protocol["fit"])
    if tiles := protocol.get("tiles"):
        yield from ("--tiles", f"{tiles[0]}x{tiles[1]}")
    if overlap := protocol.get("overlap"):
        yield from ("--overlap", str(overlap))
    if bits := fingerprints.get("bits"):
        yield from ("--bits", str(bits))
    if prefix := fingerprints.get("split_by"):
        yield f"--split-by={prefix}"  # one word: the expression may begin with a dash


def _of_protocol(record: Record) -> Iterator[str]:
    """Yield the options that replaced the profile's budget, size, precision and recipe."""
    protocol, changes = record.protocol, _changes(record.protocol)
    usual = _without_options(record, changes)
    seen, recipe = protocol.get("images_seen"), protocol.get("recipe", {})
    if seen and (usual is None or seen != usual.images_seen):
        yield from ("--images-seen", str(seen))
    if seen is None and usual is not None and usual.images_seen and "epochs" in recipe:
        # A number of epochs replaced the profile's budget, even if it was the recipe's own.
        changes["epochs"] = recipe["epochs"]
    if "epochs" in changes and recipe.get("images") is not None:
        changes["images"] = recipe["images"]  # epochs alone would remove it
    if "epochs" in changes:
        changes.pop("warmup_epochs", None)
        if not has_derived_warmup(recipe, protocol.get("changed", {})):
            # Epochs alone would shorten it; when older records were made, they did not.
            changes["warmup_epochs"] = recipe.get("warmup_epochs", 0.0)
    if _has_own_size(protocol, usual):
        yield from ("--image-size", size_text(image_size(*height_width(protocol["image_size"]))))
    for name, value in changes.items():
        yield from ("--set", f"{name}={value}")
    if recipe.get("optimizer") != "none" and protocol.get("precision"):
        yield from ("--precision", str(protocol["precision"]))


def _changes(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changed fields of a recipe; of its options, only those that differ."""
    recipe, before = protocol.get("recipe", {}), protocol.get("changed", {})
    changes = {name: recipe[name] for name in before if name in recipe}
    if "options" in changes:
        own = before["options"]
        changes["options"] = {
            name: value
            for name, value in changes["options"].items()
            if name not in own or own[name] != value
        }
    return changes


def _without_options(record: Record, changes: Mapping[str, Any]) -> Protocol | None:
    """Return the case's protocol without options of budget and size.

    Args:
        record: The record, whose profile is known.
        changes: The changed fields of its recipe.

    Returns:
        None if the model, its recipe or a changed field is unknown now.
    """
    case, protocol = record.case, record.protocol
    entry, dataset = MODELS.get(case.model), DATASETS.get(case.dataset)
    if entry is None or case.recipe not in entry.recipes:
        return None
    try:
        return resolve(
            entry,
            case.recipe,
            PROFILES[record.key.profile],
            pretrained=case.pretrained,
            native_size=dataset.image_size if dataset else None,
            shots=case.shots,
            multi_class=_is_multi_class(record),
            fit=protocol.get("fit", "squash"),
            tiles=protocol.get("tiles"),
            changes=checked_changes(changes),
        )
    except ValueError:
        return None


def _has_own_size(protocol: Mapping[str, Any], usual: Protocol | None) -> bool:
    """Return whether images had another size, or another crop of it, than without options."""
    if not protocol.get("image_size"):
        return False
    if usual is None:
        return True
    own = protocol["image_size"], protocol.get("crop")
    return not all(map(same_size, own, (usual.image_size, usual.crop)))
