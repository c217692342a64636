"""A case: one point of model × recipe × dataset × augmentation × pretrained × replicate."""

from dataclasses import dataclass

ALL = "all"
"""Category of cases that train one model on the images of all of a dataset's categories."""


@dataclass(frozen=True, slots=True)
class Case:
    """Describe what to run; the id is pytest id, store key, leaderboard key and re-run command.

    A case belongs to no study: a study is a question over cases.

    >>> Case("rd_convnext", "same", "mvtec", "bottle", "default", True, 0).id
    'rd_convnext.same-mvtec.bottle-default-pretrained-s0'
    >>> Case("rd_convnext", "same", "mvtec", "bottle", "default", True, 0, shots=4).id
    'rd_convnext.same-mvtec.bottle-default-pretrained-4shot-s0'

    Attributes:
        model: Catalog name.
        recipe: Name of one of the model's recipes.
        dataset: Dataset id (``mvtec``).
        category: Category id, `ALL`, or None for a dataset without categories.
        augmentation: Augmentation id.
        pretrained: Whether the backbone starts from its published weights.
        replicate: Index of the run; its seed is the model's ``seed_base`` plus this, and it chooses
            the training images of a few-shot case.
        shots: Number of training images per category; None means all of them.
    """

    model: str
    recipe: str
    dataset: str
    category: str | None
    augmentation: str
    pretrained: bool
    replicate: int
    shots: int | None = None

    @property
    def data(self) -> str:
        """Return ``dataset.category``, or ``dataset`` where there are no categories."""
        return f"{self.dataset}.{self.category}" if self.category else self.dataset

    @property
    def variant(self) -> str:
        """Return the model with its recipe as a suffix; ``baseline`` has none."""
        return self.model if self.recipe == "baseline" else f"{self.model}.{self.recipe}"

    @property
    def init(self) -> str:
        """Return ``pretrained`` or ``scratch``."""
        return "pretrained" if self.pretrained else "scratch"

    @property
    def id(self) -> str:
        """Return ``variant-data-augmentation-init-sN``; few-shot cases have ``Kshot`` before it."""
        return f"{self.configuration}-s{self.replicate}"

    @property
    def configuration(self) -> str:
        """Return the id without its replicate: what replicates are averaged over."""
        shots = f"-{self.shots}shot" if self.shots else ""
        return f"{self.variant}-{self.data}-{self.augmentation}-{self.init}{shots}"
