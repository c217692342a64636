"""What every training of a process shares: folders, seed, device, profile."""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bench.arguments import expression
from bench.environment import cuda_present, default_precision
from bench.interface.errors import TrainingError
from bench.near_names import did_you_mean
from bench.protocol import PROFILES
from bench.settings import Settings
from bench.writable import why_not_writable
from datasets_lib.images.bit_depth import BITS
from datasets_lib.paths import absolute_path, data_dirs, default_cache_dir

Folder = str | os.PathLike[str]

_PRECISIONS = ("float32", "bf16")


@dataclass(frozen=True)
class Globals:
    """What every training of this process shares.

    Attributes:
        dataset_dir: Folder of datasets, such as ``DIR`` for ``DIR/mvtec/bottle/train/good``, or
            several. None means ``$PROVING_GROUND_DATA``. Downloaded datasets are always found.
        backbone_dir: Folder of pretrained weights, such as ``DIR/resnet18.pth``, or several. Caches
            and publishers are tried after it.
        output_dir: Folder that ``<dataset>/<category>/<model>`` and the records are written below.
        seed: Seed of every training; None means each protocol's own, 42 for the anomaly zoo.
        num_workers: Threads that read a classification set too large for memory.
        pin_memory: Accepted for the sake of older scripts: batches of images that do not fit on the
            device are always pinned.
        persistent_workers: Accepted for the same reason: images are decoded once and stay in
            memory, so that no worker feeds them.
        profile: Budgets and recipes: ``smoke``, ``standard``, ``original`` or ``paper``.
        device: ``cpu``, ``cuda`` or ``cuda:N``; None means CUDA if available.
        precision: Training precision, ``float32`` or ``bf16``; None means whichever is
            faster on the device. Evaluation is always float32.
        cache_dir: Folder of decoded images and features; None means the user's cache.
        plugins: Python files that register models, datasets and the like.
        panels: Whether a picture of every test image is drawn, next to the plots of a run.
        measurements: Whether speed, memory and size are measured, which takes up to ten seconds.
        tensorboard: Whether TensorBoard event files are written.
        bits: Number of bits that cameras fill in 16-bit image files, such as 12.
        split_by: Regular expression of the prefix of a file name; images of one prefix, such as
            shots of one part, stay on one side of splits by hash. Empty: each image is on its own.
        max_megapixels: Maximum size of an image; None means Pillow's limit, 89.
        verbose: Whether progress and results are printed.
    """

    dataset_dir: Folder | Sequence[Folder] | None = None
    backbone_dir: Folder | Sequence[Folder] | None = None
    output_dir: Folder = "outputs"
    seed: int | None = None
    num_workers: int = 2
    pin_memory: bool = True
    persistent_workers: bool = True
    profile: str = "standard"
    device: str | None = None
    precision: str | None = None
    cache_dir: Folder | None = None
    plugins: Sequence[Folder] = ()
    panels: bool = True
    measurements: bool = True
    tensorboard: bool = False
    bits: int = 16
    split_by: str = ""
    max_megapixels: int | None = None
    verbose: bool = True


_current = Globals()


def set_globals(*, show_globals: bool = False, **given: Any) -> None:
    """Set what every later training of this process shares; fields not given stay as they are.

    Args:
        show_globals: Whether to print all values.
        given: Fields of `Globals`.

    Raises:
        TrainingError: A field is unknown or has an impossible value.

    Example:
        >>> set_globals(output_dir="outputs", seed=42)
        >>> get_globals().seed
        42
    """
    global _current
    _current = changed(_current, given)
    if show_globals:
        width = max(len(field.name) for field in fields(Globals))
        for field in fields(Globals):
            print(f"{field.name:{width}}  {getattr(_current, field.name)}")


def get_globals() -> Globals:
    """Return what every training of this process shares."""
    return _current


def changed(before: Globals, given: Mapping[str, Any]) -> Globals:
    """Return globals with other values.

    Raises:
        TrainingError: A field is unknown or has an impossible value.
    """
    names = [field.name for field in fields(Globals)]
    for name in given:
        if name not in names:
            meant = did_you_mean(name, names, " did you mean")
            raise TrainingError(
                f"set_globals has no '{name}':{meant} Choose from {', '.join(names)}."
            )
    after = replace(before, **given)
    if after.profile not in PROFILES:
        raise TrainingError(
            f"profile '{after.profile}': wanted one of {', '.join(PROFILES)}. Correct the name."
        )
    for name, low in (("seed", 0), ("num_workers", 0), ("max_megapixels", 1)):
        value = getattr(after, name)
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= low
        if not (whole or (value is None and getattr(Globals, name) is None)):
            raise TrainingError(
                f"{name}: wanted a whole number of at least {low}, found {value!r}."
            )
    _check_device(after)
    _check_images(after)
    return after


def _check_device(chosen: Globals) -> None:
    """Raise `TrainingError` for a device or a precision that there is not."""
    device, precision = chosen.device, chosen.precision
    known = isinstance(device, str) and re.fullmatch(r"cpu|cuda(:\d+)?", device)
    if device is not None and not known:
        raise TrainingError(f"device: wanted cpu, cuda or cuda:N, found {device!r}.")
    if precision not in (None, *_PRECISIONS):
        raise TrainingError(
            f"precision: wanted one of {', '.join(_PRECISIONS)}, found {precision!r}."
        )


def _check_images(chosen: Globals) -> None:
    """Raise `TrainingError` for a number of bits or an expression of names that cannot be."""
    if not isinstance(chosen.bits, int) or chosen.bits not in BITS:
        raise TrainingError(
            f"bits: wanted a whole number from {BITS[0]} to {BITS[-1]}, found {chosen.bits!r}."
        )
    try:
        expression(chosen.split_by)
    except (argparse.ArgumentTypeError, TypeError) as error:
        raise TrainingError(
            f"split_by: wanted a regular expression of the start of file names, such as "
            f"'part[0-9]+', found {chosen.split_by!r} ({error})."
        ) from None


def settings_of(chosen: Globals, **options: Any) -> Settings:
    """Return the settings of a session that does what the globals say.

    Args:
        chosen: The globals.
        options: Fields of the settings that belong to one call.

    Raises:
        TrainingError: A folder of weights is missing, or ``output_dir`` or ``cache_dir`` cannot be
            written to.
    """
    cache_dir = _path(chosen.cache_dir or default_cache_dir())
    results_dir = _path(chosen.output_dir)
    for name, folder in (("output_dir", results_dir), ("cache_dir", cache_dir)):
        if problem := why_not_writable(name, folder):
            raise TrainingError(problem)
    device = chosen.device or ("cuda" if cuda_present() else "cpu")
    given = None if chosen.dataset_dir is None else list(_paths(chosen.dataset_dir))
    weights_dirs = _paths(chosen.backbone_dir or ())
    for folder in weights_dirs:
        if not os.path.isdir(folder):  # noqa: PTH112 - False, not an error, in an unreadable folder
            raise TrainingError(
                f"backbone_dir {folder}: wanted a folder of pretrained weights, such as "
                "resnet18.pth; found none. Correct the path, or leave it out to search the caches."
            )
    return Settings(
        profile=chosen.profile,
        device=device,
        data_dirs=data_dirs(given, cache_dir),
        weights_dirs=weights_dirs,
        results_dir=results_dir,
        cache_dir=cache_dir,
        plugins=_paths(chosen.plugins),
        precision=chosen.precision or default_precision(device),
        save_models=True,
        workers=max(1, chosen.num_workers),
        seed_base=chosen.seed,
        bits=chosen.bits,
        split_by=chosen.split_by,
        max_megapixels=chosen.max_megapixels,
        panels=chosen.panels,
        measurements=chosen.measurements,
        **options,
    )


def _paths(given: Folder | Sequence[Folder]) -> tuple[Path, ...]:
    folders = [given] if isinstance(given, str | os.PathLike) else given
    return tuple(map(_path, folders))


def _path(folder: Folder) -> Path:
    return absolute_path(Path(folder))
