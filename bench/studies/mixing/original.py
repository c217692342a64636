"""The original mixing study's own table: names, values and their oddities."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from bench.aggregate.reference import Reference, read_rows
from bench.studies.mixing.points import HEAD, Outcome, Point, collapsed

SOURCE = "the original mixing study, one seed"
BEST_EPOCH = "best_epoch"
"""Scoring head of values at the epoch that is best on the test set."""

_DATASETS = {"CIFAR100": "cifar100", "Tiny-ImageNet": "tiny_imagenet"}
_MODELS = {"ResNet50": "resnet50", "ViT-Small/16": "vit_small_patch16_224"}

TEST_IMAGES = 10_000
"""Test images of either dataset: 100 per class in CIFAR-100, 50 in Tiny-ImageNet's val."""

_SHOWN = 5e-5
"""Half of the last decimal that the original gives."""


@dataclass(frozen=True)
class Experiment:
    """One of the 24 experiments; values are fractions of 1.

    Attributes:
        name: ``Control-1`` to ``Exp-16``.
        point: Its position in the table, by our names.
        top1: Top-1 at the epoch that is best on the test set, as all values but ``last_top1``.
        last_top1: Top-1 after the last epoch.
        best_epoch: Number of the best epoch, from 1.
    """

    name: str
    point: Point
    top1: float
    top5: float
    recall: float
    precision: float
    f1: float
    last_top1: float
    best_epoch: int
    epochs: int

    @property
    def misprinted(self) -> bool:
        """Return whether recall and top-1 differ, which they cannot on a balanced test set."""
        return abs(self.recall - self.top1) > _SHOWN


@cache
def experiments() -> dict[Point, Experiment]:
    """Return the 24 experiments in the original's order."""
    table = [_experiment(row) for row in read_rows("original_classification.csv")]
    return {experiment.point: experiment for experiment in table}


def collapsed_experiments() -> dict[Point, str]:
    """Return the names of the experiments that collapsed, by the rule for our own runs."""
    names = {}
    for point, experiment in experiments().items():
        control = experiments()[point._replace(augmentation="default")]
        if collapsed(
            experiment.best_epoch,
            experiment.epochs,
            experiment.top1,
            experiment.last_top1,
            None if control is experiment else control.last_top1,
        ):
            names[point] = experiment.name
    return names


def original_outcomes(*, last_epoch: bool) -> dict[Point, Outcome]:
    """Return the original's top-1 values: after the last epoch, or at the best on the test set."""
    names = collapsed_experiments()
    return {
        point: Outcome(
            {0: experiment.last_top1 if last_epoch else experiment.top1},
            TEST_IMAGES,
            names.get(point, ""),
        )
        for point, experiment in experiments().items()
    }


def published(_variants: Iterable[str]) -> Iterator[Reference]:
    """Yield the original's values for the CSV file, with a head for either choice of the epoch."""
    for point, experiment in experiments().items():
        best = {
            "top1": experiment.top1,
            "top5": experiment.top5,
            "macro_recall": experiment.recall,
            "macro_precision": experiment.precision,
            "macro_f1": experiment.f1,
        }
        suffix = "" if point.augmentation == "default" else f" {point.augmentation}"
        for head, metrics in ((HEAD, {"top1": experiment.last_top1}), (BEST_EPOCH, best)):
            yield Reference(
                f"{point.model}{suffix}",
                f"{SOURCE} ({experiment.name})",
                point.dataset,
                "",
                head,
                metrics,
                point.init,
                in_tables=False,
            )


def _experiment(row: dict[str, str]) -> Experiment:
    point = Point(
        _DATASETS[row["dataset"]],
        _MODELS[row["model"]],
        row["augmentation"],
        row["pretrained"] == "True",
    )
    return Experiment(
        name=row["experiment"],
        point=point,
        last_top1=float(row["final_epoch_top1"]),
        best_epoch=int(row["best_epoch"]),
        epochs=int(row["epochs_logged"]),
        **{name: float(row[name]) for name in ("top1", "top5", "recall", "precision", "f1")},
    )
