"""The files of a run below ``<output_dir>/<dataset>/<category>/<model>/``.

They come from the store of runs alone, so that they can be made again without training; files that
the store holds already are linked, not copied.
"""

import csv
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.case import Case
from bench.file_names import truncated_stem
from bench.interface.threshold_report import Scores, threshold_report
from bench.record import Record
from datasets_lib.atomic import atomic_path
from models.catalog import MODELS

if TYPE_CHECKING:
    import numpy as np

_PLOTS = {"histogram": "scores", "errors": "worst"}


def output_folder(case: Case) -> Path:
    """Return the folder of a case's files, relative to the output folder.

    >>> output_folder(Case("stfpm", "baseline", "mvtec", "bottle", "default", True, 0)).as_posix()
    'mvtec/bottle/stfpm'
    """
    return Path(case.dataset, *filter(None, [case.category]), _label(case))


def write_outputs(record: Record, output_dir: Path) -> Path:
    """Write the files of a finished run, replacing those that an earlier run left.

    Args:
        record: Its record.
        output_dir: Folder that the record's artifacts are relative to.

    Returns:
        Their folder.

    Raises:
        OSError: A file could not be written.
    """
    case = record.case
    folder = output_dir / output_folder(case)
    folder.mkdir(parents=True, exist_ok=True)
    stem = "_".join(filter(None, (case.dataset, case.category, _label(case))))
    files = {name: output_dir / path for name, path in record.artifacts.items()}
    epochs = f"epochs-{epochs_of(record)}"
    for name, target in (("model", "model"), ("state", "training")):
        if name in files:
            _link(files[name], folder / f"{target}_{stem}_{epochs}.pth")
    heads = list(record.metrics)
    for name, file in files.items():
        for target in _plot_names(name, stem, heads):
            _link(file, folder / f"{target}{file.suffix}")
    if "panels" in files:
        _link_panels(files["panels"], folder, stem)
    if "scores" in files:
        _write_scores(files["scores"], record, folder, stem)
    return folder


def epochs_of(record: Record) -> int:
    """Return how many passes over its training images a run made, rounded; at least 1."""
    fitted = record.fingerprints.get("images", {}).get("fit", 0)
    seen = record.fingerprints.get("images_seen", fitted)
    return max(1, round(seen / fitted)) if fitted else 1


def _label(case: Case) -> str:
    """Return the model, with anything unusual about its case."""
    entry = MODELS[case.model]
    parts = [
        case.variant,
        "" if case.augmentation == "default" else case.augmentation,
        "" if case.pretrained or entry.weights is None else case.init,
        f"{case.shots}shot" if case.shots else "",
        f"s{case.replicate}" if case.replicate else "",
    ]
    return "-".join(filter(None, parts))


def _plot_names(artifact: str, stem: str, heads: list[str]) -> Iterator[str]:
    """Yield the name of a plot, without its suffix; nothing for other artifacts."""
    kind, _, head = artifact.partition(".")
    if kind in _PLOTS:
        first = heads[0] if heads else ""
        own = "" if head == first else head.removeprefix(f"{first}_")
        yield "_".join(filter(None, (kind, stem, own, _PLOTS[kind])))
    elif kind == "curve":
        yield f"curve_{stem}_loss"
    elif kind in ("confusion", "features", "attributions"):
        yield f"{kind}_{stem}"


def _link_panels(panels: Path, folder: Path, stem: str) -> None:
    """Link the picture of each test image, and remove those of an earlier run."""
    start, end = f"image_{stem}_", ".png"
    pictures = {}
    for file in sorted(panels.rglob(f"*{end}")):
        name = "_".join(file.relative_to(panels).with_suffix("").parts)
        pictures[f"{start}{truncated_stem(name, len(start) + len(end))}{end}"] = file
    for old in folder.glob(f"{start}*{end}"):
        if old.name not in pictures:
            old.unlink()
    for name, file in pictures.items():
        _link(file, folder / name)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _write_scores(file: Path, record: Record, folder: Path, stem: str) -> None:
    """Write the scores of the test images as CSV, and the report on thresholds of every head."""
    import numpy as np

    with np.load(file) as arrays:
        names, labels = arrays["names"].astype(str), arrays["labels"].astype(bool)
        calibrated = arrays["calibration_names"] if "calibration_names" in arrays else names[:0]
        heads = [head for head in record.metrics if f"scores.{head}" in arrays]
        scores = {head: arrays[f"scores.{head}"] for head in heads}
    for category in record.categories.get(heads[0], {}) or ("",):
        rows = np.array(_within(names, category))
        held_out = sum(_within(calibrated, category))
        for head in heads:
            own = _scores(record, head, category, scores[head][rows], labels[rows], held_out)
            text = threshold_report(own)
            other = head if head != heads[0] else ""
            name = "_".join(filter(None, ("results", stem, category, other, "thresholds")))
            with atomic_path(folder / f"{name}.txt") as temporary:
                temporary.write_text(text, encoding="utf-8")
    with atomic_path(folder / f"scores_{stem}.csv") as temporary:
        _write_csv(temporary, names, labels, scores, record)


def _within(names: Iterable[str], category: str) -> list[bool]:
    """Return which names are those of a category's images: all, for the empty name."""
    return [not category or name.startswith(f"{category}/") for name in names]


def _scores(
    record: Record,
    head: str,
    category: str,
    scores: "np.ndarray",
    labels: "np.ndarray",
    held_out: int,
) -> Scores:
    import torch

    prefix = f"{category}." if category else ""
    metrics = record.categories[head][category] if category else record.metrics[head]
    note = record.notes.get(f"{head}.threshold.{prefix}calibrated_p95", "")
    return Scores(
        scores=torch.from_numpy(scores),
        labels=torch.from_numpy(labels),
        metrics=metrics,
        thresholds=record.thresholds_of(head, category),
        note=note,
        held_out=held_out,
    )


def _write_csv(
    file: Path,
    names: "np.ndarray",
    labels: "np.ndarray",
    scores: Mapping[str, "np.ndarray"],
    record: Record,
) -> None:
    """Write ``image, label``, and for every head its score and the decision at the threshold."""
    with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.writer(stream)
        ends = [""] if len(scores) == 1 else [f".{head}" for head in scores]
        columns = [f"{name}{end}" for end in ends for name in ("score", "flagged")]
        writer.writerow(["image", "defective", *columns])
        for row, name in enumerate(names):
            values: list[Any] = [name, int(labels[row])]
            for head, own in scores.items():
                category = name.partition("/")[0] if record.categories else ""
                prefix = f"{category}." if category else ""
                threshold = record.thresholds.get(head, {}).get(f"{prefix}calibrated_p95")
                flagged = "" if threshold is None else int(own[row] > own.dtype.type(threshold))
                values += [repr(float(own[row])), flagged]
            writer.writerow(values)
