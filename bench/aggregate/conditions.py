"""What a run was trained and evaluated on: only runs under one condition may rank together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from bench.aggregate.language import say
from bench.aggregate.markdown import percent
from bench.changes import has_derived_warmup
from bench.protocol import PROFILES, budget_in_images, input_sizes
from bench.record import Record
from bench.recorded_protocol import recorded_shape
from datasets_lib.batches.textures import PROCEDURAL
from datasets_lib.catalog import DATASETS
from models.catalog import MODELS
from models.components.image_size import same_size


@dataclass(frozen=True)
class Conditions:
    """What the runs of a row were evaluated on.

    Attributes:
        images: Hashes of training and test images, by category.
        sizes: Pixels of the evaluated images, and their shape in words, where an option changed
            them; zero pixels stand for each model's own size.
        tested: Number of test images of each category.
    """

    images: tuple[tuple[str, str], ...]
    sizes: tuple[tuple[int, str], ...]
    tested: tuple[int, ...]

    def differences(self, other: "Conditions") -> list[str]:
        """Return in words how these conditions differ from others."""
        named = []
        if self.sizes != other.sizes:
            own, others = (" / ".join(text for _, text in c.sizes) for c in (self, other))
            named.append(say("{own}, not {other}", own=own, other=others))
        if self.tested != other.tested:
            counts = {"own": _joined(self.tested), "other": _joined(other.tested)}
            named.append(say("{own} test images, not {other}", **counts))
        if self.images != other.images and not named:
            named.append(say("other images"))
        return named


NOTHING = Conditions((), (), ())
"""The conditions where there is no row."""


def conditions_of(records: Iterable[Record]) -> Conditions:
    """Return the conditions of a row's records."""
    records = list(records)
    images = {(r.case.data, r.shared_images or r.key.data) for r in records}
    sizes = {_changed_shape(r) for r in records}
    tested = {(r.case.data, int(r.fingerprints.get("images", {}).get("test", 0))) for r in records}
    return Conditions(
        tuple(sorted(images)),
        tuple(sorted(sizes)),
        tuple(count for _, count in sorted(tested)),
    )


def budget_share(record: Record) -> float | None:
    """Return a run's training budget as a share of what its profile gives; None if not recorded."""
    recipe = record.protocol.get("recipe", {})
    return _share_of(record, recipe | record.protocol.get("changed", {}))


def share_of_paper(record: Record) -> float | None:
    """Return a run's training budget as a share of its paper's; None where that is not known."""
    entry = MODELS.get(record.case.model)
    if entry is None:
        return None
    paper = entry.paper_recipe or entry.recipes["baseline"]
    images = (entry.paper_multi_class_images if record.categories else None) or paper.images
    budget = {"epochs": paper.epochs, "images": images, "batch_size": paper.batch_size}
    return _share_of(record, budget)


def _share_of(record: Record, whole: Mapping[str, Any]) -> float | None:
    """Return a run's training budget as a share of a recipe's; None where it is not recorded."""
    recipe = record.protocol.get("recipe", {})
    if recipe.get("optimizer") == "none":
        return 1.0  # one pass over the training images, whatever the budget
    if not recipe:
        return None
    fitted = record.fingerprints.get("images", {}).get("fit", 0)
    fitted *= prod(record.protocol.get("tiles") or (1,))  # each tile is an image to train on
    planned = record.protocol.get("images_seen") or _images_of(recipe, fitted)
    if record.fingerprints.get("stopped"):
        planned = record.fingerprints["images_seen"]
    own = _images_of(whole, fitted)
    return planned / own if own else None


def textures_of(record: Record) -> str:
    """Return the source of a run's auxiliary pictures; empty if it needs none."""
    return str(record.fingerprints.get("auxiliary_pictures", ""))


def has_procedural_textures(record: Record) -> bool:
    """Return whether procedural textures stood in for the pictures that a model trains with."""
    return textures_of(record) == PROCEDURAL


def changes_of(record: Record) -> list[str]:
    """Return what a user changed in a recipe apart from its budget, by name.

    A warm-up that became shorter with the number of epochs is a part of the budget.
    """
    protocol, changed = record.protocol, record.protocol.get("changed", {})
    budget = {"epochs", "images"}
    if has_derived_warmup(protocol.get("recipe", {}), changed):
        budget.add("warmup_epochs")
    named = [name for name in changed if name not in budget]
    named += [] if protocol.get("normalize", True) else ["normalize"]
    return named + (["resume_from"] if protocol.get("resumed_from") else [])


def _changed_shape(record: Record) -> tuple[int, str]:
    """Return pixels and shape of images that an option changed; zero for a model's own size."""
    if has_default_shape(record):
        return 0, say("its own size")
    return recorded_shape(record.protocol)


def has_default_shape(record: Record) -> bool:
    """Return whether a run's images were neither resized, fitted nor tiled by an option.

    It is not known of models and profiles that are not in the catalog now: then they count as such.
    """
    case, fields = record.case, record.protocol
    if fields.get("fit", "squash") != "squash" or fields.get("tiles"):
        return False
    entry, profile = MODELS.get(case.model), PROFILES.get(record.key.profile)
    if entry is None or profile is None or not fields.get("image_size"):
        return True
    dataset = DATASETS.get(case.dataset)
    asked = profile.budget(entry.task).image_size
    default = input_sizes(entry, profile, asked, dataset.image_size if dataset else None)
    own = fields["image_size"], fields.get("crop")
    return all(map(same_size, own, default))


def deviations(records: Iterable[Record]) -> list[str]:
    """Return in words what keeps runs from ranking: other budgets, recipes, copied test images."""
    records = list(records)
    reasons = []
    shares = [budget_share(record) for record in records]
    if None in shares:
        reasons.append(say("budget not recorded"))
    elif partial := [share for share in shares if share is not None and share != 1]:
        reasons.append(say("{share} of its own budget", share=percent(min(partial))))
    if names := sorted({name for record in records for name in changes_of(record)}):
        reasons.append(say("its recipe was changed: {names}", names=", ".join(names)))
    worst = max(records, key=_copied, default=None)
    if worst is not None and (copied := _copied(worst)):
        counts = {"count": copied, "all": worst.fingerprints["images"]["test"]}
        reasons.append(say("{count} of {all} test images are copies of training images", **counts))
    return reasons


def _copied(record: Record) -> int:
    """Return how many test images equal one to train or calibrate on, byte for byte."""
    return int(record.fingerprints.get("copied_test_images", 0))


def _images_of(recipe: Mapping[str, Any], fitted: int) -> int:
    epochs, batch_size = recipe.get("epochs", 0), recipe.get("batch_size", 0)
    return budget_in_images(recipe.get("images"), epochs, batch_size, fitted)


def _joined(numbers: Iterable[int]) -> str:
    return " / ".join(f"{number:,}" for number in sorted(set(numbers)))
