"""The cases of a session, and the names a mistyped ``-k`` may have meant."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache

from bench.case import ALL, Case
from bench.near_names import near_names
from bench.protocol import PROFILES
from bench.settings import Settings
from bench.studies import STUDIES
from bench.study import Study
from datasets_lib.augment.catalog import AUGMENTATIONS
from datasets_lib.augment.catalog import names as augmentation_names
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import FoundDataset
from datasets_lib.layouts.folders import folder_id
from models.catalog import MODELS, ModelEntry

_OPERATORS = {"and", "or", "not"}

_NODE = "bench/test_cases.py::test_case"
"""Text that pytest matches in addition to a case's own names."""


def all_cases(settings: Settings, datasets: Mapping[str, FoundDataset]) -> list[Case]:
    """Return every case of every study, each once.

    They are grouped so that data, and then the backbone, change as rarely as possible.
    """
    cases: dict[Case, None] = {}
    for study in STUDIES.values():
        offered = augmentation_names(study.task)
        augmentations = [name for name in settings.augmentations if name in offered]
        cases |= dict.fromkeys(
            study.cases(
                _categories(study, settings, datasets),
                seeds=settings.seeds,
                augmentations=augmentations,
                recipes=settings.recipes or PROFILES[settings.profile].budget(study.task).recipes,
                shots=settings.shots if study.task == "anomaly" else (),
            )
        )
    return _grouped(cases)


def _grouped(cases: Iterable[Case]) -> list[Case]:
    """Sort by data in order of first appearance, then by what shares a backbone's features."""
    places: dict[tuple[str, str | None, int | None, int], int] = {}
    models = {entry.name: place for place, entry in enumerate(sorted(MODELS.values(), key=_shares))}

    def order(case: Case) -> tuple[int, int]:
        choice = case.replicate if case.shots else 0  # of the few images
        data = case.dataset, case.category, case.shots, choice
        return places.setdefault(data, len(places)), models[case.model]

    return sorted(cases, key=order)  # stable: a model's recipes and replicates keep their order


def _shares(entry: ModelEntry) -> tuple[str, int, int]:
    """Return what two models must have in common to share features of the same images."""
    return entry.weights or "", entry.image_size, entry.crop or 0


def _categories(
    study: Study, settings: Settings, datasets: Mapping[str, FoundDataset]
) -> dict[str, Sequence[str]]:
    """Return category ids by dataset: the study's own, then other datasets of its task."""
    categories: dict[str, list[str]] = {
        name: list(DATASETS[name].categories) for name in study.datasets
    }
    if "surface" in categories:
        categories["surface"] = categories["surface"][: PROFILES[settings.profile].surface_textures]
    for name, dataset in datasets.items():
        if dataset.task != study.task:
            continue
        known = categories.setdefault(name, [])
        known += [category for category in dataset.categories if category not in known]
    if settings.multi_class and study.task == "anomaly":
        for name, known in categories.items():
            # A profile may use fewer textures of `surface`; one model for all uses every one.
            whole = {*known, *(DATASETS[name].categories if name in DATASETS else ())}
            if len(whole) > 1 and ALL not in whole:
                known.append(ALL)
    return dict(categories)


def keywords(case: Case) -> list[str]:
    """Return the markers of a case, each also a keyword."""
    category = [case.category] if case.category else []
    mode = ["few_shot"] if case.shots else []
    data = [case.dataset, *category, case.augmentation]
    run = [case.init, *mode, f"s{case.replicate}"]
    return [*_model_keywords(case.model), case.recipe, *data, *run]


@cache
def _model_keywords(model: str) -> tuple[str, ...]:
    entry = MODELS.get(model)
    if entry is None:  # of a record whose --plugin is not loaded
        return (model,)
    studies = [study.name for study in STUDIES.values() if model in study.model_names]
    return (*studies, entry.task, entry.family, entry.name, *entry.aliases)


def catalog_markers() -> set[str]:
    """Return the names of all markers that cases of registered entries can have."""
    names = {"pretrained", "scratch", "few_shot", *STUDIES, *DATASETS, *AUGMENTATIONS}
    for dataset in DATASETS.values():
        names |= {*dataset.categories}
    for entry in MODELS.values():
        names |= {entry.name, *entry.aliases, entry.family, entry.task, *entry.recipes}
    return names


def matching(cases: Iterable[Case], expression: str) -> list[Case]:
    """Return the cases that a ``-k`` expression selects, by parts of their ids and keywords.

    Raises:
        ValueError: The expression is invalid.
    """
    from _pytest.mark.expression import Expression

    try:
        compiled = Expression.compile(expression)
    except SyntaxError as error:
        raise ValueError(
            f"-k {expression!r} is invalid ({error.msg}). Wanted words joined by and, or, not, "
            "such as 'rd_resnet18 and surface'."
        ) from None

    def matches(case: Case) -> bool:
        texts = [text.lower() for text in (case.id, *keywords(case), _NODE)]

        def occurs(word: str, /, **_: object) -> bool:
            lower = word.lower()
            return any(lower in text for text in texts)

        return compiled.evaluate(occurs)

    return [case for case in cases if matches(case)]


def unknown_words(expression: str, cases: Sequence[Case]) -> dict[str, list[str]]:
    """Return the words of a ``-k`` expression that match no case, each with the nearest names."""
    marks = {word for case in cases for word in keywords(case)}
    text = "\n".join({case.id for case in cases} | marks).lower()
    names = marks | {case.variant for case in cases}
    return {
        word: _near(word, names)
        for word in _words(expression)
        if word.lower() not in text and word.lower() not in _NODE
    }


def unknown_markers(expression: str, markers: Collection[str]) -> list[str]:
    """Return the words of an ``-m`` expression that are no markers."""
    # Arguments such as device(serial="x") name no markers.
    words = _words(re.sub(r"\([^()]*=[^()]*\)", "", expression))
    return [word for word in words if word not in markers]


def _words(expression: str) -> list[str]:
    return [w for w in re.findall(r"[\w.:+\-\[\]/]+", expression) if w not in _OPERATORS]


def _near(word: str, names: Collection[str]) -> list[str]:
    """Return the id of a folder's name as it is written, or else close names."""
    own = folder_id(word)
    return [own] if own in names else near_names(word, names)
