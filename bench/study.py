"""A study: a grid of cases with a name. Grids are data; expanding one imports no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.case import Case
from bench.table_spec import TABLE_SPECS, TableSpec
from models.catalog import MODELS, ModelEntry


@dataclass(frozen=True)
class Study:
    """One question, asked of every combination below.

    Attributes:
        name: Keyword and marker.
        task: ``anomaly`` or ``classification``.
        about: The question.
        models: Catalog names.
        members: Models of other studies whose records stand in its tables as well.
        augmentations: Augmentation ids.
        datasets: Catalog datasets whose cases are always offered, skipped with their remedy where
            they are not at hand; every other dataset of the task joins where it is found.
        table: Name of its presentation, where it is not its task's.
        pair: The two models whose gains from an augmentation the study compares, ResNet first.
    """

    name: str
    task: Literal["anomaly", "classification"]
    about: str
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    augmentations: tuple[str, ...] = ("default",)
    pair: tuple[str, str] | None = None
    members: tuple[str, ...] = ()
    table: str | None = None

    @property
    def table_spec(self) -> TableSpec:
        """How its records are ranked and shown."""
        return TABLE_SPECS[self.table or self.task]

    def cases(
        self,
        categories: Mapping[str, Sequence[str]],
        *,
        seeds: int = 1,
        recipes: Sequence[str] | None = None,
        augmentations: Sequence[str] | None = None,
    ) -> Iterator[Case]:
        """Every case of the grid, grouped so that data and backbone change as rarely as can be.

        Args:
            categories: Category ids by dataset id.
            seeds: Replicates a configuration.
            recipes: Recipes; None means every recipe of each model.
            augmentations: Augmentation ids; None means the study's own.
        """
        entries = sorted((MODELS[name] for name in self.models), key=_shares)
        values = [(entry, value) for entry in entries for value in _model_values(entry, recipes)]
        for dataset, names in categories.items():
            for category in names or (None,):
                for entry, value in values:
                    for augmentation in augmentations or self.augmentations:
                        for start in (True, False) if entry.weights else (False,):
                            for seed in range(seeds):
                                yield Case(
                                    self.name, value, dataset, category, augmentation, start, seed
                                )


def _shares(entry: ModelEntry) -> tuple[str, int, int]:
    """Models that are alike in it share a backbone's features of the same images."""
    return entry.weights or "", entry.image_size, entry.crop or 0


def _model_values(entry: ModelEntry, recipes: Sequence[str] | None) -> list[str]:
    return [
        entry.name if recipe == "baseline" else f"{entry.name}.{recipe}"
        for recipe in entry.recipes
        if recipes is None or recipe in recipes
    ]
