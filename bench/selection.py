"""Which cases a session offers, and which name a mistyped ``-k`` may have meant."""

import difflib
import re
from collections.abc import Mapping, Sequence

from bench.case import Case
from bench.protocol import PROFILES
from bench.settings import Settings
from bench.studies import STUDIES
from bench.study import Study
from datasets_lib.augment.catalog import names as augmentation_names
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import FoundDataset
from models.catalog import MODELS

_OPERATORS = {"and", "or", "not"}


def all_cases(settings: Settings, found: Mapping[str, FoundDataset]) -> list[Case]:
    """Every case of every study under the session's settings."""
    return [
        case
        for study in STUDIES.values()
        for case in study.cases(
            _categories(study, settings, found),
            seeds=settings.seeds,
            augmentations=[
                name for name in settings.augmentations if name in augmentation_names(study.task)
            ],
            recipes=settings.recipes or PROFILES[settings.profile].budget(study.task).recipes,
        )
    ]


def _categories(
    study: Study, settings: Settings, found: Mapping[str, FoundDataset]
) -> dict[str, Sequence[str]]:
    """Category ids by dataset: the study's own, then what else of its task was found."""
    categories: dict[str, list[str]] = {
        name: list(DATASETS[name].categories) for name in study.datasets
    }
    if "surface" in categories:
        categories["surface"] = categories["surface"][: PROFILES[settings.profile].surface_textures]
    for name, dataset in found.items():
        if dataset.task != study.task:
            continue
        known = categories.setdefault(name, [])
        known += [category for category in dataset.categories if category not in known]
    return dict(categories)


def keywords(case: Case) -> list[str]:
    """The markers of a case, each also a keyword."""
    entry = MODELS[case.entry_name]
    start = "pretrained" if case.pretrained else "scratch"
    joined = [study.name for study in STUDIES.values() if entry.name in study.members]
    own = [entry.name, *entry.aliases, case.recipe, case.dataset, start]
    return [case.study, *joined, entry.task, entry.family, *own]


def unknown_words(expression: str, cases: list[Case]) -> dict[str, list[str]]:
    """The words of a ``-k`` expression that match no case, each with the names nearest to it."""
    marks = {word for case in cases for word in keywords(case)}
    text = "\n".join({case.id for case in cases} | marks).lower()
    names = sorted(marks | {case.model for case in cases} | {case.category or "" for case in cases})
    words = [word for word in re.findall(r"[\w.:+\-\[\]/]+", expression) if word not in _OPERATORS]
    return {
        word: difflib.get_close_matches(word.lower(), names, n=3, cutoff=0.6)
        for word in words
        if word.lower() not in text and word.lower() not in "bench/test_cases.py::test_case"
    }
