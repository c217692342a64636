"""A study: a question over cases. Its grid is data; expanding one imports no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.case import Case
from bench.table_spec import TABLE_SPECS, TableSpec
from models.catalog import MODELS, ModelEntry


@dataclass(frozen=True)
class Study:
    """A question, asked of every combination below.

    A case may stand in several studies: it runs once and shows in each.

    Attributes:
        name: Keyword and marker of the study's cases.
        task: ``anomaly`` or ``classification``.
        about: The question.
        models: Catalog names.
        datasets: Catalog datasets whose cases are always offered, and skipped with a remedy where
            the data are missing; every other dataset of the task joins where it is found.
        augmentations: Augmentation ids.
        table: Name of its table specification, where it differs from its task's.
        pair: The two models whose gains from an augmentation are compared, ResNet first.
    """

    name: str
    task: Literal["anomaly", "classification"]
    about: str
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    augmentations: tuple[str, ...] = ("default",)
    pair: tuple[str, str] | None = None
    table: str | None = None

    @property
    def table_spec(self) -> TableSpec:
        """Return how its records are ranked and shown."""
        return TABLE_SPECS[self.table or self.task]

    def selects(self, case: Case) -> bool:
        """Return whether a case answers the question, whatever its data and augmentation."""
        return case.model in self.models

    def cases(
        self,
        categories: Mapping[str, Sequence[str]],
        *,
        seeds: int = 1,
        recipes: Sequence[str] | None = None,
        augmentations: Sequence[str] | None = None,
    ) -> Iterator[Case]:
        """Yield every case of the grid.

        Args:
            categories: Category ids by dataset id.
            seeds: Number of replicates per configuration.
            recipes: Recipe names; None means every recipe of each model.
            augmentations: Augmentation ids; None means the study's own.
        """
        entries = [MODELS[name] for name in self.models]
        variants = [(entry, recipe) for entry in entries for recipe in _recipes(entry, recipes)]
        for dataset, names in categories.items():
            for category in names or (None,):
                for entry, recipe in variants:
                    for augmentation in augmentations or self.augmentations:
                        for pretrained in (True, False) if entry.weights else (False,):
                            for replicate in range(seeds):
                                yield Case(
                                    *(entry.name, recipe, dataset, category),
                                    *(augmentation, pretrained, replicate),
                                )


def _recipes(entry: ModelEntry, wanted: Sequence[str] | None) -> list[str]:
    return [name for name in entry.recipes if wanted is None or name in wanted]
