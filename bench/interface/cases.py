"""Cases from the names of datasets, categories and models, as users write them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench.case import ALL, Case
from bench.interface.errors import TrainingError
from bench.near_names import did_you_mean
from datasets_lib.augment.catalog import Task
from datasets_lib.augment.catalog import names as augmentation_names
from datasets_lib.catalog import DATASETS, entry_named
from datasets_lib.discover import FoundDataset
from datasets_lib.layouts.folders import folder_id
from models.catalog import MODELS, ModelEntry

Names = str | Sequence[str]


@dataclass(frozen=True)
class Variant:
    """What the cases of one call have in common.

    Attributes:
        recipe: Name of a recipe.
        augmentation: Name of an augmentation.
        pretrained: Whether backbones start from their weights; None means where weights exist.
        replicate: Index of the run.
        shots: Number of training images; None means all.
        multi_class: Whether ``all`` means one model for all categories, not one for each.
    """

    recipe: str = "baseline"
    augmentation: str = "default"
    pretrained: bool | None = None
    replicate: int = 0
    shots: int | None = None
    multi_class: bool = False


@dataclass(frozen=True)
class AvailableDatasets:
    """The datasets on disk, and the folders that were searched for them."""

    found: Mapping[str, FoundDataset]
    folders: Sequence[Path]


def cases_of(
    datasets: Names,
    categories: Names | None,
    models: Names,
    variant: Variant,
    available: AvailableDatasets,
) -> list[Case]:
    """Return a case for every dataset, category and model, in this order.

    Ids may be written with ``-`` or ``_`` and in any case. ``all`` means every category of a
    dataset, or every model for its task.

    Raises:
        TrainingError: A name is unknown; the message has the nearest ones.
    """
    cases: dict[Case, None] = {}
    for dataset in (_dataset(name, available) for name in _listed(datasets)):
        entries = _models(models, _task(dataset, available), variant)
        for category, (entry, recipe) in product(
            _categories(dataset, categories, variant, available), entries
        ):
            case = Case(
                model=entry.name,
                recipe=recipe,
                dataset=dataset,
                category=category,
                augmentation=variant.augmentation,
                pretrained=entry.weights is not None and variant.pretrained is not False,
                replicate=variant.replicate,
                shots=variant.shots,
            )
            cases[case] = None
    return list(cases)


def _dataset(name: str, available: AvailableDatasets) -> str:
    wanted = folder_id(name)
    if wanted in available.found:
        return wanted
    entry = entry_named(wanted)
    if entry is not None and entry.task != "texture":
        return entry.name
    offered = {*available.found, *(n for n, e in DATASETS.items() if e.task != "texture")}
    looked = ", ".join(map(str, available.folders)) or "nowhere: no dataset_dir was given"
    raise TrainingError(
        f"dataset '{name}': {_meant(wanted, offered)} Found on disk: "
        f"{', '.join(available.found) or 'none'} (looked in {looked}). Put its folder below "
        "dataset_dir, in a layout that the README lists, or correct the name."
    )


def _task(dataset: str, available: AvailableDatasets) -> Task:
    found = available.found.get(dataset)
    task = found.task if found else DATASETS[dataset].task
    return "classification" if task == "classification" else "anomaly"


def _categories(
    dataset: str, given: Names | None, variant: Variant, available: AvailableDatasets
) -> list[str | None]:
    found, entry = available.found.get(dataset), DATASETS.get(dataset)
    offered = tuple(found.categories) if found else entry.categories if entry else ()
    if not offered:  # a classification set
        if given is not None and [folder_id(name) for name in _listed(given)] != [ALL]:
            raise TrainingError(
                f"category {given!r}: {dataset} has no categories. Leave the category out."
            )
        return [None]
    if given is None:
        if len(offered) == 1:
            return list(offered)
        raise TrainingError(
            f"{dataset} has {len(offered)} categories: wanted a category, a list of some or 'all', "
            f"found none. Choose from {', '.join(offered)}."
        )
    chosen: list[str | None] = []
    for name in _listed(given):
        own = folder_id(name)
        if own in offered:
            chosen.append(own)
        elif own == ALL:
            chosen += [ALL] if variant.multi_class else offered
        else:
            raise TrainingError(f"category '{name}' of {dataset}: {_meant(own, offered)}")
    return list(dict.fromkeys(chosen))


def _models(given: Names, task: Task, variant: Variant) -> list[tuple[ModelEntry, str]]:
    of_task = [entry for entry in MODELS.values() if entry.task == task]
    if variant.augmentation not in augmentation_names(task):
        offered = augmentation_names(task)
        raise TrainingError(
            f"augmentation '{variant.augmentation}': {_meant(variant.augmentation, offered)}"
        )
    chosen: list[tuple[ModelEntry, str]] = []
    for name in _listed(given):
        if name.lower() == ALL:
            chosen += [(entry, variant.recipe) for entry in of_task]
        else:
            chosen.append(_model(name, variant.recipe, of_task))
    for entry, recipe in chosen:
        if recipe not in entry.recipes:
            raise TrainingError(
                f"recipe '{recipe}' of {entry.name}: {_meant(recipe, entry.recipes)}"
            )
    return chosen


def _model(name: str, recipe: str, of_task: Sequence[ModelEntry]) -> tuple[ModelEntry, str]:
    """Return an entry and its recipe, which may be part of the name: ``rd_resnet18.same``."""
    by_name = {own: entry for entry in of_task for own in (*entry.aliases, entry.name)}
    wanted = name.lower().replace("-", "_")
    first, dot, suffix = wanted.rpartition(".")
    if wanted in by_name:
        return by_name[wanted], recipe
    if dot and first in by_name:
        return by_name[first], suffix
    entry = MODELS.get(wanted)
    if entry is not None:
        raise TrainingError(
            f"model '{name}' is for {entry.task}, the dataset for {of_task[0].task}. Choose a "
            "model or a dataset of the same task."
        )
    raise TrainingError(f"model '{name}': {_meant(wanted, by_name)}")


def _meant(name: str, offered: Collection[str]) -> str:
    meant = did_you_mean(name, offered, " did you mean")
    return f"there is none with this name.{meant} Choose from {', '.join(offered)}."


def _listed(given: Names) -> list[str]:
    if given == "":
        raise TrainingError(
            "model_type: wanted a model, such as padim, found none. `python -m pytest bench "
            "--collect-only -q` lists them."
        )
    names = [given] if isinstance(given, str) else list(given)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise TrainingError(f"wanted a name or a list of names, found {given!r}.")
    return names
