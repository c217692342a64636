"""Learning curves of classifiers: loss and top-1 of a run, and top-1 of a dataset's runs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.aggregate.frame import comparable_runs
from bench.plots.loss_curve import draw_loss
from bench.plots.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    VERMILION,
    new_figure,
    save,
    tidy,
    write_title,
)
from bench.record import Record
from bench.studies import by_study
from models.catalog import MODELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {"resnet": BLUE, "vit": GREEN}
_STYLES = {"default": "-", "mixup": "--", "cutmix": ":"}


def training_curves(record: Record, path: Path) -> Path:
    """Draw a classifier's training loss over its top-1 on the test set, both by epoch.

    Raises:
        ValueError: The record has no loss or no metric by epoch.
        OSError: The file could not be written.
    """
    if not record.curve or not record.epochs:
        raise ValueError(
            f"The record of {record.key.id} lacks a training loss or top-1 by epoch, so there are "
            "no curves to draw. Ask for this picture only where both exist."
        )
    figure = new_figure(6.4, 5.0)
    above, below = figure.subplots(2, 1, sharex=True)
    tidy(above)
    draw_loss(above, record, per_epoch=_images_an_epoch(record))
    above.set_ylabel("training loss", fontsize=9)
    write_title(figure, record.key.id)
    above.legend(frameon=False, fontsize=8)
    tidy(below)
    epochs, values = _top1_by_epoch(record)
    below.plot(epochs, values, color=BLUE, linewidth=1.8, marker="o", markersize=2.5)
    best = values.index(max(values))
    below.plot(epochs[best], values[best], "o", color=FAINT, markersize=7, fillstyle="none")
    below.plot(epochs[-1], values[-1], "o", color=VERMILION, markersize=5)
    _write_ends(below, epochs, values, best)
    below.set_ylabel("top-1 on the test set (%)", fontsize=9)
    below.set_xlabel("epoch", fontsize=9)
    return save(figure, path)


def all_dataset_curves(records: Iterable[Record], folder: Path) -> list[Path]:
    """Draw `dataset_curves` of every study and dataset, profile and machine evaluated by epoch.

    Files are named ``curves_PROFILE_STUDY_DATASET.png``, numbered where several machines have one.

    Raises:
        OSError: The file could not be written.
    """
    written: list[Path] = []
    for runs in comparable_runs(records):
        evaluated = [record for record in runs.records if record.epochs]
        for study, of_study in by_study(evaluated).items():
            for dataset in sorted({record.case.dataset for record in of_study}):
                own = [record for record in of_study if record.case.dataset == dataset]
                of_dataset = sorted(own, key=lambda record: record.key.id)
                name = f"curves_{runs.profile}_{study}_{dataset}"
                again = sum(path.stem.partition("-")[0] == name for path in written)
                path = folder / f"{name}{f'-{again + 1}' if again else ''}.png"
                where = f"profile {runs.profile} on {runs.environment}"
                written.append(dataset_curves(of_dataset, path, f"{study}, {dataset} · {where}"))
    return written


def dataset_curves(records: Sequence[Record], path: Path, title: str) -> Path:
    """Draw top-1 by epoch of all runs of one dataset: a row per recipe, a column per init.

    Args:
        records: Finished classification records of one dataset, profile and machine.
        path: PNG to write.
        title: Title above the plot.

    Raises:
        ValueError: No record has a metric by epoch.
        OSError: The file could not be written.
    """
    evaluated = [record for record in records if record.epochs]
    if not evaluated:
        raise ValueError(
            f"No record of '{title}' holds top-1 by epoch, so there are no curves to draw."
        )
    recipes = sorted({record.case.recipe for record in evaluated})
    inits = sorted({record.case.pretrained for record in evaluated})
    figure = new_figure(0.8 + 4.2 * len(inits), 1.1 + 3.0 * len(recipes))
    grid = figure.subplots(len(recipes), len(inits), squeeze=False, sharey=True, sharex=True)
    for row, recipe in zip(grid, recipes, strict=True):
        for axes, pretrained in zip(row, inits, strict=True):
            tidy(axes)
            init = "pretrained" if pretrained else "scratch"
            axes.set_title(f"{init}, recipe {recipe}", fontsize=9, loc="left", color=INK)
            for record in evaluated:
                if record.case.recipe == recipe and record.case.pretrained is pretrained:
                    _draw_run(axes, record)
        row[0].set_ylabel("top-1 on the test set (%)", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("epoch", fontsize=9)
    handles: dict[str, Any] = {}
    for axes in grid.flat:
        lines, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, lines, strict=True))
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=2 * len(inits),
        frameon=False,
        fontsize=8,
    )
    write_title(figure, title)
    return save(figure, path)


def _draw_run(axes: "Axes", record: Record) -> None:
    case = record.case
    entry = MODELS.get(case.model)
    axes.plot(
        *_top1_by_epoch(record),
        color=_COLORS.get(entry.group, FAINT) if entry else FAINT,
        linestyle=_STYLES.get(case.augmentation, "-."),
        linewidth=1.3,
        label=f"{case.model}, {case.augmentation}",
    )


def _write_ends(axes: "Axes", epochs: Sequence[float], values: Sequence[float], best: int) -> None:
    last = len(values) - 1
    lines = [f"last epoch, the result: {values[-1]:.2f}"]
    if best != last:
        lines.append(f"best epoch, chosen on test labels: {values[best]:.2f}")
    axes.annotate(
        "\n".join(lines),
        (0.98, 0.06),
        xycoords="axes fraction",
        ha="right",
        fontsize=8,
        color=INK,
    )


def _top1_by_epoch(record: Record) -> tuple[list[float], list[float]]:
    """Return the epochs passed and the top-1 in percent."""
    per_epoch = _images_an_epoch(record)
    return [seen / per_epoch for seen, _ in record.epochs], [
        100 * top1 for _, top1 in record.epochs
    ]


def _images_an_epoch(record: Record) -> float:
    return float(record.fingerprints.get("images", {}).get("fit") or record.epochs[0][0])
