"""The original mixing study's own table: its names, its figures and what is odd about them."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from bench.report.references import FOLDER, Reference
from bench.studies.mixing.points import HEAD, Outcome, Point, collapsed

SOURCE = "the original mixing study, one seed"
BEST_EPOCH = "best_epoch"
"""Scoring head of figures at the epoch that is best on the test set."""

_DATASETS = {"CIFAR100": "cifar100", "Tiny-ImageNet": "tiny_imagenet"}
_MODELS = {"ResNet50": "resnet50", "ViT-Small/16": "vit_small_patch16_224"}

TEST_IMAGES = 10_000
"""Of either dataset: 100 a class in CIFAR-100, 50 a class in Tiny-ImageNet's val."""

_SHOWN = 5e-5
"""Half of the last decimal that the original gives."""


@dataclass(frozen=True)
class Experiment:
    """One of the 24; figures are fractions of 1.

    Attributes:
        name: ``Control-1`` to ``Exp-16``.
        point: Its place, under our names.
        top1: At the epoch that is best on the test set, like all figures but ``last_top1``.
        last_top1: After the last epoch.
        best_epoch: From 1.
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
        """Whether recall and top-1 differ, which on a class-balanced test set they cannot."""
        return abs(self.recall - self.top1) > _SHOWN


@cache
def experiments() -> dict[Point, Experiment]:
    """The 24 experiments in the original's order."""
    with (FOLDER / "original_classification.csv").open(newline="", encoding="utf-8") as file:
        found = [_experiment(row) for row in csv.DictReader(file)]
    return {experiment.point: experiment for experiment in found}


def collapsed_experiments() -> dict[Point, str]:
    """Names of the experiments that fell apart; the rule knows their numbers only."""
    found = {}
    for point, one in experiments().items():
        control = experiments()[point._replace(augmentation="default")]
        if collapsed(
            one.best_epoch,
            one.epochs,
            one.top1,
            one.last_top1,
            None if control is one else control.last_top1,
        ):
            found[point] = one.name
    return found


def original_outcomes(*, last_epoch: bool) -> dict[Point, Outcome]:
    """The original's top-1 values: after the last epoch, or at the best on the test set."""
    collapsed = collapsed_experiments()
    return {
        point: Outcome(
            {0: one.last_top1 if last_epoch else one.top1}, TEST_IMAGES, collapsed.get(point, "")
        )
        for point, one in experiments().items()
    }


def original_rows() -> Iterator[Reference]:
    """The original's figures for machines, a recipe for either way of choosing the epoch."""
    for point, one in experiments().items():
        best = {
            "top1": one.top1,
            "top5": one.top5,
            "macro_recall": one.recall,
            "macro_precision": one.precision,
            "macro_f1": one.f1,
        }
        extra = "" if point.augmentation == "default" else f" {point.augmentation}"
        for head, metrics in ((HEAD, {"top1": one.last_top1}), (BEST_EPOCH, best)):
            source = f"{SOURCE} ({one.name})"
            label = f"{point.model}{extra}"
            yield Reference(label, source, point.dataset, "", head, metrics, point.start)


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
        top1=float(row["top1"]),
        top5=float(row["top5"]),
        recall=float(row["recall"]),
        precision=float(row["precision"]),
        f1=float(row["f1"]),
        last_top1=float(row["final_epoch_top1"]),
        best_epoch=int(row["best_epoch"]),
        epochs=int(row["epochs_logged"]),
    )
