"""A case: one point of model × dataset × augmentation × pretrained × seed, and its id."""

import re
from dataclasses import dataclass

_VALUE = re.compile(r"[a-z0-9_.]+")


@dataclass(frozen=True, slots=True)
class Case:
    """What to run; its id is pytest id, store key, leaderboard key and re-run command.

    Attributes:
        study: Name of the study whose grid holds it; not part of the id.
        model: Catalog name, with the recipe as a suffix (``rd_resnet50.same``).
        dataset: Dataset id (``mvtec``).
        category: Category id, or None for a dataset without categories.
        augmentation: Augmentation id.
        pretrained: Whether the backbone starts from its published weights.
        replicate: Index of the replicate; the actual seed is the model's base plus this.
    """

    study: str
    model: str
    dataset: str
    category: str | None
    augmentation: str
    pretrained: bool
    replicate: int

    @property
    def data(self) -> str:
        """The id's dataset value, ``dataset.category`` or ``dataset``."""
        return f"{self.dataset}.{self.category}" if self.category else self.dataset

    @property
    def id(self) -> str:
        """``rd_convnext-mvtec.bottle-default-pretrained-s0``."""
        start = "pretrained" if self.pretrained else "scratch"
        return f"{self.model}-{self.data}-{self.augmentation}-{start}-s{self.replicate}"

    @property
    def configuration(self) -> str:
        """The id without its replicate: what seeds are averaged over."""
        return self.id.rpartition("-")[0]

    @property
    def entry_name(self) -> str:
        """Catalog name of the model, without the recipe."""
        return self.model.partition(".")[0]

    @property
    def recipe(self) -> str:
        """Recipe: the model value's suffix, or ``baseline``."""
        return self.model.partition(".")[2] or "baseline"


def parse_id(case_id: str, study: str) -> Case:
    """The case an id names.

    Raises:
        ValueError: The id does not have the five axes, or a value holds other characters.
    """
    parts = case_id.split("-")
    well_formed = len(parts) == 5 and all(_VALUE.fullmatch(part) for part in parts)
    if not well_formed or parts[3] not in {"pretrained", "scratch"} or not parts[4][1:].isdigit():
        raise ValueError(
            f"'{case_id}' is not a case id: wanted model-dataset[.category]-augmentation-"
            "pretrained|scratch-sN, such as rd_convnext-mvtec.bottle-default-pretrained-s0"
        )
    model, data, augmentation, start, seed = parts
    dataset, _, category = data.partition(".")
    return Case(
        study, model, dataset, category or None, augmentation, start == "pretrained", int(seed[1:])
    )
